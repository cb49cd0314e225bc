"""The values that the pipeline's parts exchange, and the protocol of providers."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REMOVE_BG = "95fcc2a26d3899cd6c2691c900465aaeff466285a65c14638cc5f36f34befaf1"
"""Version id of lucataco/remove-bg, the API's default model."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to process, as the manifest names it."""

    id: str  # the same in every run, by the rule of `manifest/identity.py`
    source: str  # the path or URL for the ledger and messages, without signatures and passwords
    origin: str  # `catalogue.csv:12`, or the folder
    path: Path | None = None  # None for a URL
    name: str | None = None  # in the id's place for the output's name: of a picture given by its path, the file name
    output: str | None = None  # of the manifest's output column, relative to OUT
    meta: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None  # why the item fails without being tried (an unreadable folder, a `file:` URL)
    url: str | None = None  # as it is asked for, byte for byte, where `source` is something else
    own_id: bool = False  # the id is that of the manifest's id column
    suffix: str = ""  # of id and output name, where a row names several pictures, or several rows share an id: `-2`
    was: tuple[str, ...] = field(default=(), compare=False)  # ids that earlier versions, or other commands, gave it


@dataclass(slots=True)  # not frozen: there may be a million, and a frozen one takes three times as long to create
class UrlRow:
    """A table row that names a URL, enough to skip it when it is done; else `as_item` makes its Item."""

    id: str
    source: str
    meta: Mapping[str, Any]
    manifest: str
    line: int
    url: str | None = None  # see Item
    path: ClassVar[None] = None
    name: ClassVar[None] = None
    output: ClassVar[None] = None
    problem: ClassVar[None] = None
    own_id: ClassVar[bool] = True
    suffix: ClassVar[str] = ""


class Lot(NamedTuple):
    """Rows that were read together, as they stand in their manifest, and the ids of their items."""

    names: Sequence[str]  # of the columns
    rows: Sequence[Sequence[Any]]  # cells in this order; those missing at the end are empty
    ids: Sequence[str] = ()  # one for each row, or all those of a single row, which may be none


class Status(enum.Enum):
    """State of a prediction."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"  # ended before it started; not billed
    UNKNOWN = "unknown"  # a status that this program doesn't know; waited for until the deadline

    @property
    def terminal(self) -> bool:
        """Whether the status is final."""
        return self not in (Status.STARTING, Status.PROCESSING, Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction as a server reports it."""

    id: str | None  # None where a gateway returns a result at once without an id
    status: Status
    output: str | None = None
    """The likeliest picture among the URLs in the output: `https:`, `http:` or `data:`; `others` are the rest."""
    error: str | None = None  # what the server said of its end, or gave in the place of an output
    image: str | None = None  # the input URL, where the server returns it; identifies a create whose answer was lost
    created_at: datetime | None = None
    version: str | None = field(default=None, compare=False)  # of the model, where the server shows it
    data_removed: bool = False
    others: tuple[str, ...] = ()
    ran: float | None = None  # seconds from creation to completion, queue included, as the server reports them
    held: float = field(default=0.0, compare=False)  # seconds until the create was answered
    wait_honoured: bool = field(default=False, compare=False)  # the answer says that the server applied `Prefer: wait`
    exhausted: float | None = field(default=None, compare=False)
    """Seconds until the next create is allowed, where the answer says that the limit is used up."""
    disown: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
    """Close the connection that it came over: it turned out to be another's answer."""


@dataclass(frozen=True, slots=True)
class PredictionPage:
    """One page of a server's list of predictions, newest first."""

    predictions: tuple[Prediction, ...]
    next: str | None = None  # cursor of the next page; empty where there is one that can't be asked for


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A create, as the provider and its wrappers get it."""

    item: str
    image: str  # a URL or data URI
    output: str  # name of the finished picture, relative to OUT
    fingerprint: str = ""  # digest of source content, provider, version, inputs and proxy
    attempt: int = 1
    possible_duplicate: bool = False  # an earlier one of this fingerprint may have been accepted; it can't be looked up
    until: datetime | None = None  # when `image` expires, where it is an upload
    wait: int | None = None  # seconds, 1–60, that the server is asked to wait with its answer for the prediction to end


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on the server."""

    url: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider offers beyond `create` and `get`."""

    files: bool = False
    list: bool = False
    cancel: bool = False
    wait: bool = False  # may apply `Prefer: wait`
    billed: bool = True
    data_uri_limit: int = 10_000_000  # longest data URI accepted, in characters, where there is no Files API


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """The picture that is uploaded instead of the photo: upright, sRGB, 8 bits a channel."""

    longest: int = 2048  # side in pixels; smaller photos aren't enlarged
    square: int | None = None  # side in pixels, whatever the photo's aspect, for a network of fixed size
    encoding: Literal["jpeg", "bmp"] = "jpeg"  # `bmp`: lossless, almost for nothing, within this process
    quality: int = 92  # of JPEG, 1–95, without chroma subsampling
    more: tuple[int, ...] = ()  # further sides of squares, as BMP, within this process
    zoom: int | None = None  # longest side of one more, in the photo's shape, of which the subject's part is looked at


Box = tuple[float, float, float, float]
"""A part of a picture: left, top, width and height, in shares of the picture's."""


@dataclass(frozen=True, slots=True, eq=False)
class Matte:
    """The alpha of a picture, and how it was made, where that is known."""

    alpha: NDArray[np.uint8]  # H×W, 0 background to 255 subject
    peak: float | None = None  # the network's confidence: the maximum of its map, 0–1
    engine: str | None = None  # runtime, device and precision, such as `openvino CPU bf16`
    doubt: float | None = None  # how far the looks that agree most still disagree, 0–1; None where there was one look
    suspect: tuple[Box, ...] = ()  # where looks disagree, the largest part first: 3 at most
    part: Box | None = None  # the alpha is of this part, and what lies around it is background; None: of all


class Reference:
    """Stands for a picture or an alpha that lies where workers find it, and that this process never holds."""

    __slots__ = ()


class Provider(Protocol):
    """Makes cutouts. Each method is one exchange with the server; failures are `BatchError`s with a verdict.

    One of your own is given as `run_batch(provider=…)`; it may subclass this and leave out what `capabilities` deny.
    `name`, `version` and `proxy` decide whether a picture is made anew; retries, budget and ledger are added around it.
    """

    name: str
    version: str
    capabilities: Capabilities
    proxy: ProxySpec

    async def create(self, request: CreateRequest) -> Prediction:
        """Create a prediction, perhaps finished at once; raises CreateLost where one may exist whose id is unknown."""

    async def get(self, prediction_id: str) -> Prediction:
        """The prediction's current state; raises PredictionLost if the server doesn't know it."""

    async def cancel(self, prediction_id: str) -> None:
        """Ask the server to stop the prediction; it may still succeed."""

    async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
        """One page of predictions, newest first."""

    async def upload(self, data: bytes, *, filename: str, content_type: str) -> Upload:
        """Upload a file whose URL can be the input of a prediction."""

    async def fetch(self, url: str) -> bytes | Matte | Reference:
        """The output behind a URL (also `data:`): a file, or a matte from a provider in this process."""

    async def abandon(self) -> None:
        """Abort requests in progress; an aborted create may have been accepted."""
