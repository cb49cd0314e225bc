"""What decisions change in OUT, once no run holds its lock: edits become pictures, held ones are released."""
