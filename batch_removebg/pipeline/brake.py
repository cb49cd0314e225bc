"""Stops a run whose predictions give nothing: what went wrong for a few pictures in a row goes wrong for all.

Pure: it counts pictures that came to the same, and forgets them with the first one that is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from batch_removebg.errors import (
    BatchError,
    CreateUnaccounted,
    InputRejected,
    NothingUsable,
    OutputBroken,
    PredictionFailed,
    PredictionLost,
    ResubmitError,
    UploadExpired,
)

_HOPELESS = OutputBroken, PredictionLost  # what the server gives can't be used, and waiting heals nothing
_DOUBTFUL = ResubmitError, PredictionFailed, InputRejected, CreateUnaccounted  # the pictures' fault, or it may pass
_FEW, _MANY = 3, 10  # pictures in a row that stop the run


@dataclass(eq=False)
class Brake:
    """Pictures are known by the fingerprint of their content: copies of one count once."""

    stop: Callable[[BatchError], None]
    """Gets the reason to stop."""
    _suspects: set[str] = field(default_factory=set, init=False)
    _alike: dict[str, set[str]] = field(default_factory=dict, init=False)
    """Pictures by kind of error."""

    @property
    def holds(self) -> bool:
        """Whether to buy nothing for now: of several predictions it is being found out whether they are of any use."""
        return len(self._suspects) >= _FEW

    def suspect(self, picture: str) -> None:
        """Record a first sign that a prediction is of no use."""
        self._suspects.add(picture)

    def useless(self, picture: str, error: BatchError, *, new: bool = True) -> None:
        """Record that a prediction turned out to be of no use; one that isn't `new` may just be over its hour."""
        self._suspects.discard(picture)
        if isinstance(error, _HOPELESS) and new:
            self._count(picture, error, _FEW)

    def ended(self, picture: str, error: BatchError) -> None:
        """Record that a picture wasn't saved."""
        self.useless(picture, error)
        if isinstance(error, _DOUBTFUL) and not isinstance(error, (*_HOPELESS, UploadExpired)):
            self._count(picture, error, _MANY)

    def saved(self) -> None:
        """Record that a picture was saved."""
        self._alike.clear()
        self._suspects.clear()

    def _count(self, picture: str, error: BatchError, most: int) -> None:
        alike = self._alike.setdefault(error.kind, set())
        alike.add(picture)
        if len(alike) == most:
            text = f"{most} pictures in a row ended alike, and none was saved in between: no more are bought"
            self.stop(NothingUsable(f"{text}; run the same command again once the cause is found. The last: {error}"))
