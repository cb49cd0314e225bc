"""Requests and answers of the page as values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from batch_removebg.finish.compliance import fix
from batch_removebg.ledger.decisions import Decided, Verdict
from batch_removebg.ledger.events import Rendition
from batch_removebg.ledger.state import ItemState
from batch_removebg.server.protocol import Refusal

KINDS = ("status", "flag", "decision", "preset", "check", "folder", "edited")
"""What a view is filtered by, beside text and the manifest's columns; each has a facet."""
FIGURES = ("coverage", "undecided", "peak", "components", "doubt", "unsure", "loose")
SORTS = ("order", "id", *FIGURES, "width", "bytes", "seconds", "time")
MOST_ROWS = 500
_MOST_WORDS, _LONGEST = 200, 1000  # values in a query, and characters of one
_COLUMN = "col."


@dataclass(frozen=True, slots=True)
class Query:
    """Which items a view has, and in which order."""

    kinds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)  # values of the manifest's, by name
    texts: frozenset[str] = frozenset()
    sort: str = "order"
    down: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is all items in order."""
        return self == Query()


def query(given: Iterable[tuple[str, str]]) -> Query:
    """The query in a URL's parameters, which may be repeated; raises Refusal for those that there aren't."""
    found: dict[str, set[str]] = {}
    for name, value in given:
        found.setdefault(name, set()).add(value)
    if sum(map(len, found.values())) > _MOST_WORDS or any(
        len(text) > _LONGEST for some in found.values() for text in some
    ):
        raise refused(f"a filter has {_MOST_WORDS} values at most, of {_LONGEST} characters")
    sort, down = "".join(found.pop("sort", {"order"})), found.pop("down", {"0"}) == {"1"}
    if sort not in SORTS:
        raise refused(f"sort is one of {', '.join(SORTS)}")
    texts = frozenset(filter(None, found.pop("q", ())))
    kinds = {name: frozenset(found.pop(name)) for name in KINDS if name in found}
    columns = {name.removeprefix(_COLUMN): frozenset(found.pop(name)) for name in [*found] if name.startswith(_COLUMN)}
    if found:
        raise refused(f"{min(found)[:40]!r} is nothing to filter by")
    return Query(kinds, columns, texts, sort, down)


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict about items, or about all of a view."""

    verdict: Verdict
    items: Annotated[tuple[int, ...], Meta(max_length=100_000)] | None = None
    view: str | None = None
    note: Annotated[str, Meta(max_length=2000)] | None = None  # None: as it was
    redo: dict[Annotated[str, Meta(pattern="^(class|model|precision|refine|edges|zoom)$")], str | bool] = {}

    def __post_init__(self) -> None:
        """Refuse what is about nothing or about both, and two networks."""
        if (self.items is None) == (self.view is None):
            raise ValueError("give `items` or `view`")
        if {"class", "model"} <= self.redo.keys():
            raise ValueError("give `class` or `model`: a class stands for a model")


class Undo(msgspec.Struct, frozen=True):
    """What is to be taken back."""

    undo: str


class TouchUp(msgspec.Struct, frozen=True):
    """Strokes and the like on the alpha of an item."""

    operations: list[Any]
    base: str  # sha256 of the picture that they were drawn on


def refused(why: str, status: int = 400) -> Refusal:
    """A refusal in a sentence for people."""
    return Refusal(status, "Refused", why)


def pictures(state: ItemState) -> tuple[Rendition, ...]:
    """The pictures that there are of an item."""
    return state.renditions if state.is_made else ()


def status(state: ItemState) -> str:
    """What became of an item, in a word."""
    return "gone" if state.gone else state.outcome


def folder(item: str, state: ItemState) -> str:
    """The folder of an item's name, without that of a preset."""
    names = (one.output.removeprefix(f"{one.preset}/") for one in pictures(state))
    return next(names, item).rpartition("/")[0]


def failed(one: Rendition) -> list[str]:
    """The rules that a picture breaks."""
    return [rule for rule, became in one.checks.items() if became == "fail"]


def row(at: int | None, n: int, item: str, state: ItemState, *, decided: Decided | None, **more: Any) -> dict[str, Any]:
    """An item as the grid shows it; `more`: what isn't in the ledger."""
    made = pictures(state)
    shown = ("preset", "output", "sha256", "width", "height", "bytes")
    return {
        "n": n,
        "at": at,
        "id": item,
        "source": state.source,
        "folder": folder(item, state),
        "status": status(state),
        "error": state.error_message if state.outcome == "failed" else None,
        "output": made[0].output if made else None,
        "outputs": [{name: getattr(one, name) for name in shown} | {"failed": failed(one)} for one in made],
        **{name: getattr(state, name) for name in ("sha256", "bytes", "width", "height", "flags", "quality", "meta")},
        "time": state.checked,
        "held": state.held,
        "source_sha": (state.source_sha256 or "0")[:16],
        "decision": decided and {name: getattr(decided, name) for name in ("verdict", "note", "t", "redo")},
        **more,
    }


def details(state: ItemState) -> dict[str, Any]:
    """What the loupe tells of an item beside its row."""
    names = ("notes", "engine", "seconds", "attempts", "prediction_id", "reused")
    checks = {
        one.preset: [{"rule": rule, "result": result, "fix": fix(rule)} for rule, result in one.checks.items()]
        for one in pictures(state)
        if one.checks
    }
    suspect = (state.quality or {}).get("suspect", ())
    return {"checks": checks, "suspect": suspect, **{name: getattr(state, name) for name in names}}
