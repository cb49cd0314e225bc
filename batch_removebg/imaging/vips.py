"""libvips, loaded by the first who needs it."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def vips() -> Any:
    """The module; some 50 ms at first."""
    import pyvips

    pyvips.cache_set_max(0)  # kept operations would keep the pictures that they were made from
    return pyvips
