"""The review page: see the pictures of an OUT, decide on them, touch them up."""
