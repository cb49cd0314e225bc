"""What a user can set, checked at once, and taken apart into the values that the parts of the pipeline want."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from math import inf
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.parse import urlsplit

from batch_removebg.engine import devices
from batch_removebg.engine.devices import Device, Precision
from batch_removebg.errors import SettingsError
from batch_removebg.finish.options import EDGES, REFINE, Finish
from batch_removebg.imaging.format import EXTENSIONS, METADATA, Limits, parse_colour
from batch_removebg.net.fetch import Caps
from batch_removebg.pipeline.concurrency import CAP, START, Width
from batch_removebg.pipeline.shape import Shape
from batch_removebg.providers.replicate import HOSTED, REMOVE_BG, Endpoint
from batch_removebg.resources import cores, memory
from batch_removebg.storage.naming import DEFAULT_TEMPLATE, check_template

ProviderName = Literal["local", "replicate", "gateway"]
PROVIDERS: tuple[ProviderName, ...] = ("local", "replicate", "gateway")
_DOWNLOADERS = 32
"""Outputs of an API on their way to the disk at once; each holds one picture in memory."""


class SettingsArguments(TypedDict, total=False):
    """The keyword arguments of `run_batch`: the fields of Settings but `out`."""

    provider: ProviderName
    base_url: str | None
    token_env: str
    model_version: str
    input_field: str
    model_inputs: Mapping[str, Any]
    model: str
    device: Device
    precision: Precision
    concurrency: int | None
    rate: float | None
    format: str
    mask_only: bool
    background: str | None
    quality: int | None
    effort: int
    edges: Literal["clean", "keep"]
    refine: Literal["auto", "none"]
    srgb: bool
    metadata: Literal["strip", "keep"]
    name: str
    fetch_sources: bool
    retry_failed: bool
    limit: int | None
    max_predictions: int | None
    max_cost: float | None
    price: float | None
    deadline: float
    allow_private: bool
    on_lost: Literal["retry", "fail"]
    proxy_size: int
    max_size: int
    max_pixels: int
    memory: int | None
    grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a run; raises SettingsError where they make no sense.

    The key itself is never part of them: `key()` reads it from the environment when it is needed.
    """

    out: Path
    """Folder for the pictures, the ledger and results.json; made if missing."""
    provider: ProviderName = "local"
    """Nothing is billed unless `replicate` or `gateway` is asked for by name."""
    base_url: str | None = None
    """`{base_url}/predictions` is the create call; required for a gateway."""
    token_env: str = "REPLICATE_API_TOKEN"  # noqa: S105  # the name of a variable, not a key
    """Environment variable that holds the key."""
    model_version: str = REMOVE_BG
    input_field: str = "image"
    model_inputs: Mapping[str, Any] = field(default_factory=dict)
    """Further inputs of the model."""
    model: str = "u2netp"
    """Weights of the local engine."""
    device: Device = "auto"
    """Where the local engine runs; `auto` is the quickest that is here, and a device that is absent an error."""
    precision: Precision = "auto"
    """What the local engine computes in; `auto` is bf16 where the processor has it, else float32."""
    concurrency: int | None = None
    """Items in flight; None: what keeps an API's limit busy, or two more than cores for the local engine."""
    rate: float | None = None
    """Creates a minute; None: as fast as the server lets us."""
    format: str = "png"
    mask_only: bool = False
    background: str | None = None
    """A colour to compose on; None: transparent, or white where the format has no transparency."""
    quality: int | None = None
    """Of what is written with loss, 1–100; None: 90. Where it is given, transparent WebP is written with loss too."""
    effort: int = 2
    """How long to try for smaller files of the same pictures, 0–9."""
    edges: Literal["clean", "keep"] = "clean"
    """Colours at soft edges: without what shines through of the background, or the photo's own."""
    refine: Literal["auto", "none"] = "auto"
    """Fit small alphas to the edges of the photo itself, or enlarge them alone."""
    srgb: bool = False
    """Convert colours to sRGB; else they stay in the photo's own profile."""
    metadata: Literal["strip", "keep"] = "strip"
    """Whether EXIF and XMP are kept besides profile and resolution; the place never is."""
    name: str = DEFAULT_TEMPLATE
    """Template of output names: {id}, {stem}, {parent}, {name}, and the manifest's other columns."""
    fetch_sources: bool = False
    """Fetch URL sources ourselves and keep their pixels, instead of passing the URL to the API."""
    retry_failed: bool = False
    limit: int | None = None
    """Items to be done in this run at most."""
    max_predictions: int | None = None
    """Predictions to be bought in this run at most."""
    max_cost: float | None = None
    """US dollars to be spent in this run at most; needs `price`."""
    price: float | None = None
    """US dollars a prediction."""
    deadline: float = 900.0
    """Seconds a prediction may take; then it is cancelled, and another is tried. The hosted API is told as well."""
    allow_private: bool = False
    """Fetch from private and loopback addresses too; otherwise only where the API itself is at one."""
    on_lost: Literal["retry", "fail"] = "retry"
    """A create whose answer was lost and that can't be looked for: send it once more, or fail the item."""
    proxy_size: int = 2048
    """Longest side in pixels of what is uploaded to an API."""
    max_size: int = 200
    """MiB of one source or output."""
    max_pixels: int = 120_000_000
    """Pixels of one source."""
    memory: int | None = None
    """MiB of decoded pictures; by default a quarter of this machine's memory, 2048 at most."""
    grace: float = 30.0
    """Seconds for what is in flight to come home when the run is stopped."""

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_numbers(self)
        _check_base_url(self)
        with _named("--name"):
            check_template(self.name)
        self.finish()

    def finish(self) -> Finish:
        """How the pictures are made."""
        with _named("--background"):
            colour = parse_colour(self.background) if self.background is not None else None
        return Finish(
            format=self.format,
            mask_only=self.mask_only,
            background=colour,
            quality=_QUALITY if self.quality is None else self.quality,
            lossy=self.quality is not None and self.format == "webp",
            srgb=self.srgb,
            metadata=self.metadata,
            effort=self.effort,
            edges=self.edges,
            refine=self.refine,
        )

    def endpoint(self) -> Endpoint:
        """Where the API is, with the key; raises SettingsError where one is needed and none is set."""
        return Endpoint(
            base=self.base,
            version=self.model_version,
            image_field=self.input_field,
            inputs=dict(self.model_inputs),
            key=self.key(),
            run_limit=self.deadline,
        )

    def budget(self) -> tuple[int | None, str]:
        """Predictions that may be bought in this run, and the name of the setting that says so."""
        limits = [(self.max_predictions, f"--max-predictions {self.max_predictions}")]
        if self.max_cost is not None and self.price is not None:
            # Rounded first: 0.3 / 0.1 is a little less than 3.
            affordable = math.floor(round(self.max_cost / self.price, 9))
            limits.append((affordable, f"--max-cost {self.max_cost:g} at --price {self.price:g}"))
        given = [(limit, named) for limit, named in limits if limit is not None]
        return min(given, default=(None, ""))

    @property
    def public_only(self) -> bool:
        """Whether sources and outputs are fetched from the public internet alone."""
        return not (self.allow_private or (self.provider != "local" and _is_near(self.base)))

    @property
    def base(self) -> str:
        """The API's base URL."""
        return (self.base_url or HOSTED).rstrip("/")

    def key(self) -> str | None:
        """The key from the environment, or None where the API may do without."""
        key = os.environ.get(self.token_env, "").strip()
        if key and not (key.isascii() and key.isprintable()):
            raise SettingsError(f"the key in {self.token_env} holds characters no key has; set it anew")
        if not key and self.provider == "replicate" and not _is_near(self.base):
            raise SettingsError(
                f"--provider replicate needs a key: put it into the environment variable {self.token_env}, or name "
                "another variable with --token-env (without a key, --provider local works on this machine)"
            )
        if key and urlsplit(self.base).scheme == "http" and not _is_near(self.base):
            raise SettingsError(f"--base-url {self.base}: the key would travel unencrypted; use https")
        return key or None

    def limits(self) -> Limits:
        """What is decoded at most."""
        return Limits(max_pixels=self.max_pixels)

    def caps(self) -> Caps:
        """What is read and fetched at most."""
        return Caps(size=self.max_size << 20, public_only=self.public_only)

    def pixels(self) -> int:
        """Bytes that pictures being decoded, composed and encoded may take together."""
        return self.memory << 20 if self.memory is not None else min(_PIXELS, memory() // _MEMORY_SHARE)

    def shape(self, *, stream: bool) -> Shape:
        """How wide the pipeline is."""
        local, workers = self.provider == "local", self.width().cap
        return Shape(
            workers=workers,
            downloaders=cores() + 1 if local else _DOWNLOADERS,
            queue=max(8, min(64, 2 * workers)),
            stream=stream,
            limit=self.limit,
            grace=self.grace,
        )

    def width(self) -> Width:
        """How many items are in flight."""
        if self.concurrency is not None or self.provider == "local":
            return Width(fixed=self.concurrency or cores() + 2)
        return Width(cap=min(CAP, max(START, memory() // _MEMORY_SHARE // _ITEM)))

    def shown(self) -> dict[str, Any]:
        """The settings as the ledger keeps them: what is not the default, and never a key."""
        given = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("out", "model_inputs", "base_url")
        }
        shown = {name: value for name, value in given.items() if value != _DEFAULTS.get(name)}
        if self.base_url:
            shown["base_url"] = _without_secrets(self.base)
        if self.grace == inf:
            shown["grace"] = "inf"  # JSON has no number for it
        if self.model_inputs:
            shown["model_inputs"] = sorted(self.model_inputs)
        return shown


_QUALITY = 90
_ITEM = 16 << 20
"""Bytes that an item in flight may take: its source, its proxy and the answer of the server."""
_PIXELS = 2 << 30
"""Bytes that decoded pictures take at most where nothing is said: more in flight than the cores can work on."""
_MEMORY_SHARE = 4
"""One part in so many of the machine's memory may be taken by items in flight, and by pixels."""

_DEFAULTS = {f.name: f.default for f in fields(Settings)}


@contextmanager
def _named(flag: str) -> Iterator[None]:
    """Put the flag before what is said of its value."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"{flag}: {error}") from error


def _check_choices(settings: Settings) -> None:
    if settings.provider not in PROVIDERS:
        raise SettingsError(f"--provider {settings.provider}: choose one of {', '.join(PROVIDERS)}")
    devices.check(settings.device, settings.precision)
    if settings.format not in EXTENSIONS:
        raise SettingsError(f"--format {settings.format}: choose one of {', '.join(EXTENSIONS)}")
    for name, choices in (("edges", EDGES), ("refine", REFINE), ("metadata", METADATA)):
        if getattr(settings, name) not in choices:
            raise SettingsError(f"--{name} {getattr(settings, name)}: choose {' or '.join(choices)}")
    if settings.on_lost not in ("retry", "fail"):
        raise SettingsError(f"--on-lost {settings.on_lost}: choose retry or fail")
    if not re.fullmatch(r"(?!r8_)[A-Za-z_][A-Za-z0-9_]*", settings.token_env):
        raise SettingsError(
            "--token-env takes the name of an environment variable, such as REPLICATE_API_TOKEN; never the key itself"
        )
    if (
        not re.fullmatch(r"([\w.-]+/[\w.-]+:)?[0-9A-Za-z._-]+", settings.model_version)
        or settings.model_version.rpartition(":")[2] == "latest"
    ):
        raise SettingsError(
            f"--model-version {settings.model_version}: give the version's 64-digit id, or owner/name:id; "
            "`latest` is not a version"
        )
    if not settings.input_field:
        raise SettingsError("--input-field is empty; name the model's input for the picture, such as image")
    if settings.input_field in settings.model_inputs:
        raise SettingsError(f"--input {settings.input_field}=…: that field takes the picture itself")


def _check_numbers(settings: Settings) -> None:
    least = {
        "concurrency": 1,
        "limit": 1,
        "max_predictions": 0,
        "max_cost": 0,
        "deadline": 1,
        "proxy_size": 64,
        "max_size": 1,
        "max_pixels": 1,
        "memory": 64,
        "grace": 0,
        "quality": 1,
    }
    for name, low in least.items():
        value = getattr(settings, name)
        if value is not None and not value >= low:
            raise SettingsError(f"--{name.replace('_', '-')} {value}: give {low} or more")
    if settings.quality is not None and settings.quality > 100:
        raise SettingsError(f"--quality {settings.quality}: give 1 to 100")
    if not 0 <= settings.effort <= 9:
        raise SettingsError(f"--effort {settings.effort}: give 0 to 9")
    if settings.concurrency is not None and settings.concurrency > 1000:
        raise SettingsError(f"--concurrency {settings.concurrency}: give 1000 or less")
    if settings.price is not None and not (settings.price > 0 and math.isfinite(settings.price)):
        raise SettingsError(f"--price {settings.price:g}: give the US dollars of one prediction, above 0")
    if settings.max_cost is not None and settings.price is None:
        raise SettingsError("--max-cost needs --price, the US dollars of one prediction, such as 0.00044")
    if settings.rate is not None and not 0 < settings.rate < inf:
        raise SettingsError(f"--rate {settings.rate:g}: give a number of creates a minute above 0")


def _check_base_url(settings: Settings) -> None:
    if settings.provider == "local" and settings.base_url:
        raise SettingsError(
            "--base-url belongs to --provider replicate or gateway; nothing is billed by --provider local"
        )
    if settings.provider == "gateway" and not settings.base_url:
        raise SettingsError("--provider gateway needs --base-url, such as https://HOST/replicate/v1")
    if settings.base_url is None:
        return
    try:
        parts = urlsplit(settings.base_url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or not settings.base_url.isprintable() or " " in settings.base_url:
        raise SettingsError("--base-url must be an http(s) address without a query, such as https://HOST/replicate/v1")
    if parts.username or parts.password:
        raise SettingsError("--base-url must not hold a user or password; put the key into the environment")
    if parts.path.rstrip("/").endswith("/predictions"):
        raise SettingsError("--base-url is the part before /predictions; leave that off")


def _is_near(base: str) -> bool:
    """Whether the API is on this machine or a private network, where a key is a matter of taste."""
    host = urlsplit(base).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
