"""Which items a filter chooses, in which order, and how many there are of each kind. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from batch_removebg.ledger.state import ItemState

from . import protocol
from .protocol import FIGURES, KINDS, Query

Mask = npt.NDArray[np.bool_]
Chosen = npt.NDArray[np.uint32]
Numbers = Sequence[int] | Chosen
T = TypeVar("T", bound=np.generic)
_MEASURES = (*FIGURES, "width", "bytes", "seconds")
_MOST_LABELS, _OTHER = 60_000, "…"  # combinations in a column, and what further ones are called
_MOST_SHOWN = 200  # labels of a facet
_KEPT = 16  # views


class Labels:
    """A column of labels: an item has any number of them, and a combination of them is a small integer."""

    def __init__(self) -> None:
        self._codes: npt.NDArray[np.uint16] = np.zeros(0, np.uint16)
        self._combinations: list[tuple[str, ...]] = [()]
        self._known: dict[tuple[str, ...], int] = {(): 0}

    def grow(self, size: int) -> None:
        """Make room for items up to that number."""
        self._codes = _grown(self._codes, size, 0)

    def put(self, n: int, labels: tuple[str, ...]) -> None:
        """Label an item."""
        if labels not in self._known and len(self._known) >= _MOST_LABELS:
            labels = (_OTHER,)
        code = self._known.setdefault(labels, len(self._known))
        if code == len(self._combinations):
            self._combinations.append(labels)
        self._codes[n] = code

    def mask(self, wanted: Collection[str] | None = None) -> Mask:
        """Which items have one of the labels, or any at all."""
        have = [bool(labels if wanted is None else {*labels}.intersection(wanted)) for labels in self._combinations]
        return np.array(have)[self._codes]

    def counts(self, chosen: Mask) -> dict[str, int]:
        """How many of the chosen items have each label, the most frequent first."""
        found: dict[str, int] = {}
        counted = np.bincount(self._codes[chosen], minlength=len(self._combinations)).tolist()
        for labels, count in zip(self._combinations, counted, strict=True):
            for label in labels if count else ():
                found[label] = found.get(label, 0) + count
        return dict(sorted(found.items(), key=lambda each: -each[1])[:_MOST_SHOWN])


class Facts:
    """What items are filtered and sorted by, in under 80 bytes each; `put` every one, again once it changes."""

    def __init__(self) -> None:
        self.labels = {kind: Labels() for kind in KINDS}
        self._there: Mask = np.zeros(0, np.bool_)
        self._measures = {name: np.zeros(0, np.float32) for name in _MEASURES}
        self._time = np.zeros(0, np.float64)
        self.columns: set[str] = set()  # of the manifests

    def grow(self, last: int) -> None:
        """Make room for items up to that number."""
        if last < len(self._there):
            return
        size = last + 1 + last // 8
        for labels in self.labels.values():
            labels.grow(size)
        self._there = _grown(self._there, size, 0)
        self._measures = {name: _grown(values, size, np.nan) for name, values in self._measures.items()}
        self._time = _grown(self._time, size, np.nan)

    def put(self, n: int, item: str, state: ItemState, verdict: str, *, edited: bool) -> None:
        """Take an item as it is now."""
        self.grow(n)
        made = protocol.pictures(state)
        checks = tuple(f"{one.preset}:{rule}" for one in made for rule in protocol.failed(one))
        presets = tuple(one.preset for one in made if one.preset)
        own = (protocol.status(state),), state.flags, (verdict,), presets, checks
        values = *own, (protocol.folder(item, state),), (str(int(edited)),)
        for kind, labels in zip(KINDS, values, strict=True):
            self.labels[kind].put(n, labels)
        self._there[n] = not (state.gone and state.nameless)
        quality = state.quality or {}
        for name, column in self._measures.items():
            column[n] = _number(quality.get(name) if name in FIGURES else getattr(state, name))
        self._time[n] = _seconds(state.checked)
        if state.meta and len(self.columns) < _MOST_SHOWN:
            self.columns.update(state.meta)

    def chosen(
        self, query: Query, found: Sequence[Mask] = (), ranks: Sequence[int] = ()
    ) -> tuple[Chosen, dict[str, dict[str, int]]]:
        """The numbers of a query's items in its order, and facets.

        `found`: which items have its texts and columns; `ranks`: all numbers in the order of ids, to sort by that.
        """
        base = self._there.copy()
        for mask in found:
            base &= _grown(mask, len(base), 0)
        masks = {kind: self.labels[kind].mask(wanted) for kind, wanted in query.kinds.items()}
        facets = {kind: self.labels[kind].counts(_all(base, masks, kind)) for kind in KINDS}
        numbers = np.flatnonzero(_all(base, masks)).astype(np.uint32)
        if query.sort == "order":
            return numbers[:: -1 if query.down else 1], facets
        keys = (self._measures | {"time": self._time, "id": self._by(ranks)})[query.sort][numbers]
        # What has none is last either way.
        return numbers[np.argsort(-keys if query.down else keys, kind="stable")], facets

    def _by(self, ranks: Sequence[int]) -> npt.NDArray[np.float64]:
        keys = np.full(len(self._there), np.nan)
        keys[np.asarray(ranks, np.int64)] = np.arange(len(ranks))
        return keys

    def those(self, numbers: Numbers, what: str) -> Mask:
        """Which of these are `undecided`, `flagged` or `failed`."""
        kind, wanted = {"undecided": ("decision", ["undecided"]), "failed": ("status", ["failed"])}.get(
            what, ("flag", None)
        )
        return self.labels[kind].mask(wanted)[np.asarray(numbers, np.uint32)]


class Views:
    """The last views, each an immutable list of numbers, by an id."""

    def __init__(self, name: str) -> None:
        """`name`: what their ids begin with, so that those of another server aren't taken for ours."""
        self._name, self._count = name, 0
        self._kept: OrderedDict[str, Numbers] = OrderedDict()

    def keep(self, numbers: Numbers) -> str:
        """Keep one; returns its id."""
        self._count += 1
        self._kept[key := f"{self._name}-{self._count}"] = numbers
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return key

    def get(self, key: str) -> Numbers:
        """The numbers; raises Refusal (410) once they are forgotten."""
        if key not in self._kept:
            raise protocol.refused("this view is no longer kept; ask for it again", 410)
        self._kept.move_to_end(key)
        return self._kept[key]


def following(found: Mask, after: int, *, back: bool) -> int | None:
    """The place of the next one behind `after`, or of the last one before it; None where there is none."""
    part = found[: max(0, after)][::-1] if back else found[max(0, after + 1) :]
    step = int(part.argmax()) if part.any() else -1
    return None if step < 0 else after - 1 - step if back else after + 1 + step


def _all(base: Mask, masks: Mapping[str, Mask], but: str = "") -> Mask:
    left = [mask for kind, mask in masks.items() if kind != but]
    return np.logical_and.reduce([base, *left]) if left else base


def _grown(values: npt.NDArray[T], size: int, fill: float) -> npt.NDArray[T]:
    grown = np.full(max(size, len(values)), fill, values.dtype)
    grown[: len(values)] = values
    return grown


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return np.nan
