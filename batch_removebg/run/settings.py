"""The settings of a run: the options and `out`, checked, and turned into what each part of the pipeline needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from batch_removebg.engine import devices, weights
from batch_removebg.errors import ItemError, SettingsError
from batch_removebg.finish.kinds import parse_shadow
from batch_removebg.finish.measures import parse_aspect, parse_canvas, parse_margin, parse_share
from batch_removebg.finish.options import BackdropFile, Finish, Geometry
from batch_removebg.finish.presets import Preset, finish_of, known
from batch_removebg.imaging.format import Colour, Limits, parse_colour
from batch_removebg.manifest.columns import Choice
from batch_removebg.manifest.folder import Folders
from batch_removebg.manifest.identity import Identity
from batch_removebg.manifest.reader import Reading
from batch_removebg.manifest.shard import Shard
from batch_removebg.model import Provider
from batch_removebg.net import headers
from batch_removebg.net.fetch import FetchPolicy
from batch_removebg.net.ssrf import is_near
from batch_removebg.pipeline.concurrency import CAP, START, Concurrency
from batch_removebg.pipeline.context import Shape
from batch_removebg.providers.replicate import HOSTED, Endpoint
from batch_removebg.resources import cores, memory
from batch_removebg.storage.naming import check_template

from .budget import allowed
from .declare import declared
from .faults import LOSSY, faults
from .options import Options
from .shards import shard_of
from .window import deadline, seconds

if TYPE_CHECKING:
    from batch_removebg.engine.process import Engine
    from batch_removebg.ledger.decisions import Edited
    from batch_removebg.pipeline.arrivals import Arrivals
    from batch_removebg.resources import Cpu
    from batch_removebg.storage.outputs import Outputs

_DOWNLOADERS = 32  # outputs of an API downloaded at once; each holds one picture in memory
_AHEAD = 256  # items in flight of a cluster, so that one that grows finds work; those that wait take next to nothing
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
    """What outlives a pass of a run, and a run over INPUTs that are watched."""

    arrivals: Arrivals | None = None
    engines: Callable[[partial[Any], Cpu, int], Engine] | None = None
    outputs: Outputs | None = None  # where pictures go, unless to `out`
    checked: bool = False  # by the first run, so that later ones begin at once
    spent: int = 0  # predictions that were bought before


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Options):
    """All settings of a run but the key; raises SettingsError for values that aren't allowed."""

    out: Path  # folder for the pictures, the ledger and results.json; created if missing
    bucket: str = ""  # the URL that pictures go to, unless to `out`
    own: Provider | None = None  # in the place of the three that `provider` names
    given: Set[str] = field(default=frozenset(), compare=False)  # options that were named
    part: Part = field(default=Part(), compare=False)
    lasting: Lasting = field(default=Lasting(), compare=False)
    job: str | None = field(default=None, compare=False)  # the name of the [[job]]

    def __post_init__(self) -> None:
        if self.shard is not None:
            object.__setattr__(self, "shard", str(shard := shard_of(self.shard, os.environ)))
            if self.out.name != shard.folder:  # which it is in a copy
                object.__setattr__(self, "out", self.out / shard.folder)
                object.__setattr__(self, "bucket", self.bucket and f"{self.bucket}/{shard.folder}")
        for name, option in declared(type(self)).items():
            value = getattr(self, name)
            if option.choices and option.read and isinstance(value, str):
                object.__setattr__(self, name, value := option.read(value))
            option.check(value)
        devices.check(self.device, self.precision)
        for fault in faults(self, local=self.local, own=self.own is not None):
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
            if self.lossless and preset.format in LOSSY:
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
        """See `allowed`; `billed`: predictions that earlier runs over this OUT have bought."""
        return allowed(self, self.own_shard, spent=self.lasting.spent, billed=billed)

    @property
    def own_shard(self) -> Shard | None:
        """The shard that this run is of several."""
        return shard_of(self.shard, {}) if self.shard is not None else None

    def cost(self, predictions: int) -> float | None:
        """US dollars that so many predictions cost; None where nothing is billed, or the price isn't known."""
        return None if self.local or self.price is None else round(predictions * self.price, 9)

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
    def batch(self) -> int:
        """Pictures that the local engine's device takes at a time."""
        return devices.at_once(self.device, self.network.size)

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
        arrivals = self.lasting.arrivals
        return Reading(
            Choice(self.image_column, self.id_column, self.strict),
            Folders(
                self.out.parent if self.shard else self.out,
                self.include,
                self.exclude,
                self.follow_links,
                arrivals.apart if arrivals else (),
                arrivals.first if arrivals else frozenset(),
                bucket=self.bucket,
            ),
            Identity(self.name, frozenset(name.lower() for name in self.ignore_query)),
            self.root,
            shard=self.own_shard,
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
            downloaders=self.concurrency or _AHEAD if self.away else cores() + 1 if self.local else _DOWNLOADERS,
            queue=max(8, min(64, 2 * workers)),
            stream=stream,
            limit=self.limit,
            grace=self.grace,
        )

    def adaptive_concurrency(self) -> Concurrency:
        """The number of items in flight: fixed, or found during the run."""
        if self.concurrency is not None or self.local:
            here = cores() + 2 + (devices.ahead(self.batch) if self.local else 0)
            return Concurrency(fixed=self.concurrency or (_AHEAD if self.away else here))
        return Concurrency(cap=min(CAP, max(START, memory() // _MEMORY_SHARE // _ITEM)))

    @classmethod
    def recorded(cls, out: Path, shown: Mapping[str, Any]) -> Self:
        """The settings that `shown` tells of, but for `buy_again` and `shard`; raises SettingsError."""
        if shown.get("model_inputs"):
            raise SettingsError("values of --input aren't on record")
        given: dict[str, Any] = {name: tuple(its) if isinstance(its, list) else its for name, its in shown.items()}
        try:
            return cls(out=out, **given | {"grace": float(given.get("grace", 0)), "buy_again": False, "shard": None})
        except (TypeError, ValueError, AttributeError) as error:
            raise SettingsError(f"what is on record of the last run's settings makes no sense: {error}") from error

    def shown(self) -> dict[str, Any]:
        """The settings as the ledger records them: what differs from the default, and never a key."""
        options = declared(type(self))
        shown = {name: value for name in options if (value := getattr(self, name)) != options[name].default}
        if self.base_url:
            shown["base_url"] = self.base
        for name in ("header", "state", "summary", "metrics"):
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
