"""Paths inside OUT."""

LEDGER = "ledger.jsonl"
RESULTS = "results.json"
STATE = ".batch-removebg"  # folder of the lock and what follows
INDEX = f"{STATE}/index.sqlite"
ALPHAS = f"{STATE}/alpha"
DEFAULT_TEMPLATE = "{id}"
