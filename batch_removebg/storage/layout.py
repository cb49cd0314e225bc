"""Paths inside OUT."""

LEDGER = "ledger.jsonl"
RESULTS = "results.json"
CSV = "results.csv"
DECISIONS = "decisions.jsonl"
STATE = ".batch-removebg"  # folder of the lock and what follows
INDEX = f"{STATE}/index.sqlite"
ALPHAS = f"{STATE}/alpha"
PRUNED = f"{STATE}/pruned"
EDITS = f"{STATE}/edits"
THUMBS = f"{STATE}/thumbs"
HELD = f"{STATE}/held"
BUCKET = f"{STATE}/bucket.json"
LEASE = f"{STATE}/lease.json"  # in a bucket
SPOOL = f"{STATE}/spool"
NOTIFIED = f"{STATE}/notified.json"
OUTBOX = f"{STATE}/outbox"
DEFAULT_TEMPLATE = "{id}"


def place(name: str, *, held: bool) -> str:
    """Where the picture of that name lies: in a place of its own while it is `held`, until somebody accepts it."""
    return f"{HELD}/{name}" if held else name
