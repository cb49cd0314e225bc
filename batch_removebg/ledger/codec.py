"""JSON for this program's own files: by msgspec, several times as quick, and by `json` what that refuses.

That is NaN and half surrogate pairs. orjson can't hand over as exactly: it reads those in ways of its own.
"""

from __future__ import annotations

import json
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
