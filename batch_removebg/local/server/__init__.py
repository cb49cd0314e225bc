"""The predictions API on one's own machine."""

from .listen import ServeSettings, serve

__all__ = ["ServeSettings", "serve"]
