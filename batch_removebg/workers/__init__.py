"""What works on pixels for a run: processes of this machine, or actors of a cluster."""
