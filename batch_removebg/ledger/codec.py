"""JSON as this program keeps it for itself, several times as quick as the standard library's.

msgspec reads and writes a strict part of what `json` does, and what it refuses (NaN, half a surrogate pair) is left to
`json`. orjson can't hand over as exactly, since it reads lone surrogates and large numbers in its own ways.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def decode(data: bytes) -> Any:
    """The value that `json.loads` gives for `data`; raises ValueError or RecursionError as it does."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return json.loads(data)


def encode(value: Any) -> bytes:
    """The value as compact JSON in UTF-8; raises ValueError for what is no JSON."""
    try:
        return _encode(value)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=msgspec.to_builtins).encode()


def encode_all(values: Sequence[Any]) -> list[bytes]:
    """`encode` each."""
    try:
        return list(map(_encode, values))
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return list(map(encode, values))
