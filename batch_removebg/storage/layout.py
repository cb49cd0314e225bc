"""Paths inside OUT."""

from __future__ import annotations

LEDGER = "ledger.jsonl"
RESULTS = "results.json"
STATE = ".batch-removebg"
"""Folder for the lock, the ledger's index and the alphas."""
INDEX = f"{STATE}/index.sqlite"
ALPHAS = f"{STATE}/alpha"
DEFAULT_TEMPLATE = "{id}"
"""Name template of the pictures."""
