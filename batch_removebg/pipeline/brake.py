"""Stops a run whose predictions give nothing: what went wrong for a few items in a row goes wrong for all.

Pure: it counts items that ended alike, and forgets them with the first picture that is saved.
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

_HOPELESS = 3  # items in a row that stop the run where waiting heals nothing: the server's results can't be used
_DOUBTFUL = 10  # the same where it may be the pictures' fault, or trouble that passes
_COUNTED = (ResubmitError, PredictionFailed, InputRejected, CreateUnaccounted)


@dataclass(eq=False)
class Brake:
    """Called with a content (its fingerprint) and the error that a prediction of it came to."""

    stop: Callable[[BatchError], None]
    """Gets the reason to stop."""
    _alike: dict[str, set[str]] = field(default_factory=dict, init=False)
    """Contents by kind of error."""

    def __call__(self, content: str, error: BatchError) -> None:
        """Record what became of a prediction; each content counts once."""
        if not isinstance(error, _COUNTED) or isinstance(error, UploadExpired):
            return
        alike = self._alike.setdefault(error.kind, set())
        alike.add(content)
        if len(alike) == (_HOPELESS if isinstance(error, OutputBroken | PredictionLost) else _DOUBTFUL):
            self.stop(
                NothingUsable(
                    f"{len(alike)} pictures in a row ended alike, and none was saved in between: no more are bought; "
                    f"run the same command again once the cause is found. The last: {error}"
                )
            )

    def saved(self) -> None:
        """Record that a picture was saved."""
        self._alike.clear()
