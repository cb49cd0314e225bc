"""Paths inside OUT."""

LEDGER = "ledger.jsonl"
RESULTS = "results.json"
CSV = "results.csv"
STATE = ".batch-removebg"  # folder of the lock and what follows
INDEX = f"{STATE}/index.sqlite"
ALPHAS = f"{STATE}/alpha"
PRUNED = f"{STATE}/pruned"
DEFAULT_TEMPLATE = "{id}"
