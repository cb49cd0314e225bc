"""Folders, globs, manifests and URLs, read lazily as Items."""
