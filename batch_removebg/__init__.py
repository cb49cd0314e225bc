"""Remove the background from folders and catalogues of product photos.

`remove(picture)` gives one cutout; `await run_batch(inputs, out=…)`, or `run_batch_sync` from a script or a notebook, a
`Summary`; `async for result in stream_batch(inputs, out=…)` a `Result` an item. Names are imported when they are first
used, so that the command line starts at once.

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
    from batch_removebg.model import (
        Capabilities,
        CreateRequest,
        Prediction,
        PredictionPage,
        Provider,
        ProxySpec,
        Status,
        Upload,
    )
    from batch_removebg.run.library import Result, remove, run_batch, run_batch_sync, stream_batch
    from batch_removebg.run.settings import Settings
    from batch_removebg.run.summary import Failures, Summary

__version__ = "0.1.0"

__all__ = [
    "BatchError",
    "Capabilities",
    "CreateRequest",
    "Event",
    "Failures",
    "Kind",
    "LedgerError",
    "LockedError",
    "ManifestError",
    "Prediction",
    "PredictionPage",
    "Provider",
    "ProxySpec",
    "Result",
    "Settings",
    "SettingsError",
    "Status",
    "Summary",
    "Upload",
    "remove",
    "run_batch",
    "run_batch_sync",
    "stream_batch",
]

_HOMES = {
    **dict.fromkeys(["BatchError", "LedgerError", "LockedError", "ManifestError", "SettingsError"], "errors"),
    **dict.fromkeys(["Event", "Kind"], "events"),
    **dict.fromkeys(
        ["Capabilities", "CreateRequest", "Prediction", "PredictionPage", "Provider", "ProxySpec", "Status", "Upload"],
        "model",
    ),
    **dict.fromkeys(["Result", "remove", "run_batch", "run_batch_sync", "stream_batch"], "run.library"),
    **dict.fromkeys(["Settings"], "run.settings"),
    **dict.fromkeys(["Failures", "Summary"], "run.summary"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
