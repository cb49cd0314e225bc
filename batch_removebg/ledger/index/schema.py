"""An item's state as a row of the index."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, NamedTuple

from batch_removebg.errors import IndexDamaged
from batch_removebg.hashing import hash64, hash64_all
from batch_removebg.ledger.codec import decode, encode, encode_all
from batch_removebg.ledger.state import Held, ItemState, Lost, Outcome

OUTCOMES: Final[Mapping[Outcome, int]] = {"pending": 0, "saved": 1, "failed": 2}
SAVED = OUTCOMES["saved"]
SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE item(
    n INTEGER PRIMARY KEY, h INTEGER NOT NULL, done INTEGER, outcome INTEGER NOT NULL, flying INTEGER NOT NULL,
    bought INTEGER, made INTEGER, flagged INTEGER, id BLOB NOT NULL, state BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE INDEX by_id ON item(h, done);
CREATE INDEX finished ON item(n, done) WHERE done IS NOT NULL;
CREATE INDEX unsettled ON item(outcome, flying) WHERE outcome <> 1 OR flying;
CREATE INDEX by_prediction ON item(bought) WHERE bought IS NOT NULL;
CREATE INDEX by_fingerprint ON item(made) WHERE made IS NOT NULL;
CREATE INDEX flagged ON item(n) WHERE flagged IS NOT NULL;
CREATE TABLE name(h INTEGER PRIMARY KEY, owner INTEGER NOT NULL);
CREATE TABLE folder(h INTEGER PRIMARY KEY);
"""
FORMAT = 4
"""To be raised with every change of the schema, of `ItemState`, or of what its fields mean."""

_fields = attrgetter(*(field.name for field in fields(ItemState)))
_LOST, _UPLOAD = (([field.name for field in fields(ItemState)]).index(name) for name in ("lost", "upload"))
_TUPLES = [nth for nth, field in enumerate(fields(ItemState)) if field.name in {"others", "notes", "flags", "spent"}]


class Row(NamedTuple):
    """The columns of `item`."""

    n: int
    """Its place: items are numbered from 1 as the ledger first names them."""
    h: int
    done: int | None
    """Of a saved item: what `done_keys` gives for it as long as there is nothing to do."""
    outcome: int
    flying: int
    """1: with a prediction in flight, 2: with a create whose answer is not on record."""
    bought: int | None
    """Of the prediction's id, to be compared with the whole."""
    made: int | None
    """Of the fingerprint of a picture that a prediction gave as it is, to be compared with the whole."""
    flagged: int | None
    """Of a saved item that is worth a look, for how many reasons."""
    id: bytes
    state: bytes
    crc: int


def row(n: int, item: str, state: ItemState) -> Row:
    """The row of an item in that state."""
    saved = state.outcome == "saved"
    data = pack(state)
    name = item.encode("utf-8", "surrogatepass")
    made = saved and state.fingerprint is not None
    return Row(
        n,
        hash64(item),
        _done(item, state) if saved and not state.in_flight else None,
        OUTCOMES[state.outcome],
        int(state.in_flight) or 2 * (state.lost is not None),
        short_key(state.prediction_id) if state.prediction_id is not None else None,
        short_key(state.fingerprint) if made and state.fingerprint is not None else None,
        len(state.flags) or None if saved else None,
        name,
        data,
        zlib.crc32(data, zlib.crc32(name)),
    )


def _done(item: str, state: ItemState) -> int | None:
    if state.output is None or state.bytes is None or state.recipe is None:
        return None
    done = (state.source, state.output, state.bytes, state.recipe, state.signature, state.meta or None, item)
    return done_keys([done])[0]


Done = tuple[str, str, int, str, str | None, Mapping[str, Any] | None, str]
"""Source, output, its size, recipe, signature of the source, meta (None where it is empty), id."""


def done_keys(many: Sequence[Done]) -> list[int]:
    """What rows of the manifest, the sizes of their outputs on the disk and the recipe come to.

    The same as of the state on record: nothing to do.
    """
    return hash64_all(encode_all(many))


def unpack_id(name: bytes) -> str:
    """The item's id out of its column."""
    return name.decode("utf-8", "surrogatepass")


def pack(state: ItemState) -> bytes:
    """A state as bytes."""
    values = list(_fields(state))
    values[_LOST] = _pack_lost(state.lost)
    values[_UPLOAD] = (state.upload.url, state.upload.until) if state.upload is not None else None
    return encode(values)


def unpack(name: bytes, data: bytes, crc: int) -> ItemState:
    """The state again; raises IndexDamaged where the columns are not what was written."""
    if zlib.crc32(data, zlib.crc32(name)) != crc:
        raise IndexDamaged("a row does not match its checksum")
    values = decode(data)
    for nth in _TUPLES:
        values[nth] = tuple(values[nth])
    values[_LOST] = _unpack_lost(values[_LOST])
    values[_UPLOAD] = Held(*values[_UPLOAD]) if values[_UPLOAD] is not None else None
    return ItemState(*values)


def _pack_lost(lost: Lost | None) -> list[tuple[str, str]] | None:
    # A list instead of a chain: many creates lost in a row must not nest without end.
    if lost is None:
        return None
    chain = []
    while lost is not None:
        chain.append((lost.key, lost.since))
        lost = lost.earlier
    return chain


def _unpack_lost(chain: list[tuple[str, str]] | None) -> Lost | None:
    lost = None
    for key, since in reversed(chain or []):
        lost = Lost(key, since, lost)
    return lost


def short_key(text: str) -> int:
    """Four bytes to find a text by; what is found has to be compared."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
