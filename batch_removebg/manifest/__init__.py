"""Folders, globs, manifests and URLs, read lazily as Items."""

from .reader import check, read

__all__ = ["check", "read"]
