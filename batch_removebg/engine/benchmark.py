"""How quick the local engine is on this machine: pictures a second by model, device and size."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from PIL import Image

from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import Limits
from batch_removebg.resources import cores

from . import devices, weights
from .cutout import cutout
from .devices import Choice, Device, Exact
from .network import Engine
from .runtimes import look, open_runtime

SIZES = (1000, 2400, 4000)
"""Longest sides of the pictures, in pixels; they are 3:2."""
_WARM_UP = 1.0
"""Seconds of each figure before it is measured: the first runs allocate."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one device."""

    model: str
    engine: str
    """What it ran on, as the runtime says."""
    inference: float | None = None
    """Runs of the network alone a second, all cores at full load: no whole picture can be made quicker."""
    pictures: dict[int, float] | None = None
    """Pictures a second by longest side: decoded, predicted, composed and encoded as PNG, all cores at full load."""
    why_not: str | None = None
    """What is missing, where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, and on what."""

    cores: int
    seconds: float
    rows: tuple[Row, ...]

    def as_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {"cores": self.cores, "seconds": self.seconds, "rows": [asdict(row) for row in self.rows]}

    def table(self) -> str:
        """The report for people: pictures a second, and how much of the network's own limit each is."""
        head = ("model", "runs on", "network alone", *(f"{size} px" for size in SIZES))
        lines = [head, *(_cells(row) for row in self.rows)]
        whole = [line for line in lines if len(line) == len(head)]
        widths = [max(len(line[column]) for line in whole) for column in range(len(head))]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)) for line in lines]
        told = f"pictures a second on {self.cores} cores, {self.seconds:g} s a figure; in brackets: share of the limit"
        return "\n".join([*(line.rstrip() for line in text), told + ", which is the network alone"])


def _cells(row: Row) -> tuple[str, ...]:
    if row.inference is None or row.pictures is None:
        return (row.model, row.engine, row.why_not or "")
    limit = row.inference
    return (
        row.model,
        row.engine,
        f"{limit:.2f}",
        *(f"{pace:.2f} ({pace / limit:.0%})" for pace in (row.pictures[size] for size in SIZES)),
    )


def measure(model: str | None, device: str, seconds: float, *, say: Callable[[str], None]) -> Report:
    """Measure what is on this machine: one model or all, one device or (`auto`) each that is here.

    `say` is told what is being done. Weights that are not here are not brought, and the report says so. Raises
    SettingsError for unknown names, and for a model or a device that was asked for and is not here.
    """
    devices.check(device, "auto")
    if not 0 < seconds < math.inf:
        raise SettingsError(f"--seconds {seconds:g}: give a finite number above 0")
    names = list(weights.MODELS) if model is None else [weights.known(model).name]
    if model is not None and weights.find(model) is None:
        raise SettingsError(f"--model {model}: {_absent(model)}")
    choices = tuple(_choices(_known(device)))
    if not choices:
        raise SettingsError(devices.MISSING_EXTRA)
    photos = {size: photo(size) for size in SIZES}
    rows = [row for name in names for row in _model(name, choices, photos, seconds, say)]
    return Report(cores(), seconds, tuple(rows))


def _known(device: str) -> tuple[Device, ...]:
    if device == "auto":
        return tuple(one for one in devices.DEVICES if one != "auto")
    return tuple(one for one in devices.DEVICES if one == device)


def _choices(wanted: tuple[Device, ...]) -> Iterator[Choice]:
    """What can be tried of the devices; one alone has to be here."""
    exact: tuple[Exact, ...] = ("bf16", "float32")
    for device in wanted:
        here = look(device)
        if len(wanted) == 1:
            devices.resolve(device, "auto", here)
        for precision in exact:
            try:
                yield from devices.resolve(device, precision, here)
            except SettingsError:  # not here
                continue


def _model(
    name: str, choices: tuple[Choice, ...], photos: dict[int, bytes], seconds: float, say: Callable[[str], None]
) -> Iterator[Row]:
    path = weights.find(name)
    if path is None:
        yield Row(name, "—", why_not=_absent(name))
        return
    for choice in choices:
        try:
            yield _measured(name, path, choice, photos, seconds, say)
        except SettingsError as error:
            yield Row(name, str(choice), why_not=str(error))


def _absent(name: str) -> str:
    return f"not on this machine; bring it with: batch-removebg models pull {name}"


def _measured(
    name: str, path: Path, choice: Choice, photos: dict[int, bytes], seconds: float, say: Callable[[str], None]
) -> Row:
    say(f"{name} on {choice}: the network alone")
    engine = Engine(open_runtime(path, choice.device, choice.precision), weights.known(name))
    small = np.asarray(Image.open(io.BytesIO(photos[SIZES[0]])).resize((engine.size, engine.size)))
    inference = pace(lambda: engine.matte(small), seconds)
    pictures = {}
    whole = partial(cutout, engine, Limits())
    for size, data in photos.items():
        say(f"{name} on {choice}: whole pictures of {size} px")
        pictures[size] = pace(lambda data=data: whole(data), seconds)  # type: ignore[misc]  # mypy infers no default
    return Row(name, engine.used, inference, pictures)


def pace(work: Callable[[], object], seconds: float, *, now: Callable[[], float] = time.perf_counter) -> float:
    """How often a second `work` is done by one thread for each core, over so many seconds after a warm-up."""
    stopped = Event()

    def until(end: float) -> int:
        done = 0
        while now() < end and not stopped.is_set():
            work()
            done += 1
        return done

    with ThreadPoolExecutor(cores()) as pool:
        try:
            for length in (min(_WARM_UP, seconds), seconds):
                begun = now()
                done = sum(pool.map(until, [begun + length] * cores()))
                took = now() - begun
        finally:
            stopped.set()  # by Ctrl-C before the time is over: the threads have to end for the process to
    return done / took


def photo(longest: int) -> bytes:
    """A made-up photograph as JPEG, 3:2: an object on a ground with light falling off, and a sensor's noise on both.

    Bytes and time to decode are those of a camera's picture of that size; what is in it does not matter to the pace.
    """
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
