"""Our own server of the predictions API."""

from .inputs import CAPS
from .listen import ServeSettings, serve

__all__ = ["CAPS", "ServeSettings", "serve"]
