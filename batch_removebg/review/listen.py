"""Run the review server: a port, a one-time address, a browser; stop on a signal."""
