"""An item on its way through the pipeline: to do, prepared, predicted; and the turn of its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from batch_removebg.errors import BatchError
from batch_removebg.finish.options import Finished
from batch_removebg.ledger.events import Rendition
from batch_removebg.ledger.state import ItemState, Lost
from batch_removebg.model import Item, Matte, Reference, Upload
from batch_removebg.net.fetch import UNKNOWN, Validators
from batch_removebg.storage.spool import Held

from .cache_key import Recipe


@dataclass(frozen=True, slots=True)
class Todo:
    """An item to do, with its state on record."""

    item: Item
    output: str  # name claimed for it, relative to OUT
    state: ItemState  # from the ledger, when the item was read
    signature: str | None = None  # size and times of the file before it is read; None for a URL
    finished_if_same: bool = False
    """Only the file's times have changed, or a host is asked: there is nothing to do if the content is the same."""
    notes: tuple[str, ...] = ()  # about the item itself, for people
    was: str = ""  # the id that its state is on record under, where that is another
    known: Validators | None = None  # what the host of a finished item is asked with, whether its picture has changed
    forced: bool = False  # to be made anew, whatever is on record
    over: ItemState | None = None  # of the item whose picture has the name, and is replaced
    others: tuple[str, ...] = ()  # names of further pictures, for other presets
    recipe: Recipe | None = None  # of its own, where it has a scale from its group
    kept: tuple[Rendition, ...] = ()  # of the pictures on record those that stay
    redone: bool = False  # forced, since somebody wants another picture
    anew: bool = False  # and from another prediction, whatever is kept

    @property
    def names(self) -> tuple[str, ...]:
        """Of all its pictures."""
        return self.output, *self.others

    @property
    def missing(self) -> tuple[int, ...]:
        """Which of `names` are to be made."""
        kept = {one.output for one in self.kept}
        return tuple(nth for nth, name in enumerate(self.names) if name not in kept)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item whose source has been read and measured."""

    todo: Todo
    fingerprint: str  # of what a prediction buys for it: items with the same one share a prediction
    sha256: str | None  # of the source; None for a URL that the API fetches itself
    started: float  # moment on the monotonic clock
    width: int = 0
    height: int = 0  # in pixels, with the EXIF orientation applied; 0 where it isn't measured
    cost: int = 0  # bytes of memory that finishing it takes
    pixels: int = 0  # of the source or the picture, whichever has more
    data: Held | None = (
        None  # the source, kept only where reading it again would be a second download, or costs no memory
    )
    notes: tuple[str, ...] = ()
    validators: Validators = UNKNOWN  # as the source's host gave them

    @property
    def content(self) -> str:
        """As `ItemState.content`."""
        return self.sha256 or self.fingerprint


@dataclass(frozen=True, slots=True)
class Cutout:
    """A bought cutout on hand, or a picture that was made from one."""

    data: bytes
    lossy: bool = False  # its format loses detail or transparency


@dataclass(frozen=True, slots=True)
class Predicted:
    """An item whose alpha is within reach."""

    prepared: Prepared
    output: tuple[str, ...] | Matte | Reference | Finished | Cutout
    """The URLs to fetch it from, the likeliest first, the alpha itself, or of an item with the same URL the finished
    picture, or the cutout."""
    prediction_id: str | None
    attempts: int
    reused: bool  # nothing was bought for this item
    since: float = -inf  # when its create was sent, on the monotonic clock; -inf: by an earlier run, or never


@dataclass(frozen=True, slots=True)
class Doubt:
    """A lost create that may have made a prediction beside the one that was bought in its stead."""

    lost: Lost
    sent: float
    lost_at: float


@dataclass(slots=True)
class Turn:
    """What was uploaded and bought for one content, for one of its items or for several in turn."""

    owner: Prepared | None  # the item whose turn it is; None once the turn has ended
    parked: list[Prepared] = field(default_factory=list)  # its copies
    upload: Upload | None = None
    spent: list[str] = field(default_factory=list)  # ids of the predictions that were bought
    bought: int = 0  # predictions bought in this run
    open: str | None = None
    """The last prediction, unless it turned out useless: where its item fails, it serves the next one."""
    buyer: str | None = None  # id of the item that it was bought for; None where an earlier run bought it
    lost: Lost | None = None  # a create whose answer was lost, still to be looked for
    sent: float = -inf  # when it was sent, on the monotonic clock; -inf: by an earlier run
    losses: int = 0  # answers lost in a row
    resent: int = 0  # creates sent although an earlier one may have been accepted
    doubtful: bool = False  # the next create may be such a duplicate
    waiting: list[ItemState] = field(default_factory=list)
    """Items for which earlier runs bought the content, or began to: all of it is asked for before more is bought."""
    doubts: list[Doubt] = field(default_factory=list)
    """Creates that were sent again though nothing showed that they were missing."""
    nameless: bool = False  # the last prediction has no id: this run alone can have its output
    refusal: BatchError | None = None
    """What the content ended with in this run: asked and paid again, it would end the same."""

    @property
    def paid(self) -> bool:
        """A prediction was bought, or may have been, that may still give a picture."""
        return self.open is not None or self.lost is not None or self.nameless or bool(self.waiting)

    def purchased(self, prediction_id: str | None, item: str) -> None:
        """Record a prediction that a server accepted for the item."""
        self.bought += 1
        self.open, self.buyer, self.nameless = prediction_id, item, prediction_id is None
        self.losses, self.resent, self.doubtful = 0, 0, False
        if prediction_id is not None:
            self.spent.append(prediction_id)

    def inherit(self, states: Iterable[ItemState]) -> None:
        """Continue what earlier runs bought, or began to buy, for this content, perhaps for several of its items."""
        self.waiting = sorted(states, key=lambda state: not state.in_flight)
        for state in self.waiting:
            self.doubts += [Doubt(lost, -inf, -inf) for lost in state.lost_before]
            self.spent += [spent for spent in (state.prediction_id, *state.spent) if spent is not None]
        self.take_up()

    def take_up(self) -> None:
        """Go on with what is waiting, where what came before it gave nothing."""
        while self.waiting and self.open is None and self.lost is None:
            state = self.waiting.pop(0)
            self.open, self.lost = (state.prediction_id if state.in_flight else None), state.lost
