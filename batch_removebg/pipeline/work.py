"""An item on its way through the pipeline: to be done, prepared, predicted."""

from __future__ import annotations

from dataclasses import dataclass

from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item, Matte

from .reuse import Twin


@dataclass(frozen=True, slots=True)
class Todo:
    """An item that is to be done, with what is known of it."""

    item: Item
    output: str
    """Name claimed for it, relative to OUT."""
    state: ItemState
    """As the ledger had it when the item was read."""
    signature: str | None = None
    """Size and times of the file, taken before it is read; None for a URL."""
    finished_if_same: bool = False
    """Nothing is to be done if the content is what it was: only times of the file have changed."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item whose source has been looked at."""

    todo: Todo
    fingerprint: str
    """Of what a prediction buys for it: items with the same one share a prediction."""
    sha256: str | None
    """Of the source; None where a URL is passed through."""
    width: int
    height: int
    """Of the upright source in pixels; 0 where a URL is passed through."""
    cost: int
    """Bytes that finishing it takes."""
    data: bytes | None
    """The source, kept only where reading it again would be a second download."""
    notes: tuple[str, ...]
    started: float
    """Moment on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """An item whose alpha is in reach: at `output_url`, or in hand."""

    prepared: Prepared
    output_url: str | None
    matte: Matte | None
    prediction_id: str | None
    attempts: int
    reused: bool
    twin: Twin | None = None
    """The finished picture itself, made for another item from the same URL."""
