"""Folders, globs, manifests and URLs, read lazily as Items."""

from .columns import as_item
from .reader import check, read_rows

__all__ = ["as_item", "check", "read_rows"]
