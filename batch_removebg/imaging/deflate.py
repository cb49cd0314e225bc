"""Compressors by effort: ISA-L's is by far the quickest, zlib-ng's makes smaller files.

Both let go of the interpreter's lock.
"""

from __future__ import annotations

from typing import Any, Protocol

from isal import isal_zlib
from zlib_ng import zlib_ng


class Compressor(Protocol):
    """A zlib stream in the making."""

    def compress(self, data: Any, /) -> bytes:
        """What comes of some more data."""
        ...

    def flush(self) -> bytes:
        """The rest of the stream."""
        ...


def compressor(effort: int, *, isal: bool = True) -> Compressor:
    """One for `effort` 0–9; `isal`: with effort 2, ISA-L's, which does not suit all data."""
    if effort < 2:
        return isal_zlib.compressobj(1 + effort)
    if effort == 2 and isal:
        return isal_zlib.compressobj(2)
    # From level 7 on zlib-ng takes what is filtered for what it is: without this, noise comes out larger than at 6.
    strategy = zlib_ng.Z_FILTERED if effort >= 7 else zlib_ng.Z_DEFAULT_STRATEGY
    return zlib_ng.compressobj(max(3, effort), strategy=strategy)
