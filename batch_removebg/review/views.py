"""Which items a filter chooses, in which order, and how many there are of each kind."""
