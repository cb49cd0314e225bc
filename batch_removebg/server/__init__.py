"""The predictions API on one's own machine."""

from .inputs import CAPS
from .listen import ServeSettings, serve

__all__ = ["CAPS", "ServeSettings", "serve"]
