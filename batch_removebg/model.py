"""The nouns of the pipeline, all frozen, and the protocols its parts meet at."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


REMOVE_BG = "95fcc2a26d3899cd6c2691c900465aaeff466285a65c14638cc5f36f34befaf1"
"""Version id of lucataco/remove-bg, the API's default model."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to be done, as the manifest names it."""

    id: str
    """Stable from run to run: the id column, else the path relative to the input, else the URL."""
    source: str
    """The path or URL, as people should read it in the ledger and in messages."""
    origin: str
    """Where the item comes from: `catalogue.csv:12`, or the folder."""
    path: Path | None = None
    """The file to open; None for a URL."""
    name: str | None = None
    """What the output's name is made from, where that is not the id: of a picture given by its path, only the name."""
    output: str | None = None
    """The name asked for in the manifest's output column, relative to OUT."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """The manifest's other columns."""
    problem: str | None = None
    """Why this item can't even be tried (an unreadable folder, a `file:` URL); it ends failed."""


@dataclass(slots=True)
class UrlRow:
    """A row of a table that names a URL: what tells whether it is done, and an Item only where it is not.

    Not frozen, which would take three times as long to make: there may be a million of them.
    """

    id: str
    source: str
    """The URL as it is written."""
    meta: Mapping[str, Any]
    manifest: str
    line: int
    path: ClassVar[None] = None
    name: ClassVar[None] = None
    output: ClassVar[None] = None


class Status(enum.Enum):
    """Where a prediction stands; the last four are terminal."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"
    """Ended before it started; not billed."""
    UNKNOWN = "unknown"
    """A word this program does not know: waited for until the deadline, never for ever."""

    @property
    def terminal(self) -> bool:
        """Whether the prediction will not change any more."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED})


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction as a server reports it."""

    id: str | None
    """None where a gateway gives an immediate result without an id."""
    status: Status
    output: str | None = None
    """The first URL found in the output: `https:`, `http:` or `data:`."""
    error: str | None = None
    image: str | None = None
    """The input URL, where the server echoes it: what a lost create is recognised by."""
    created_at: datetime | None = None
    data_removed: bool = False
    ran: float | None = None
    """Seconds from creation to completion, queue included, by the server's own account."""
    held: float = field(default=0.0, compare=False)
    """Seconds that the create took to be answered."""
    wait_honoured: bool = field(default=False, compare=False)
    """The answer says that it was kept back as `Prefer: wait` asks."""
    exhausted: float | None = field(default=None, compare=False)
    """Seconds until another create is allowed, where the answer says that this was the last."""


@dataclass(frozen=True, slots=True)
class PredictionPage:
    """One page of a server's list of predictions, newest first."""

    predictions: tuple[Prediction, ...]
    next: str | None = None
    """Cursor of the following page."""


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A create as the provider's wrappers see it."""

    item: str
    """Id of the item it is bought for."""
    image: str
    """The URL or data URI that goes into the model's image field."""
    output: str
    """Name claimed for the finished picture, relative to OUT."""
    fingerprint: str = ""
    """What is bought: source content, provider, version, inputs and proxy, as one digest."""
    attempt: int = 1
    possible_duplicate: bool = False
    """An earlier create for the same may have been accepted, and can't be looked for."""
    until: datetime | None = None
    """When the server forgets `image`, where that is an upload."""
    wait: int | None = None
    """Seconds, 1–60, that the server is asked to keep the answer back until the prediction has ended."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that the server holds for a while."""

    url: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider offers beyond create and query."""

    files: bool = False
    list: bool = False
    cancel: bool = False
    wait: bool = False
    """May honour `Prefer: wait`."""
    urls: bool = True
    """Takes a public URL as input; without it the bytes have to be brought to it."""
    billed: bool = True
    """A prediction costs money."""
    data_uri_limit: int = 10_000_000
    """Longest data URI it takes, in characters, where it has no Files API."""


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """What goes up in the photo's stead: upright, sRGB, 8 bits a channel."""

    longest: int = 2048
    """Longest side in pixels; a smaller photo is not enlarged."""
    square: int | None = None
    """Exactly this many pixels in both directions, whatever the aspect: what a fixed-size network wants."""
    encoding: str = "jpeg"
    """`jpeg`, or `bmp`: lossless and next to free, for a provider in the same process."""
    quality: int = 92
    """JPEG quality, 1–95; 4:4:4."""


@dataclass(frozen=True, slots=True, eq=False)
class Matte:
    """The alpha of a picture, and how it came to be as far as that is known."""

    alpha: NDArray[np.uint8]
    """H×W, 0 background to 255 subject."""
    peak: float | None = None
    """The network's confidence: the maximum of its map, 0–1."""
    engine: str | None = None
    """What the network ran on, such as `openvino CPU bf16`."""


class Provider(Protocol):
    """Makes cutouts. Each method is one exchange; every failure is a `BatchError` that states its remedy."""

    name: str
    version: str
    capabilities: Capabilities
    proxy: ProxySpec

    async def create(self, request: CreateRequest) -> Prediction:
        """Create a prediction; it may come back finished.

        Raises CreateLost where the create may have been accepted without our learning its id.
        """
        ...

    async def get(self, prediction_id: str) -> Prediction:
        """The prediction as it stands; raises PredictionLost if the server does not know it."""
        ...

    async def cancel(self, prediction_id: str) -> None:
        """Ask the server to stop it; it may end all the same."""
        ...

    async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
        """One page of predictions, newest first."""
        ...

    async def upload(self, data: bytes, *, filename: str, content_type: str) -> Upload:
        """Hand the server a file to be named as input."""
        ...

    async def fetch(self, url: str) -> bytes | Matte:
        """What lies behind an output URL (also `data:`): a file, or a matte from a provider in this process."""
        ...

    async def abandon(self) -> None:
        """Break off what is under way: a create that is broken off may have been accepted all the same."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and threads."""
        ...
