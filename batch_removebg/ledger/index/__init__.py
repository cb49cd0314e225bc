"""The ledger's fold kept in a file, so that a run over a million items starts at once and stays small.

    ledger.jsonl ──fold──▶ live states (in memory, few) ──commit──▶ index.sqlite

The index is derived from the ledger and never the truth. It says how far into the ledger it reaches (`checkpoint`), and
what lies beyond is folded anew. One that is missing, damaged or foreign is built anew. It is never ahead of the ledger,
since only entries that are durable there are committed here: one that is tells that the ledger was changed.

SQLite from the standard library keeps it: a B-tree that survives kills and power cuts isn't written anew here.
"""
