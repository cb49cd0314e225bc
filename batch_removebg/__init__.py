"""Remove the background from folders and catalogues of product photos.

`remove(picture)` gives one cutout; `await run_batch(inputs, out=…)`, or `run_batch_sync` from a script or a notebook, a
`Summary`; `async for result in stream_batch(inputs, out=…)` a `Result` an item. A `Provider` of your own takes and
gives what `batch_removebg.model` holds. Names are imported when they are first used, so that the command line starts at
once.

>>> from batch_removebg import remove, run_batch_sync
>>> remove("shoe.jpg").save("shoe.png")
>>> summary = run_batch_sync(rows=[{"image": "shoe.jpg", "id": "A1"}], out="cutouts", format="webp")
>>> summary.saved, summary.failed, summary.exit_code
(1, 0, 0)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch_removebg.errors import BatchError, LedgerError, LockedError, ManifestError, SettingsError
    from batch_removebg.events import Event, Kind
    from batch_removebg.model import Provider
    from batch_removebg.run.library import Result, remove, run_batch, run_batch_sync, stream_batch
    from batch_removebg.run.settings import Settings
    from batch_removebg.run.summary import Group, Summary

__version__ = "0.1.0"

__all__ = [
    "BatchError",
    "Event",
    "Group",
    "Kind",
    "LedgerError",
    "LockedError",
    "ManifestError",
    "Provider",
    "Result",
    "Settings",
    "SettingsError",
    "Summary",
    "remove",
    "run_batch",
    "run_batch_sync",
    "stream_batch",
]

_HOMES = ("errors", "events", "model", "run.summary", "run.settings", "run.library")  # the lightest first


def __getattr__(name: str) -> Any:
    for home in _HOMES if name in __all__ else ():
        if hasattr(module := import_module(f"{__name__}.{home}"), name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
