"""An item on its way through the pipeline: to do, prepared, predicted."""

from __future__ import annotations

from dataclasses import dataclass

from batch_removebg.finish.options import Finished
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item, Matte


@dataclass(frozen=True, slots=True)
class Todo:
    """An item to do, with its state on record."""

    item: Item
    output: str
    """Name claimed for it, relative to OUT."""
    state: ItemState
    """From the ledger, when the item was read."""
    signature: str | None = None
    """Size and times of the file before it is read; None for a URL."""
    finished_if_same: bool = False
    """Only the file's times have changed: there is nothing to do if its content is the same."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item whose source has been read and measured."""

    todo: Todo
    fingerprint: str
    """Of what a prediction buys for it: items with the same one share a prediction."""
    sha256: str | None
    """Of the source; None for a URL that the API fetches itself."""
    width: int
    height: int
    """In pixels, with the EXIF orientation applied; 0 where `sha256` is None."""
    cost: int
    """Bytes of memory that finishing it takes."""
    data: bytes | None
    """The source, kept only where reading it again would be a second download."""
    notes: tuple[str, ...]
    started: float
    """Moment on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """An item whose alpha is within reach."""

    prepared: Prepared
    output: str | Matte | Finished
    """The URL to fetch it from, the alpha itself, or the finished picture of another item with the same URL."""
    prediction_id: str | None
    attempts: int
    reused: bool
    """Nothing was bought for this item."""
