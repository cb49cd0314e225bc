"""One run, from options to summary."""
