"""The runtimes that compute a network, one module for each, and the choice between them."""

from .opening import Runtime, look, open_runtime, require

__all__ = ["Runtime", "look", "open_runtime", "require"]
