"""The page as a folder of files, read-only, that opens without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


async def write(out: Path, to: Path, *, say: Callable[[str], None]) -> Path:
    """Write the report of an OUT; returns the file to open."""
    raise NotImplementedError
