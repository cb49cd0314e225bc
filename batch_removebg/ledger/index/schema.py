"""An item's state as a row of the index."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from batch_removebg.errors import IndexDamaged
from batch_removebg.hashing import hash64, hash64_all
from batch_removebg.ledger.codec import decode, encode
from batch_removebg.ledger.state import ItemState, unsigned
from batch_removebg.storage.naming import name_key

PENDING, FAILED, FLYING, FLAGGED, GONE, MOVED, REDONE = 1, 2, 4, 8, 16, 32, 64
"""Marks of items: by outcome; a prediction in flight or a create whose answer is not on record; saved with flags;
gone, or on record under another id: no other mark stands beside these but that of a prediction; made with options of
its own."""
SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE item(
    n INTEGER PRIMARY KEY, h INTEGER NOT NULL, done INTEGER, name INTEGER, mark INTEGER, bought INTEGER, made INTEGER,
    id BLOB NOT NULL, state BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE old_name(h INTEGER PRIMARY KEY, owner INTEGER NOT NULL);
CREATE TABLE folder(h INTEGER PRIMARY KEY);
CREATE INDEX by_h ON item(h);
CREATE INDEX by_mark ON item(n, mark) WHERE mark IS NOT NULL;
"""
"""The columns of `item` are those of Row. `old_name`: what an item was called before, and its hash."""
INDEXES = """
CREATE INDEX by_name ON item(name) WHERE name IS NOT NULL;
CREATE INDEX by_done ON item(done) WHERE done IS NOT NULL;
CREATE INDEX by_bought ON item(bought) WHERE bought IS NOT NULL;
CREATE INDEX by_made ON item(made) WHERE made IS NOT NULL;
"""
"""Those that nothing asks for while the items come: once they are there it is made in a third of the time."""
FORMAT = 13  # to be raised with every change of the schema, of `ItemState`, or of what its fields mean

Row = tuple[int, int, int | None, int | None, int | None, int | None, int | None, bytes, bytes, int]
"""n: items are numbered from 1 as the ledger first names them · h: hash of `unsigned` id · done: of a saved item, what
`done_keys` gives for it as long as there is nothing to do · name: hash of the output · mark: see above · bought, made:
short keys of the prediction's id, and of a picture's content: the fingerprint where a prediction gave it as it is, else
the source's sha256; to be compared with the whole · id · state · crc: of both. None where there is nothing to say."""


def mark(state: ItemState) -> int:
    """The marks of an item; 0 of a saved one that is nothing special."""
    outcomes = {"saved": FLAGGED if state.flags else 0, "pending": PENDING, "failed": FAILED}
    gone = MOVED if state.nameless else GONE
    found = gone if state.gone else outcomes[state.outcome] | (REDONE if state.redo else 0)
    return found | FLYING if state.in_flight or state.lost is not None else found


def row(n: int, item: str, state: ItemState) -> Row:
    """The row of an item."""
    key, data, done = _bytes(item), encode(state), _done(item, state)
    return (
        n,
        hash64(unsigned(item)),
        done_keys([done])[0] if done is not None else None,
        hash64(name_key(state.output)) if state.output is not None else None,
        mark(state) or None,
        short_key(state.prediction_id) if state.prediction_id is not None else None,
        short_key(content) if (content := state.fingerprint or state.source_sha256) and state.is_made else None,
        key,
        data,
        zlib.crc32(data, zlib.crc32(key)),
    )


Done = tuple[str, str, int, str, str | None, Mapping[str, Any] | None, str]
"""Source, output, the size of all its pictures, recipe, signature of the source, meta (None where it is empty), id."""


def _done(item: str, state: ItemState) -> Done | None:
    if state.outcome != "saved" or state.in_flight or state.gone or state.held:
        return None
    if state.output is None or state.bytes is None or state.recipe is None:
        return None
    size = sum(one.bytes or 0 for one in state.renditions)
    return (state.source, state.output, size, state.recipe, state.signature, state.meta or None, item)


def done_keys(many: Sequence[Done | None]) -> list[int]:
    """What manifest rows, sizes of outputs and recipe come to; nothing to do where it is the same as on record."""
    return hash64_all(map(encode, many))


_decode = msgspec.json.Decoder(ItemState).decode


def unpack(name: bytes, data: bytes, crc: int) -> ItemState:
    """The state again; raises IndexDamaged where the columns are not what was written."""
    if zlib.crc32(data, zlib.crc32(name)) != crc:
        raise IndexDamaged("a row does not match its checksum")
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError):
        return msgspec.convert(decode(data), ItemState)  # it holds half a surrogate pair


def short_key(text: str) -> int:
    """Four bytes to find a text by; what is found has to be compared."""
    return zlib.crc32(_bytes(text))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
