"""Durable files, and their names."""
