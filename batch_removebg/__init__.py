"""Remove the background from folders and catalogues of product photos.

`await run_batch(inputs, out=…)`, or `run_batch_sync` from a script; both return a `Summary`. Names are imported when
they are first used, so that the command line starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch_removebg.errors import BatchError, LedgerError, LockedError, ManifestError, SettingsError
    from batch_removebg.run.batch import run_batch, run_batch_sync
    from batch_removebg.run.settings import Settings
    from batch_removebg.run.summary import Failures, Summary

__version__ = "0.1.0"

__all__ = [
    "BatchError",
    "Failures",
    "LedgerError",
    "LockedError",
    "ManifestError",
    "Settings",
    "SettingsError",
    "Summary",
    "run_batch",
    "run_batch_sync",
]

_HOMES = {
    **dict.fromkeys(["BatchError", "LedgerError", "LockedError", "ManifestError", "SettingsError"], "errors"),
    **dict.fromkeys(["Failures", "Summary"], "run.summary"),
    **dict.fromkeys(["run_batch", "run_batch_sync"], "run.batch"),
    "Settings": "run.settings",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
