"""A set of item numbers, a bit each: a million of them in 125 kB."""

from __future__ import annotations


class Bitset:
    """Numbers from 0 up."""

    def __init__(self) -> None:
        self._bytes = bytearray(1024)

    def add(self, *numbers: int) -> None:
        """Add numbers."""
        for n in numbers:
            at = n >> 3
            if at >= len(self._bytes):
                self._bytes.extend(bytes(max(at + 1 - len(self._bytes), len(self._bytes))))
            self._bytes[at] |= 1 << (n & 7)

    def __contains__(self, n: int) -> bool:
        return n >> 3 < len(self._bytes) and bool(self._bytes[n >> 3] >> (n & 7) & 1)
