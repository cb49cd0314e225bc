"""Compressors by effort, outside the interpreter's lock: ISA-L's is the quickest, zlib-ng's makes smaller files."""

from __future__ import annotations

from typing import Any

from isal import isal_zlib
from zlib_ng import zlib_ng


def compressor(effort: int, *, isal: bool = True) -> Any:
    """A `compressobj` for `effort` 0–9; `isal`: whether effort 2 may be ISA-L's, which doesn't suit all data."""
    if effort < 2 + isal:
        return isal_zlib.compressobj(min(1 + effort, 2))
    # From level 7 on zlib-ng has to know that bytes are filtered: else noise comes out larger than at 6.
    strategy = zlib_ng.Z_FILTERED if effort >= 7 else zlib_ng.Z_DEFAULT_STRATEGY
    return zlib_ng.compressobj(max(3, effort), strategy=strategy)
