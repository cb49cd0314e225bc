"""The ledger's fold kept in a file, so that a run over a million items starts at once and stays small.

    ledger.jsonl ──fold──▶ live states (in memory, few) ──commit──▶ index.sqlite

The index is derived from the ledger and never the truth: it says how far into the ledger it reaches (`cover`), what
lies beyond is folded anew, and whatever is missing, damaged, foreign or older than the ledger's past is thrown away and
rebuilt. It is never ahead of the ledger: only entries that are durable there are committed here.

SQLite from the standard library keeps it: a B-tree that survives kills and power cuts is not written anew here.
"""

from .bitset import Bits
from .checkpoint import Cover
from .database import Store, remove
from .indexed_state import Batch, IndexedFold
from .run_items import Names, Reading

__all__ = ["Batch", "Bits", "Cover", "IndexedFold", "Names", "Reading", "Store", "remove"]
