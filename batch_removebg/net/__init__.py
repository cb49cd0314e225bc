"""Bytes from the web, within limits."""
