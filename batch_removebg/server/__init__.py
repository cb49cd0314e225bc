"""Our own server of the predictions API."""

from .inputs import INPUT_POLICY
from .listen import ServeSettings, serve

__all__ = ["INPUT_POLICY", "ServeSettings", "serve"]
