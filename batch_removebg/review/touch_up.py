"""An alpha at full size, and strokes on it."""
