"""Digests of texts: whole ones, and eight bytes for what has to be small."""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterable

_sha256 = hashlib.sha256


_number = struct.Struct(">q").unpack_from


def sha256_hex(text: str) -> str:
    """The SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hash64(text: str) -> int:
    """Eight bytes in place of a text: a million names stay small, and a chance hit only costs a hashed name."""
    return hash64_of(text.encode("utf-8", "surrogatepass"))


def hash64_of(data: bytes) -> int:
    """The same of bytes."""
    return int(_number(_sha256(data).digest())[0])  # quicker than a BLAKE2 of eight bytes, which takes longer to set up


def hash64_all(many: Iterable[bytes]) -> list[int]:
    """`hash64_of` each."""
    numbers = array("q", b"".join([_sha256(data).digest() for data in many]))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers[::4].tolist()  # of the 32 bytes of each the first eight
