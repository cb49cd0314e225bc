"""Hashes of texts and bytes: SHA-256, and its first eight bytes where a hash must be small."""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterable

_sha256 = hashlib.sha256
_number = struct.Struct(">q").unpack_from


def sha256_hex(value: str | bytes) -> str:
    """The SHA-256 of a text or of bytes, in hex."""
    return _sha256(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value).hexdigest()


def hash64(text: str) -> int:
    """A text's hash of eight bytes, signed: a million names stay small, and a collision only costs a hashed name."""
    digest = _sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int(_number(digest)[0])  # quicker than a BLAKE2 of eight bytes, which takes longer to set up


def hash64_all(many: Iterable[bytes]) -> list[int]:
    """`hash64` of each encoded text."""
    numbers = array("q", b"".join([_sha256(data).digest() for data in many]))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers[::4].tolist()  # the first eight of every 32 bytes
