"""The settings of a run: the options and `out`, checked, and turned into what each part of the pipeline needs."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from batch_removebg.engine import devices, weights
from batch_removebg.errors import INSTALL, ItemError, SettingsError
from batch_removebg.finish.kinds import parse_shadow
from batch_removebg.finish.measures import parse_aspect, parse_canvas, parse_margin, parse_share
from batch_removebg.finish.options import BackdropFile, Finish, Geometry
from batch_removebg.finish.presets import Preset, finish_of, known
from batch_removebg.imaging.format import Colour, Limits, parse_colour
from batch_removebg.manifest.columns import Choice, url_problem
from batch_removebg.manifest.folder import Folders
from batch_removebg.manifest.identity import Identity
from batch_removebg.manifest.reader import Reading
from batch_removebg.model import Provider
from batch_removebg.net import headers
from batch_removebg.net.fetch import FetchPolicy
from batch_removebg.net.ssrf import is_near
from batch_removebg.pipeline.concurrency import CAP, START, Concurrency
from batch_removebg.pipeline.context import Shape
from batch_removebg.providers.replicate import HOSTED, Endpoint
from batch_removebg.resources import cores, memory
from batch_removebg.storage.naming import check_template, is_url

from . import cluster
from .declare import declared
from .options import Options
from .window import deadline, seconds

if TYPE_CHECKING:
    from batch_removebg.engine.process import Engine
    from batch_removebg.ledger.decisions import Edited
    from batch_removebg.pipeline.arrivals import Arrivals
    from batch_removebg.resources import Cpu

_DOWNLOADERS = 32  # outputs of an API downloaded at once; each holds one picture in memory
_ITEM = 16 << 20  # bytes that an item in flight may take: its source, its proxy and the server's answer
_PIXELS = 2 << 30  # bytes of decoded pictures at most, unless `memory` is given: more than cores can work on at once
_MEASURES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "margin": ("margin", parse_margin),
    "canvas": ("canvas", parse_canvas),
    "aspect": ("aspect", parse_aspect),
    "fill": ("fill", partial(parse_share, least=0.01, most=1)),
    "trim_specks": ("specks", partial(parse_share, least=0, most=0.5)),
}
"""Settings that are written as text: their fields of Geometry, and what reads them."""
_LOSSY = ("jpeg", "avif")
_MEMORY_SHARE = 4  # items in flight may take one part in so many of the machine's memory, and decoded pictures another


@dataclass(frozen=True, slots=True)
class Part:
    """What one pass of a run does, where it has several."""

    only: Collection[str] | None = None  # ids of the items that it looks at; None: all
    aside: Collection[str] = ()  # of those that it leaves as they are, since others are for them
    redone: bool = False  # they are made anew
    anew: bool = False  # by another prediction, whatever is kept
    redo: Mapping[str, Any] = field(default_factory=dict)  # the options that are others, as the ledger has them
    whole: Settings | None = None  # the run's own; None: these
    given_up: list[Edited] = field(default_factory=list)  # edits that end with it


@dataclass(frozen=True, slots=True)
class Lasting:
    """What outlives a run over INPUTs that are watched."""

    arrivals: Arrivals | None = None
    engines: Callable[[partial[Any], Cpu], Engine] | None = None
    checked: bool = False  # by the first run, so that later ones begin at once

    @property
    def apart(self) -> tuple[Path, ...]:
        """Folders in the INPUTs that aren't read."""
        return self.arrivals.apart if self.arrivals is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Options):
    """All settings of a run but the key; raises SettingsError for values that aren't allowed."""

    out: Path  # folder for the pictures, the ledger and results.json; created if missing
    own: Provider | None = None  # in the place of the three that `provider` names
    given: Set[str] = field(default=frozenset(), compare=False)  # options that were named
    part: Part = field(default=Part(), compare=False)
    lasting: Lasting = field(default=Lasting(), compare=False)

    def __post_init__(self) -> None:
        for name, option in declared(type(self)).items():
            value = getattr(self, name)
            if option.choices and option.read and isinstance(value, str):
                object.__setattr__(self, name, value := option.read(value))
            option.check(value)
        devices.check(self.device, self.precision)
        for fault in (*_faults(self), *cluster.faults(self, own=self.own is not None)):
            raise SettingsError(fault)
        with _named("--name"):
            check_template(self.name)
        for name, check in (("until", partial(deadline, 0.0)), ("max_runtime", seconds), ("every", seconds)):
            if (text := getattr(self, name)) is not None:
                with _named(f"--{name.replace('_', '-')}"):
                    check(text)
        self.finishes()
        self.headers()

    def headers(self) -> tuple[headers.Header, ...]:
        """The headers for hosts of sources; raises SettingsError where one isn't written as such."""
        with _named("--header"):
            return tuple(map(headers.parse, self.header))

    def finish(self) -> Finish:
        """How the pictures are made."""
        common = {one.name for one in fields(Finish)} & declared(type(self)).keys() - {"preset"}
        given = {name: getattr(self, name) for name in common}
        with _named("--background"):
            given["background"] = self._ground(self.background) if self.background is not None else None
        with _named("--shadow"):
            given["shadow"] = parse_shadow(self.shadow)
        if self.quality is None:
            del given["quality"]
        finish = Finish(**given | ({"colours": "srgb"} if self.srgb else {}), geometry=self._geometry())
        if finish.geometry.canvas is not None:
            with _named("--canvas"):
                finish.require_room(finish.geometry.canvas, self.limits())
        return finish

    def _geometry(self) -> Geometry:
        """Where the subject lies."""
        given = {name: getattr(self, name) for name in ("trim", "align", "enlarge", "trim_level")}
        for name, (meant, read) in _MEASURES.items():
            if (text := getattr(self, name)) is not None:
                with _named(f"--{name.replace('_', '-')}"):
                    given[meant] = read(text)
        if self.scale_group is not None and self.align == "centre":
            given["align"] = "bottom"  # one base line
        geometry = Geometry(**given)
        if not (geometry.trim or self.preset) and geometry != Geometry():
            raise SettingsError("--enlarge, --trim-level and --trim-specks need --trim, --canvas or the like")
        return geometry

    def presets(self) -> tuple[Preset, ...]:
        """The presets that pictures are made for; raises SettingsError where one isn't known."""
        with _named("--preset"):
            return tuple(map(known, self.preset))

    def finishes(self) -> tuple[Finish, ...]:
        """How the pictures of each item are made: one for each preset, else one."""
        base, presets = self.finish(), self.presets()
        for nth, preset in enumerate(presets):
            if self.mask_only:
                raise SettingsError(f"--preset {preset.preset} makes pictures, not masks: leave --mask-only out")
            if self.lossless and preset.format in _LOSSY:
                raise SettingsError(f"--preset {preset.preset} makes {preset.format}: leave --lossless out")
            if clash := self._clash(preset, base):
                remedy = "leave it out, or write a preset of your own (a .toml file)"
                raise SettingsError(f"--preset {preset.preset} says itself what {clash} says: {remedy}")
            if preset.preset in (one.preset for one in presets[:nth]):
                raise SettingsError(f"--preset {preset.preset} is given twice, and both would write the same pictures")
        finishes = tuple(finish_of(preset, base) for preset in presets) or (base,)
        if self.scale_group is not None and not any(finish.geometry.canvas for finish in finishes):
            raise SettingsError("--scale-group needs --canvas, or a preset with one: elsewhere nothing is scaled")
        return finishes

    def _clash(self, preset: Preset, base: Finish) -> str:
        """The first flag that was given and says otherwise than the preset; empty where none does."""
        options, made = declared(type(self)), finish_of(preset, base)
        for name in filter(options.__contains__, preset.bound):
            own, bound = (getattr(each.geometry, name, getattr(each, name, None)) for each in (base, made))
            if own != bound and (name in self.given or getattr(self, name) != options[name].default):
                return options[name].flag
        return ""

    def _ground(self, text: str) -> Colour | BackdropFile:
        try:
            return parse_colour(text)
        except SettingsError as error:
            if Path(text).is_dir():
                raise SettingsError(f"{text} is a folder: name a picture in it") from error
            if not Path(text).is_file():
                raise SettingsError(f"{error}; and no picture is at that path") from error
        from batch_removebg.finish.ground import backdrop_file  # loads what reads pictures

        return backdrop_file(Path(text), self.limits(), whole=self.background_fit == "fit")

    def endpoint(self) -> Endpoint:
        """The API's address and model, with the key; raises SettingsError where a key is needed and none is set."""
        return Endpoint(
            base=self.base,
            version=self.model_version,
            image_field=self.input_field,
            inputs=dict(self.model_inputs),
            key=self.key(),
            run_limit=self.deadline,
        )

    def budget(self, billed: int = 0) -> tuple[int | None, str]:
        """Predictions that may be bought in this run (None: any number), and what to say once they are.

        `billed`: predictions that earlier runs over this OUT have bought.
        """
        limits: list[tuple[int, str]] = []
        one = "in this run; the same command would buy as many again (--max-cost-total bounds all runs together)"
        every = "in all runs over this OUT; raise it to buy more"
        if self.max_predictions is not None:
            limits.append((self.max_predictions, f"--max-predictions {self.max_predictions} is reached {one}"))
        for flag, most, before, where in (
            ("--max-cost", self.max_cost, 0, one),
            ("--max-cost-total", self.max_cost_total, billed, every),
        ):
            if most is not None and self.price is not None and math.isfinite(most):
                # Rounded first: 0.3 / 0.1 is a little less than 3.
                count = math.floor(round(most / self.price, 9))
                spent = f"{max(count, before)} predictions were bought at --price {self.price:g}"
                limits.append((max(0, count - before), f"{flag} {most:g} is reached: {spent} {where}"))
        return min(limits, default=(None, ""))

    @property
    def local(self) -> bool:
        """Whether the engine on this machine makes the predictions."""
        return self.own is None and self.provider == "local"

    @property
    def network(self) -> weights.Weights:
        """The local engine's network; raises SettingsError where it isn't known."""
        model = weights.known(self.model or weights.CLASSES[self.model_class or weights.DEFAULT])
        model = weights.zooming(model) if self.zoom else model
        return weights.escalating(model) if self.escalate else model

    @property
    def public_only(self) -> bool:
        """Whether sources and outputs are fetched from public addresses only."""
        return not (self.allow_private or (self.provider != "local" and is_near(urlsplit(self.base).hostname or "")))

    @property
    def base(self) -> str:
        """The API's base URL."""
        return (self.base_url or HOSTED).rstrip("/")

    def key(self) -> str | None:
        """The key from the environment, None where the API may need none; raises SettingsError if it can't be sent."""
        key = os.environ.get(self.token_env, "").strip()
        if key and not (key.isascii() and key.isprintable()):
            raise SettingsError(f"the key in {self.token_env} holds characters no key has; set it again")
        if not key and self.provider == "replicate" and not is_near(urlsplit(self.base).hostname or ""):
            raise SettingsError(
                f"--provider replicate needs a key: put it into the environment variable {self.token_env}, or name "
                "another variable with --token-env (--provider local works on this machine, without a key)"
            )
        if key and urlsplit(self.base).scheme == "http" and not is_near(urlsplit(self.base).hostname or ""):
            raise SettingsError(f"--base-url {self.base}: the key would travel unencrypted; use https")
        return key or None

    def limits(self) -> Limits:
        """Bounds of pictures that are decoded."""
        return Limits(max_pixels=self.max_pixels)

    def reading(self) -> Reading:
        """How INPUTs are read."""
        return Reading(
            Choice(self.image_column, self.id_column, self.strict),
            Folders(self.out, self.include, self.exclude, self.follow_links, self.lasting.apart),
            Identity(self.name, frozenset(name.lower() for name in self.ignore_query)),
            self.root,
        )

    def fetching(self) -> FetchPolicy:
        """Bounds of what is read and fetched."""
        return FetchPolicy(size=self.max_size << 20, public_only=self.public_only)

    def pixels(self) -> float:
        """Bytes that pictures in work (fetched, decoded, composed, encoded) may take together on this machine."""
        return inf if self.away else self._memory() - self.answers()

    def answers(self) -> int:
        """Bytes that an API's long answers may take together."""
        return 0 if self.local else self._memory() // 4

    def _memory(self) -> int:
        return self.memory << 20 if self.memory is not None else min(_PIXELS, memory() // _MEMORY_SHARE)

    def shape(self, *, stream: bool) -> Shape:
        """Numbers of the pipeline; `stream`: the manifest comes in as it is made."""
        workers = self.adaptive_concurrency().cap
        return Shape(
            workers=workers,
            downloaders=cluster.AHEAD if self.away else cores() + 1 if self.local else _DOWNLOADERS,
            queue=max(8, min(64, 2 * workers)),
            stream=stream,
            limit=self.limit,
            grace=self.grace,
        )

    def adaptive_concurrency(self) -> Concurrency:
        """The number of items in flight: fixed, or found during the run."""
        if self.concurrency is not None or self.local:
            return Concurrency(fixed=self.concurrency or (cluster.AHEAD if self.away else cores() + 2))
        return Concurrency(cap=min(CAP, max(START, memory() // _MEMORY_SHARE // _ITEM)))

    @classmethod
    def recorded(cls, out: Path, shown: Mapping[str, Any]) -> Self:
        """The settings that `shown` has told of, but for `buy_again`; raises SettingsError where they can't be had."""
        if shown.get("model_inputs"):
            raise SettingsError("values of --input aren't on record")
        given: dict[str, Any] = {name: tuple(its) if isinstance(its, list) else its for name, its in shown.items()}
        try:
            return cls(out=out, **given | {"grace": float(given.get("grace", 0)), "buy_again": False})
        except (TypeError, ValueError, AttributeError) as error:
            raise SettingsError(f"what is on record of the last run's settings makes no sense: {error}") from error

    def shown(self) -> dict[str, Any]:
        """The settings as the ledger records them: what differs from the default, and never a key."""
        options = declared(type(self))
        shown = {name: value for name in options if (value := getattr(self, name)) != options[name].default}
        if self.base_url:
            shown["base_url"] = self.base
        for name in ("header", "summary", "metrics"):
            shown.pop(name, None)
        if self.grace == inf:
            shown["grace"] = "inf"  # JSON has no number for it
        if self.model_inputs:
            shown["model_inputs"] = sorted(self.model_inputs)
        return shown


@contextmanager
def _named(flag: str) -> Iterator[None]:
    """Name the flag in errors about its value."""
    try:
        yield
    except (SettingsError, ItemError) as error:
        raise SettingsError(f"{flag}: {error}") from error


def _faults(settings: Settings) -> Iterator[str]:
    """What is wrong with the settings of an API and its budget."""
    provider, url, version = settings.provider, settings.base_url, settings.model_version
    if provider == "local" and url:
        yield "--base-url belongs to --provider replicate or gateway; nothing is billed by --provider local"
    if provider == "gateway" and not url:
        yield "--provider gateway needs --base-url, such as https://HOST/replicate/v1"
    if url is not None:
        yield from _faults_of_url(url)
    if not re.fullmatch(r"(?!r8_)[A-Za-z_][A-Za-z0-9_]*", settings.token_env):
        yield "--token-env takes the name of an environment variable, such as REPLICATE_API_TOKEN; never the key itself"
    if not re.fullmatch(r"([\w.-]+/[\w.-]+:)?[0-9A-Za-z._-]+", version) or version.rpartition(":")[2] == "latest":
        yield f"--model-version {version}: give the version's 64-digit id, or owner/name:id; `latest` is not a version"
    if not settings.input_field:
        yield "--input-field is empty; name the model's input for the picture, such as image"
    if settings.input_field in settings.model_inputs:
        yield f"--input {settings.input_field}=…: that field takes the picture itself"
    if settings.model is not None and settings.model_class is not None:
        yield f"--class {settings.model_class} and --model {settings.model}: give one of them"
    for flag, asked in (("--class", settings.model_class), ("--model", settings.model)):
        if asked is not None and not settings.local:
            yield f"{flag} belongs to --provider local"
    if settings.escalate and not settings.local:
        yield "--escalate belongs to --provider local: what it would cost elsewhere isn't known"
    if settings.zoom and (settings.escalate or not settings.local):
        yield "--zoom belongs to --provider local, and goes without --escalate"
    if settings.metrics is not None and not settings.metrics.endswith(".prom"):
        yield f"--metrics {settings.metrics}: node_exporter reads files that end in .prom alone; name it so"
    if settings.metrics is not None and find_spec("prometheus_client") is None:
        yield f"--metrics needs the package prometheus_client; bring it by: {INSTALL.format('metrics')}"
    for one in settings.redo:
        if one not in ("rejected", "undecided-flagged"):
            yield f"--redo {one}: choose one of rejected, undecided-flagged"
    for flag, most in (("--max-cost", settings.max_cost), ("--max-cost-total", settings.max_cost_total)):
        if most is not None and settings.price is None:
            yield f"{flag} needs --price, the US dollars of one prediction, such as 0.00044"
    if settings.scale_equal != "scale" and settings.scale_group is None:
        yield "--scale-equal needs --scale-group, the column that tells groups"
    if settings.lossless and settings.format in _LOSSY:
        yield f"--lossless: {settings.format} always loses a little; choose --format webp, png or tiff"


def _faults_of_url(url: str) -> Iterator[str]:
    if not is_url(url) or url_problem(url) is not None or re.search(r"[?# ]", url) or not url.isprintable():
        yield "--base-url must be an http(s) address without a query, such as https://HOST/replicate/v1"
    elif "@" in urlsplit(url).netloc:
        yield "--base-url must not hold a user or password; put the key into the environment"
    elif url.rstrip("/").endswith("/predictions"):
        yield "--base-url is the part before /predictions; leave that off"
