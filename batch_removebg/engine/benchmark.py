"""Speed of the local engine on this machine: pictures a second by model, device and size."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event

import numpy as np
from PIL import Image

from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import Limits
from batch_removebg.resources import cores

from . import devices, weights
from .cutout import cutout
from .devices import Choice, Device, Exact
from .network import opened
from .runtimes.opening import look

SIZES = (1000, 2400, 4000)  # longest sides of the pictures, in pixels; they are 3:2
_WARM_UP = 1.0  # seconds before each measurement: the first runs allocate memory
_ABSENT = {
    "no": "not on this machine; download it with: batch-removebg models pull {}",
    "damaged": "its file is damaged; see batch-removebg models verify {}",
}
_PRECISIONS: tuple[Exact, ...] = ("bf16", "float32")


@dataclass(frozen=True, slots=True)
class Timing:
    """One model on one device; speeds with all cores at full load."""

    model: str
    engine: str  # the device it ran on, as the runtime reports it
    inference: float | None = None  # runs of the network alone a second: the limit for whole pictures
    pictures: dict[int, float] | None = None  # whole pictures a second, decoded to encoded, by longest side
    why_not: str | None = None  # why nothing was measured


@dataclass(frozen=True, slots=True)
class Report:
    """All measurements."""

    cores: int
    seconds: float  # length of each measurement
    rows: tuple[Timing, ...]

    def table(self) -> str:
        """The report for people: pictures a second, each with its share of the network's own limit."""
        head = ("model", "runs on", "network alone", *(f"{size} px" for size in SIZES))
        lines = [head, *map(_cells, self.rows)]
        widths = [max(len(line[column]) for line in lines if len(line) == len(head)) for column in range(len(head))]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        unit = f"pictures a second on {self.cores} cores, {self.seconds:g} s a figure"
        return "\n".join([*text, f"{unit}; in brackets: share of the limit, which is the network alone"])


def _cells(row: Timing) -> tuple[str, ...]:
    if row.inference is None or row.pictures is None:
        return (row.model, row.engine, row.why_not or "")
    paces = (f"{row.pictures[size]:.2f} ({row.pictures[size] / row.inference:.0%})" for size in SIZES)
    return (row.model, row.engine, f"{row.inference:.2f}", *paces)


def measure(model: str | None, device: Device, seconds: float, *, say: Callable[[str], None]) -> Report:
    """Measure one model or all (None), on one device or (`auto`) each that there is; raises SettingsError.

    `say` gets a line before each measurement. Missing weights aren't downloaded but reported.
    """
    devices.check(device, "auto")
    if not 0 < seconds < math.inf:
        raise SettingsError(f"--seconds {seconds:g}: give a finite number above 0")
    models = [weights.known(model)] if model is not None else list(weights.MODELS.values())
    missing = {one.name: _ABSENT[here].format(one.name) for one in models if (here := weights.here(one)) in _ABSENT}
    if model is not None and missing:
        raise SettingsError(f"--model {model}: {missing[model]}")
    choices = list(_choices(device))
    if not choices:
        raise SettingsError(devices.MISSING_EXTRA)
    photos = {size: photo(size) for size in SIZES}
    rows = []
    for one in models:
        if one.name in missing:
            rows.append(Timing(one.name, "—", why_not=missing[one.name]))
            continue
        for choice in choices:
            try:
                rows.append(_measured(one, choice, photos, seconds, say))
            except SettingsError as error:
                rows.append(Timing(one.name, str(choice), why_not=str(error)))
    return Report(cores(), seconds, tuple(rows))


def _choices(device: Device) -> Iterator[Choice]:
    """Every device and precision available; raises SettingsError if a named device isn't."""
    if device != "auto":
        devices.resolve(device, "float32", look(device))  # every device computes in it
    for one in devices.DEVICES[1:] if device == "auto" else [device]:
        installed = look(one)
        for precision in _PRECISIONS:
            with suppress(SettingsError):
                yield from devices.resolve(one, precision, installed)


def _measured(
    model: weights.Weights, choice: Choice, photos: dict[int, bytes], seconds: float, say: Callable[[str], None]
) -> Timing:
    name = model.name
    say(f"{name} on {choice}: the network alone")
    network = opened(model, choice.device, choice.precision)
    small = np.asarray(Image.open(io.BytesIO(photos[SIZES[0]])).resize((model.size, model.size)))
    inference = pace(partial(network.matte, small), seconds)
    pictures = {}
    for size, data in photos.items():
        say(f"{name} on {choice}: whole pictures of {size} px")
        pictures[size] = pace(partial(cutout, network, Limits(), data), seconds)
    return Timing(name, network.used, inference, pictures)


def pace(work: Callable[[], object], seconds: float, *, now: Callable[[], float] = time.perf_counter) -> float:
    """Calls of `work` a second, by one thread for each core, over `seconds` after a warm-up."""
    stopped = Event()

    def repeat(end: float) -> int:
        done = 0
        while now() < end and not stopped.is_set():
            work()
            done += 1
        return done

    with ThreadPoolExecutor(cores()) as pool:
        try:
            for length in (min(_WARM_UP, seconds), seconds):
                begun = now()
                done = sum(pool.map(repeat, [begun + length] * cores()))
                took = now() - begun
        finally:
            stopped.set()  # after Ctrl-C: the process can't end before its threads
    return done / took


def photo(longest: int) -> bytes:
    """A synthetic photograph as JPEG, 3:2: a disc on a ground with uneven light, and sensor noise on both."""
    # Its size in bytes and its decoding time are those of a camera's picture; its content doesn't affect the speed.
    width, height = longest, longest * 2 // 3
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1.5 : 1.5 : width * 1j].astype(np.float32)
    disc = (rows**2 + columns**2 < 0.36)[..., None]
    light = (1.0 - 0.2 * rows)[..., None]
    grain = np.random.default_rng(1).normal(0.0, 3.0, (height, width, 1)).astype(np.float32)
    stripes = 25.0 * np.sin(columns * 60.0 + 8.0 * rows)[..., None]
    pixels = np.where(disc, np.array([150.0, 70.0, 50.0], np.float32) + stripes, 190.0) * light + grain
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
