"""From source and alpha to the finished file."""
