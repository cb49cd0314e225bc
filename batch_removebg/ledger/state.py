"""What the ledger's lines add up to: the state of every item, the only truth about a run, and what is left to do."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, UnsetType
from msgspec.structs import asdict, replace

from batch_removebg.errors import RetryError, SpentPicture, kinds
from batch_removebg.hashing import sha256_hex
from batch_removebg.net.urls import clean
from batch_removebg.storage.layout import place

from . import events
from .events import Claimed, Entry, Failed, Rejected, Renamed, Saved, Submitted, Submitting, Unchanged, writable

Outcome = Literal["pending", "saved", "failed"]
_PASSING = kinds(RetryError)  # that pass by themselves: tried again by the next run


class Lost(Struct, frozen=True, array_like=True, gc=False):
    """A create that may have been accepted without our knowing its id."""

    key: str  # the input URL that it is recognised by, or `sha256:…` of a data URI, which servers don't echo
    since: str  # when `submitting` was written: an ISO stamp


class HeldUpload(Struct, frozen=True, array_like=True, gc=False):
    """A file that the server keeps for a while."""

    url: str
    until: str  # when the server deletes it: an ISO stamp


class ItemState(Struct, array_like=True, gc=False):
    """An item as the ledger knows it; fields without a word are those of its last `saved` or `failed` line."""

    outcome: Outcome = "pending"
    source: str = ""
    output: str | None = None  # name claimed or written last, relative to OUT
    others: tuple[str, ...] = ()  # its further names, also earlier ones by another template: the files there are ours
    sha256: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    prediction_id: str | None = None
    attempts: int = 0
    seconds: float | None = None
    reused: bool = False
    error_kind: str | None = None
    error_message: str | None = None
    retryable: bool = False
    recipe: str | None = None  # settings the output was made with: another recipe means another picture
    source_sha256: str | None = None
    signature: str | None = None  # size and times of the source file when it was read
    meta: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    quality: Mapping[str, Any] | None = None
    flags: tuple[str, ...] = ()
    engine: str | None = None
    fingerprint: str | None = None
    """What was bought; of a saved item only where its line names it: its file is all that is left of that."""
    in_flight: bool = False  # `prediction_id` was submitted and its result is not saved yet
    lost: Lost | None = None  # a create was begun and its answer is not on record
    lost_before: tuple[Lost, ...] = ()  # earlier ones that it may be a duplicate of
    upload: HeldUpload | None = None
    spent: tuple[str, ...] = ()  # predictions bought before `prediction_id` that gave nothing
    etag: str | None = None  # of a source that was downloaded, as its host gave it
    modified: str | None = None
    checked: str = ""  # when the source was last read or asked for: an ISO stamp
    gone: bool = False  # the last whole manifest doesn't have it
    outputs: tuple[events.Rendition, ...] = ()  # all pictures, `output` first, where there are presets
    edited: str | None = None  # sha256 of the touched-up alpha that the pictures are made with, where there was one
    was: tuple[str, ...] = ()  # ids that it had before, the last one first
    now: str = ""  # of one that is nameless the id that it has now
    held: bool = False  # its pictures wait elsewhere until somebody accepts them, see `place`
    redo: Mapping[str, Any] = {}  # options in the place of the run's own that the picture was made with, on demand

    @property
    def content(self) -> str | None:
        """What a touched-up alpha is for: the source's content, else what was bought for its URL."""
        return self.source_sha256 or self.fingerprint

    @property
    def renditions(self) -> tuple[events.Rendition, ...]:
        """The pictures on record, presets or not."""
        if self.outputs or self.output is None:
            return self.outputs
        return (events.Rendition("", self.output, self.recipe, self.sha256, self.bytes, self.width, self.height),)

    def place(self, name: str) -> str:
        """Where the picture of that name lies, relative to OUT."""
        return place(name, held=self.held)

    @property
    def is_made(self) -> bool:
        """Whether the file that `sha256` describes belongs to what is on record."""
        return self.outcome == "saved" or (self.outcome == "failed" and self.sha256 is not None)

    @property
    def nameless(self) -> bool:
        """Whether nothing is on record, or not any more: it has another id now."""
        return not (self.source or self.output)


_LIKE = re.compile(r" #[0-9a-f]{8}\Z")


def on_record(item: str) -> str:
    """An item's id in the fold: of a URL that an older version wrote with its signature the rest, and a hash of all."""
    return item if (plain := clean(item)) == item else f"{plain} #{sha256_hex(item)[:8]}"


def unsigned(item: str) -> str:
    """An id in the fold without such a hash: all that it is found by."""
    return _LIKE.sub("", item) if "://" in item else item


_BLOCK = ("state", "started", "ended", "reason", "exit_code", "pid", "rate", "eta", "unread")


class Run(Struct, frozen=True, gc=False):
    """The last run over this OUT, as far as it has come."""

    started: str | None = None
    ended: str | None = None
    state: str | None = None  # how it ended: finished, interrupted, stopped or limited; None: it hasn't, or was cut off
    reason: str | None = None
    exit_code: int | None = None
    pid: int | None = None
    unread: bool = True  # its manifest wasn't read to the end
    items: int | None = None  # of its manifest, where they were counted before it began
    pending: int = 0  # at its end, those included that no line names
    done: int = 0  # saved or failed in it
    last: str = ""  # when the last of these was
    flight: float | None = None  # seconds from create to picture by which nearly all were home, in the last that knew
    manifest: Mapping[str, Any] = {}  # of a shard that has read it to its end: what all shards of it tell alike

    def told(self, counts: Mapping[str, int], *, held: bool = True) -> dict[str, Any]:
        """The `run` block of results.json and of `status`; `held`: a process holds the lock of OUT."""
        state, rate, eta = self.state or ("running" if held else "killed"), None, None
        with suppress(ValueError, TypeError):  # nothing is done yet, or a stamp was edited
            took = datetime.fromisoformat(self.last) - datetime.fromisoformat(self.started or "")
            rate = round(self.done / took.total_seconds(), 3) if took.total_seconds() > 0 else None
        if state == "running" and rate and self.items is not None:
            eta = round(max(0, self.items - counts["saved"] - counts["failed"]) / rate)
        more = {"state": state if self.started else None, "rate": rate, "eta": eta}
        return {name: more[name] if name in more else getattr(self, name) for name in _BLOCK}


class Fold:
    """The ledger so far: `apply` every entry in order. Where the states are kept is a subclass's matter."""

    items: Mapping[str, ItemState]
    change: Callable[[str], ItemState]
    """Gives an item's state, to be changed; a new one where the ledger names the item for the first time."""
    provider: str = ""
    version: str = ""
    settings: Mapping[str, Any] = {}  # of the last run, those that weren't the default
    predictions: int = 0  # creates that a server accepted, in all runs
    billed: int = 0  # those of them that cost money, and those that may have
    possible_duplicates: int = 0  # creates sent again although an earlier one may have been accepted
    proven: str = ""  # provider and version whose prediction last gave a picture
    run: Run = Run()
    engine: str | None = None
    """What the local engine ran on when it was last loaded; None where the last run's provider is another."""

    def __init__(self) -> None:
        self.saved_for: dict[str, list[str]] = {}
        """Saved items by the fingerprint that their `saved` lines name; an index keeps only recent ones."""

    def apply(self, entry: Entry) -> None:
        """Record the next entry; one of no known event changes nothing (invariant 6).

        URLs are read as they are written now: older versions left their signatures in; for ids, see `on_record`.
        """
        step = _STEPS.get(type(entry))
        if step is not None:
            step(self, self.change(on_record(entry.item)), entry)  # type: ignore[attr-defined]  # each event with a step has it
            if isinstance(entry, Saved | Failed):
                self.run = replace(self.run, done=self.run.done + 1, last=entry.t)
        elif isinstance(entry, events.RunStarted):
            flight = self.run.flight if (self.provider, self.version) == (entry.provider, entry.version) else None
            self.provider, self.version, self.settings = entry.provider, entry.version, _writable(entry.settings) or {}
            self.run = Run(started=entry.t, pid=entry.pid, items=entry.items, flight=flight)
            if self.provider != "local":
                self.engine = None
        elif isinstance(entry, events.EngineLoaded):
            self.engine = entry.engine
        elif isinstance(entry, events.RunFinished):
            told = {name: getattr(entry, name) for name in ("reason", "exit_code", "unread", "pending", "manifest")}
            told["flight"] = self.run.flight if entry.flight is None else entry.flight
            ended = entry.state or ("stopped" if entry.pending else "finished")  # older versions don't say
            self.run = replace(self.run, **told, state=ended, ended=entry.t)


def names_of(state: ItemState) -> Iterator[str]:
    """The output names that an item holds, or has held."""
    return (name for name in (state.output, *state.others) if name is not None)


def _named(state: ItemState, output: str | None, outputs: tuple[events.Rendition, ...] = ()) -> None:
    names = dict.fromkeys((*state.others, state.output, *(one.output for one in outputs)))
    state.others = tuple(name for name in names if name and name != output)
    state.output, state.outputs = output, outputs


def _claimed(_fold: Fold, state: ItemState, entry: Claimed | Submitting) -> None:
    same = entry.output in (None, state.output)
    if isinstance(entry, Claimed):
        state.others += entry.others
    _named(state, entry.output or state.output, state.outputs if same else ())
    state.outcome, state.gone = "pending", False


def _submitting(fold: Fold, state: ItemState, entry: Submitting) -> None:
    _claimed(fold, state, entry)
    state.in_flight = False
    state.fingerprint = entry.fingerprint
    key = clean(entry.key)
    state.upload = HeldUpload(key, entry.until) if entry.until is not None and key == entry.key else None
    if not entry.possible_duplicate:
        state.lost_before = ()
    elif state.lost is not None:
        state.lost_before = (*state.lost_before, state.lost)
    state.lost = Lost(key, entry.t)
    _suspect(fold, entry.possible_duplicate)


def _suspect(fold: Fold, count: int) -> None:
    fold.possible_duplicates += count
    fold.billed += count


def _rejected(fold: Fold, state: ItemState, _entry: Rejected) -> None:
    # A second create that was refused duplicates nothing, and the first is as lost as before.
    state.lost = None
    if state.lost_before:
        *before, state.lost = state.lost_before
        state.lost_before = tuple(before)
        _suspect(fold, -1)


def _cleared(fold: Fold, _state: ItemState, _entry: events.Cleared) -> None:
    _suspect(fold, -1)


def _submitted(fold: Fold, state: ItemState, entry: Submitted) -> None:
    fold.predictions += 1
    fold.billed += fold.provider != "local"
    if entry.prediction_id is not None:  # without an id it can't be asked for: until it is saved, it is as good as lost
        state.lost, state.lost_before = None, ()
    if state.prediction_id is not None:
        state.spent = (*state.spent, state.prediction_id)
    state.prediction_id = entry.prediction_id
    state.in_flight = entry.prediction_id is not None


def _ended(state: ItemState, entry: Saved | Failed) -> None:
    for name in _TAKEN[type(entry)]:
        setattr(state, name, getattr(entry, name))
    state.source, state.meta = clean(entry.source), _writable(entry.meta)
    state.checked, state.gone = entry.t, False


def _settled(state: ItemState) -> None:
    state.lost, state.lost_before, state.in_flight, state.upload, state.spent = None, (), False, None, ()


def _saved(fold: Fold, state: ItemState, entry: Saved) -> None:
    _ended(state, entry)
    _settled(state)
    state.outcome, state.quality, state.redo = "saved", _writable(entry.quality), _writable(entry.redo) or {}
    if entry.prediction_id is not None and not entry.reused:
        fold.proven = f"{fold.provider} {fold.version}"
    if entry.fingerprint is not None:
        fold.saved_for.setdefault(entry.fingerprint, []).append(on_record(entry.item))
    _named(state, entry.output, entry.outputs)
    state.error_kind, state.error_message, state.retryable = None, None, False


def _failed(_fold: Fold, state: ItemState, entry: Failed) -> None:
    recipe = state.recipe
    _ended(state, entry)
    state.outcome = "failed"
    state.error_kind, state.error_message = entry.kind, entry.message
    if not entry.retryable:
        # Otherwise a prediction that could not be asked for may still be there, and is paid for.
        _settled(state)
    if entry.kind == SpentPicture.kind:
        state.recipe = recipe  # the picture of before is still there
        return
    state.sha256 = state.bytes = state.width = state.height = state.seconds = state.source_sha256 = None
    state.notes, state.quality, state.flags, state.engine, state.edited = (), None, (), None, None
    _named(state, state.output)


def _unchanged(_fold: Fold, state: ItemState, entry: Unchanged) -> None:
    state.signature, state.checked, state.gone = entry.signature, entry.t, False
    state.etag, state.modified = entry.etag or state.etag, entry.modified or state.modified
    if not isinstance(entry.source, UnsetType):
        state.source = clean(entry.source)
        state.meta = _writable(entry.meta)


def _renamed(fold: Fold, state: ItemState, entry: Renamed) -> None:
    was = on_record(entry.was)
    if not state.nameless or was == entry.item or was not in fold.items:  # what it has of its own stays
        return
    old = fold.change(was)
    moved = asdict(old) | {"gone": False, "was": (was, *old.was), "now": ""}
    for target, values in ((state, moved), (old, asdict(ItemState(gone=True, now=entry.item)))):
        for name, value in values.items():
            setattr(target, name, value)
    if state.outcome == "saved" and state.fingerprint is not None:
        fold.saved_for.setdefault(state.fingerprint, []).append(entry.item)


def _released(_fold: Fold, state: ItemState, _entry: events.Released) -> None:
    state.held = False


def _gone(_fold: Fold, state: ItemState, _entry: events.Gone) -> None:
    state.gone = True


def _writable(value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    texts = value is None or set(map(type, value.values())) <= {str}  # most are, and this is quicker
    return value if texts or writable(value) else None


_TAKEN = {
    event: set(ItemState.__struct_fields__) & set(event.__struct_fields__) - {"output", "outputs"}
    for event in (Saved, Failed)
}
"""Fields that an item has as its last such line has them."""
_STEPS: Mapping[type[Entry], Callable[[Fold, ItemState, Any], None]] = {
    Claimed: _claimed,
    Submitting: _submitting,
    Rejected: _rejected,
    events.Cleared: _cleared,
    Submitted: _submitted,
    Saved: _saved,
    Failed: _failed,
    Unchanged: _unchanged,
    Renamed: _renamed,
    events.Released: _released,
    events.Gone: _gone,
}


class Step(enum.Enum):
    """What is to be done with an item: nothing, as it is saved or as it failed before; or all of it."""

    DONE = "done"
    LEAVE = "leave"
    DO = "do"


def plan(state: ItemState | None, *, tried: str, retry_failed: bool, same_source: bool, whole: bool) -> Step:
    """What is left to do for one item; what has failed by trouble that passes is tried again.

    `same_source`: its content is what it was when the ledger's line was written. `whole`: its pictures are there, as
    they would be made. `tried`: the digest of what would be tried; one that isn't on record is taken for the same.
    """
    if state is None or state.outcome == "pending" or not same_source:
        return Step.DO
    if state.outcome == "saved":
        return Step.DONE if whole else Step.DO
    again = retry_failed or state.error_kind in _PASSING or state.recipe not in (None, tried)
    return Step.DO if again else Step.LEAVE
