"""Files that survive a power cut, and their names."""
