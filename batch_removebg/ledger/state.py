"""What the ledger's lines add up to: the state of every item, and what is left to do.

Pure: entries in, states out. The fold of the lines on disk is the only truth there is about a run; counts are taken
from it and never kept beside it.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["pending", "saved", "failed"]


@dataclass(slots=True)
class ItemState:
    """An item as the ledger knows it."""

    outcome: Outcome = "pending"
    source: str = ""
    output: str | None = None
    """Name claimed or written last, relative to OUT."""
    others: tuple[str, ...] = ()
    """Names that the item had before, under another format or template: the files there are ours as well."""
    sha256: str | None = None
    """Of the output file."""
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
    recipe: str | None = None
    """Settings the output was made with: another recipe means another picture."""
    source_sha256: str | None = None
    signature: str | None = None
    """Size and times of the source file when it was read."""
    meta: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    quality: Mapping[str, Any] | None = None
    """What the alpha looks like, of a saved item whose alpha was at hand."""
    flags: tuple[str, ...] = ()
    """What makes a saved item worth a look."""
    engine: str | None = None
    """What the network ran on that saw it, of a saved item where that is told."""
    fingerprint: str | None = None
    """What the prediction in flight was bought for: source content, provider, version, inputs, proxy.

    Of a saved item only where its line names it: then its file is all that is left of what was bought.
    """
    in_flight: bool = False
    """`prediction_id` was submitted and its result is not saved yet."""
    lost: Lost | None = None
    """A create was begun and its answer is not on record."""
    upload: Held | None = None
    """What was uploaded for `fingerprint`."""
    spent: tuple[str, ...] = ()
    """Predictions bought before `prediction_id` that gave nothing."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A create that may have been accepted without our knowing its id."""

    key: str
    """The input URL it is recognised by, or `sha256:…` of a data URI, which servers don't echo."""
    since: str
    """When `submitting` was written: an ISO stamp."""
    earlier: Lost | None = None
    """The one that this create may be a duplicate of."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file that the server holds for a while."""

    url: str
    until: str
    """When it is forgotten there: an ISO stamp."""


@dataclass(slots=True)
class Fold:
    """The ledger so far: `apply` every entry in order."""

    items: MutableMapping[str, ItemState] = field(default_factory=dict)
    provider: str = ""
    version: str = ""
    predictions: int = 0
    """Creates that a server accepted, in all runs."""
    possible_duplicates: int = 0
    """Creates sent again although an earlier one may have been accepted."""
    finished: Mapping[str, Any] | None = None
    """The last `run_finished`, unless a later run has begun."""
    engine: str | None = None
    """What the local engine ran on when it was last loaded; None where the last run's provider is another."""
    saved_for: dict[str, str] = field(default_factory=dict)
    """Saved items by the fingerprint that their `saved` lines name; an index keeps those of late only."""

    def apply(self, entry: Mapping[str, Any]) -> None:
        """Take one entry in; unknown events and fields are ignored (invariant 6)."""
        event = entry.get("event")
        if event == "run_started":
            self.provider, self.version = _text(entry.get("provider")), _text(entry.get("version"))
            self.finished = None
            if self.provider != "local":
                self.engine = None
        elif event == "engine_loaded":
            self.engine = _opt(entry.get("engine"), str)
        elif event == "run_finished":
            self.finished = entry
        elif isinstance(event, str) and event in _STEPS and isinstance(entry.get("item"), str):
            state = self.items.setdefault(entry["item"], ItemState())
            _STEPS[event](self, state, entry)

    def counts(self, ids: Iterable[str] | None = None) -> dict[str, int]:
        """Items by outcome, and their total: all of the ledger, or `ids`, of which the ledger need not know all."""
        keys = self.items if ids is None else ids
        by = Counter(state.outcome if (state := self.items.get(key)) is not None else "pending" for key in keys)
        return {"total": by.total(), "saved": by["saved"], "failed": by["failed"], "pending": by["pending"]}

    def each(self) -> Iterator[tuple[str, ItemState]]:
        """Every item with its state, as the ledger first names them."""
        return iter(self.items.items())

    def in_flight(self) -> int:
        """Items whose prediction was submitted and whose result is not saved yet."""
        return sum(state.in_flight for state in self.items.values())

    def failed(self) -> Iterator[tuple[str, ItemState]]:
        """The items that failed, as the ledger first names them."""
        return ((key, state) for key, state in self.items.items() if state.outcome == "failed")

    def flagged(self) -> Iterator[tuple[str, ItemState]]:
        """The saved items that are worth a look, as the ledger first names them."""
        return ((key, state) for key, state in self.items.items() if state.outcome == "saved" and state.flags)

    def has_prediction(self, prediction_id: str) -> bool:
        """Whether the prediction belongs to an item already."""
        return any(state.prediction_id == prediction_id for state in self.items.values())

    def done(self, keys: Sequence[int | None], ids: Sequence[str]) -> Sequence[int | None]:
        """For each of `done_keys` the number of the saved item of that id that an index finds done so; here none."""
        return [None] * len(keys)

    def made(self, fingerprint: str) -> ItemState | None:
        """The state of a saved item that was bought for `fingerprint`, where its `saved` line says so."""
        key = self.saved_for.get(fingerprint)
        state = self.items.get(key) if key is not None else None
        return state if state is not None and (state.outcome, state.fingerprint) == ("saved", fingerprint) else None

    def unsettled(self) -> Iterator[ItemState]:
        """The states with a prediction in flight, or a create without an answer."""
        return (state for state in self.items.values() if state.in_flight or state.lost is not None)


def names_of(state: ItemState) -> Iterator[str]:
    """The output names that an item holds, or has held."""
    return (name for name in (state.output, *state.others) if name is not None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _opt(value: object, kind: type) -> Any:
    return value if isinstance(value, kind) and not (kind is int and isinstance(value, bool)) else None


def _seconds(value: object) -> float | None:
    # A ledger edited by hand may hold a number that no float can, and results.json has no word for infinity.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        return None
    return float(value)


def _writable(value: object, levels: int = 100) -> bool:
    """Whether the value can be written as JSON again: no NaN, no infinity, not nested without end."""
    if isinstance(value, float):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_writable(part, levels - 1) for part in inner)


def _named(state: ItemState, output: str | None) -> None:
    if state.output is not None and state.output != output:
        state.others = (*(name for name in state.others if name != output), state.output)
    state.output = output


def _claimed(_fold: Fold, state: ItemState, entry: Mapping[str, Any]) -> None:
    _named(state, _opt(entry.get("output"), str) or state.output)
    state.outcome = "pending"


def _submitting(fold: Fold, state: ItemState, entry: Mapping[str, Any]) -> None:
    _claimed(fold, state, entry)
    state.in_flight = False
    state.fingerprint = _opt(entry.get("fingerprint"), str)
    until = _opt(entry.get("until"), str)
    state.upload = Held(_text(entry.get("key")), until) if until is not None else None
    again = entry.get("possible_duplicate") is True
    state.lost = Lost(_text(entry.get("key")), _text(entry.get("t")), state.lost if again else None)
    fold.possible_duplicates += again


def _rejected(fold: Fold, state: ItemState, _entry: Mapping[str, Any]) -> None:
    # A second create that was refused duplicates nothing, and the first is as lost as before.
    earlier = state.lost.earlier if state.lost is not None else None
    if earlier is not None:
        fold.possible_duplicates -= 1
    state.lost = earlier


def _submitted(fold: Fold, state: ItemState, entry: Mapping[str, Any]) -> None:
    fold.predictions += 1
    state.lost = None
    if state.prediction_id is not None:
        state.spent = (*state.spent, state.prediction_id)
    state.prediction_id = _opt(entry.get("prediction_id"), str)
    state.in_flight = state.prediction_id is not None


def _ended(state: ItemState, entry: Mapping[str, Any]) -> None:
    state.source = _text(entry.get("source"))
    state.attempts = _opt(entry.get("attempts"), int) or 0
    state.recipe = _opt(entry.get("recipe"), str)
    state.source_sha256 = _opt(entry.get("source_sha256"), str)
    state.signature = _opt(entry.get("signature"), str)
    state.meta = _meta(entry)
    state.notes = _texts(entry.get("notes"))
    state.quality, state.flags, state.engine = None, (), None


def _saved(fold: Fold, state: ItemState, entry: Mapping[str, Any]) -> None:
    _ended(state, entry)
    state.outcome = "saved"
    state.lost, state.in_flight, state.upload, state.spent = None, False, None, ()
    state.fingerprint = _opt(entry.get("fingerprint"), str)
    if state.fingerprint is not None:
        fold.saved_for[state.fingerprint] = entry["item"]
    _named(state, _opt(entry.get("output"), str))
    state.sha256 = _opt(entry.get("sha256"), str)
    state.bytes = _opt(entry.get("bytes"), int)
    state.width, state.height = _opt(entry.get("width"), int), _opt(entry.get("height"), int)
    state.prediction_id = _opt(entry.get("prediction_id"), str)
    state.seconds = _seconds(entry.get("seconds"))
    state.reused = entry.get("reused") is True
    quality = _opt(entry.get("quality"), dict)
    state.quality = quality if _writable(quality) else None
    state.flags = _texts(entry.get("flags"))
    state.engine = _opt(entry.get("engine"), str)
    state.error_kind = state.error_message = None
    state.retryable = False


def _failed(_fold: Fold, state: ItemState, entry: Mapping[str, Any]) -> None:
    _ended(state, entry)
    state.outcome = "failed"
    state.error_kind, state.error_message = _text(entry.get("kind")), _text(entry.get("message"))
    state.retryable = entry.get("retryable") is True
    if not state.retryable:
        # Otherwise a prediction that could not be asked for may still be there, and is paid for.
        state.lost, state.in_flight, state.upload, state.spent = None, False, None, ()
    state.sha256 = state.bytes = state.width = state.height = state.seconds = None


def _unchanged(_fold: Fold, state: ItemState, entry: Mapping[str, Any]) -> None:
    state.signature = _opt(entry.get("signature"), str)
    if "source" in entry:  # told anew, with what else the manifest says of it
        state.source = _text(entry["source"])
        state.meta = _meta(entry)


def _meta(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    meta = _opt(entry.get("meta"), dict)
    return meta if _writable(meta) else None


_STEPS = {
    "claimed": _claimed,
    "submitting": _submitting,
    "rejected": _rejected,
    "submitted": _submitted,
    "saved": _saved,
    "failed": _failed,
    "unchanged": _unchanged,
}


class Step(enum.Enum):
    """What is to be done with an item."""

    DONE = "done"
    """Saved, unchanged, made with these settings: nothing."""
    LEAVE = "leave"
    """Failed before, and the run does not ask to try again."""
    DO = "do"


def plan(
    state: ItemState | None,
    *,
    recipe: str,
    output: str,
    retry_failed: bool,
    same_source: bool,
    output_intact: bool,
) -> Step:
    """What is left to do for one item.

    `same_source`: its content is what it was when the ledger's line was written. `output_intact`: the file that the
    ledger names is there with the size it names.
    """
    if state is None or state.outcome == "pending" or state.recipe != recipe or not same_source:
        return Step.DO
    if state.outcome == "failed":
        return Step.DO if retry_failed else Step.LEAVE
    return Step.DONE if output_intact and state.output == output else Step.DO
