"""What computes a network: one module for each runtime, and the choice among them."""

from .opening import Runtime, look, open_runtime, require

__all__ = ["Runtime", "look", "open_runtime", "require"]
