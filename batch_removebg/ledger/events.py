"""The lines of the ledger: one frozen record for each event, and how they are written and read; fields: see README.md.

A field with a default is left out where it says nothing. Reading is lenient, since people edit ledgers and newer
versions extend them: a field of the wrong type counts as nothing, and only a larger `v` is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, MsgspecError, Struct, UnsetType, convert
from msgspec.json import Decoder
from msgspec.structs import fields

from batch_removebg.errors import LedgerError
from batch_removebg.storage.layout import LEDGER

from . import codec

FORMAT = 1
_HEAD = b'{"v":%d,"t":"' % FORMAT
_LEVELS = 100  # how deep JSON values of others (`meta`, `quality`) may be nested

_MOST_SECONDS = 1e12
Seconds = Annotated[float, Meta(gt=-_MOST_SECONDS, lt=_MOST_SECONDS)]
"""A duration. Ledgers edited by hand may hold numbers that no float can, and results.json has no word for infinity."""


class Entry(
    Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """A line of the ledger."""

    v: Literal[1] = 1
    t: str = ""  # when the line was written: an ISO stamp; empty until then


class Ignored(Entry, tag="", frozen=True):
    """An event that this version doesn't know, or a line that names no item."""


class RunStarted(Entry, tag="run_started", frozen=True):
    """A run begins."""

    provider: str
    version: str
    settings: Mapping[str, Any]
    pid: int | None = None
    items: int | None = None
    redo: Mapping[str, Any] = {}
    id: str | None = None


class EngineLoaded(Entry, tag="engine_loaded", frozen=True):
    """The local engine has loaded its network."""

    engine: str | None


class Submitting(Entry, tag="submitting", frozen=True):
    """A create is about to be sent."""

    item: str
    attempt: int
    key: str
    output: str | None
    fingerprint: str | None
    possible_duplicate: bool = False
    until: str | None = None


class Submitted(Entry, tag="submitted", frozen=True):
    """The server has accepted the create."""

    item: str
    prediction_id: str | None
    found: bool = False


class Rejected(Entry, tag="rejected", frozen=True):
    """The create was certainly refused, or never arrived."""

    item: str
    kind: str


class Cleared(Entry, tag="cleared", frozen=True):
    """A create of the item that was sent again as a possible duplicate turned out to be none."""

    item: str


class Claimed(Entry, tag="claimed", frozen=True):
    """The item takes an output name without a create of its own."""

    item: str
    output: str | None
    others: tuple[str, ...] = ()


class Rendition(Struct, frozen=True, omit_defaults=True, gc=False):
    """One of the pictures that are made of an item, each for another preset."""

    preset: str
    output: str
    recipe: str | None  # of this picture alone
    sha256: str | None
    bytes: int | None
    width: int | None
    height: int | None
    checks: Mapping[str, str] = {}  # what became of each rule of the preset
    factor: float = 0.0  # the largest that the canvas has room for, in pixels of it for one of the photo
    area: int = 0  # of its subject, in pixels of the photo; 0 where it isn't laid out


class Saved(Entry, tag="saved", frozen=True, kw_only=True):
    """The picture is durable under its final name, or `held`, and so are those for other presets."""

    item: str
    source: str
    recipe: str | None
    source_sha256: str | None = None
    signature: str | None = None
    meta: Mapping[str, Any] | None = None
    output: str | None
    sha256: str | None
    bytes: int | None
    width: int | None
    height: int | None
    prediction_id: str | None
    attempts: int
    seconds: Seconds | None
    reused: bool
    outputs: tuple[Rendition, ...] = ()
    fingerprint: str | None = None
    notes: tuple[str, ...] = ()
    engine: str | None = None
    quality: Mapping[str, Any] | None = None
    flags: tuple[str, ...] = ()
    etag: str | None = None
    modified: str | None = None
    edited: str | None = None
    redo: Mapping[str, Any] = {}
    held: bool = False


class Failed(Entry, tag="failed", frozen=True, kw_only=True):
    """The item has failed."""

    item: str
    source: str
    recipe: str | None
    signature: str | None = None
    meta: Mapping[str, Any] | None = None
    kind: str
    message: str
    retryable: bool
    attempts: int


class Unchanged(Entry, tag="unchanged", frozen=True):
    """A saved or failed item stays as it is, and its source is recorded anew; by older versions the signature alone."""

    item: str
    signature: str | None
    source: str | UnsetType = UNSET
    meta: Mapping[str, Any] | None = None
    etag: str | None = None
    modified: str | None = None


class Renamed(Entry, tag="renamed", frozen=True):
    """What is on record of the item `was` is the item's from now on."""

    item: str
    was: str


class Released(Entry, tag="released", frozen=True):
    """The item's pictures, which were held, are durable under their final names."""

    item: str


class Gone(Entry, tag="gone", frozen=True):
    """The item isn't in the manifest any more."""

    item: str


class RunFinished(Entry, tag="run_finished", frozen=True):
    """The run has ended in good order; the counts are those of its own items and purchases."""

    saved: int
    failed: int
    pending: int
    predictions: int
    possible_duplicates: int
    seconds: Seconds | None
    state: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    unread: bool = False
    flight: Seconds | None = None
    manifest: Mapping[str, Any] = {}


EVENTS: Final[Mapping[str, type[Entry]]] = {
    str(event.__struct_config__.tag): event for event in Entry.__subclasses__() if event is not Ignored
}
_decode: Callable[[bytes], Entry] = Decoder(reduce(or_, EVENTS.values())).decode


def encode(entry: Entry, stamp: str) -> bytes:
    """The line for an entry that isn't stamped yet, newline included."""
    return b'%s%s",%s\n' % (_HEAD, stamp.encode(), codec.encode(entry)[1:])


def decode(
    line: bytes,
    number: int,
    name: str = LEDGER,
    known: Mapping[str, type[Entry]] = EVENTS,
    quick: Callable[[bytes], Entry] = _decode,
) -> Entry | None:
    """The entry on a line, None for a damaged one; raises LedgerError for a format newer than this program knows.

    `name` of the file, and the `known` events that may be in it, which `quick` reads where nothing is odd.
    """
    if line.startswith(_HEAD):
        try:
            return quick(line)
        except (MsgspecError, ValueError, RecursionError):
            pass  # odd, edited, newer or damaged
    try:
        entry = codec.decode(line)
    except (ValueError, RecursionError):
        return None
    version = entry.get("v") if isinstance(entry, dict) else None
    if type(version) is not int:
        return None
    if version > FORMAT:
        raise LedgerError(
            f"{name}, line {number}: written in format {version}, and this batch-removebg knows up to {FORMAT}; "
            "upgrade it, or choose another --out"
        )
    return lenient(entry, known)


def lenient(entry: Mapping[str, Any], events: Mapping[str, type[Entry]] = EVENTS) -> Entry:
    """The record of a line, whatever its fields hold."""
    name = entry.get("event")
    event = events.get(name) if isinstance(name, str) else None
    if event is None or ("item" in event.__struct_fields__ and not isinstance(entry.get("item"), str)):
        return Ignored()
    known = {each.name: each for each in fields(event) if each.name != "v"}
    absent = {name: None for name, each in known.items() if each.required}
    given = {name: value for name, value in entry.items() if name in known}
    return event(**{name: _read(value, known[name].type) for name, value in (absent | given).items()})


_NOTHING: Final[Mapping[Any, Any]] = {
    str: "",
    str | UnsetType: "",
    int: 0,
    bool: False,
    tuple[str, ...]: (),
    tuple[Rendition, ...]: (),
    Mapping[str, Any]: {},
}
"""What a value of the wrong type is read as; None for the other types."""


def _read(value: object, kind: Any) -> Any:
    if kind == tuple[str, ...] and isinstance(value, list):
        value = [text for text in value if isinstance(text, str)]
    try:
        return convert(value, kind)
    except (MsgspecError, ValueError, OverflowError):
        return _NOTHING.get(kind)


def writable(value: object, levels: int = _LEVELS) -> bool:
    """Whether the value can be written as JSON again: no NaN, no infinity, not nested deeper than `levels`."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list) or (levels > 0 and all(writable(part, levels - 1) for part in value))
