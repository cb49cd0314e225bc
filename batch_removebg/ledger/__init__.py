"""What a run has done, durably: the journal, its fold, its index and results.json."""
