"""The ledger's fold kept in SQLite, so that a run over a million items starts at once and stays small.

    ledger.jsonl ──fold──▶ live states (in memory, few) ──commit──▶ index.sqlite

The index is derived, never the truth, and never ahead of the ledger: only entries that are durable there are committed.
It knows how far it reaches (`checkpoint`); what lies beyond is folded anew, and one of no use is built anew.
"""
