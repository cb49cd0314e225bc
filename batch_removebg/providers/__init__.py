"""Predictions APIs, and the wrappers that make them safe to pay."""
