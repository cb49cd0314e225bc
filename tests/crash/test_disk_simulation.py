"""Power cuts at every operation on the disk, simulated at the file layer.

One run is recorded: what `files` and `ledger` ask of the system under OUT (create, write, truncate, fsync, rename,
unlink, mkdir), with the creates that the provider accepted in between. For every prefix of that log the disks are
rebuilt that a power cut at this point may leave, and from each of them a resume must end well.

The model, harsher than journalling file systems are:

- `fsync` of a file makes its bytes so far durable, but not its name; `fsync` of a folder makes durable the names in it.
- A name's change that was not fsynced is lost or kept, each for itself; a rename is one change. What lies in a folder
  whose own name is lost, is lost.
- Bytes written since the last fsync survive up to an arbitrary byte; what follows is missing, or zeros. An append-only
  file loses its tail, never its middle: blocks of one file that reach the disk out of order are not modelled.
- The lock's two files are not modelled: after a power cut they are not there.

For each prefix: the worst disk (nothing that was not fsynced), the best (everything), and mixtures drawn by seed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.model import CreateRequest, Prediction
from batch_removebg.storage import layout
from tests.support.bench import Bench, bench
from tests.support.doubles import ScriptedProvider
from tests.support.long_report import LONG, note
from tests.support.oracle import replay

__all__ = ["bench"]

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.timeout(600)]
NAMES = ["a.jpg", "b.jpg", "sub/c.jpg"]
MIXTURES = 40 if LONG else 2
PARTS = 4


@dataclass(frozen=True)
class Op:
    """One operation that the disk has done, or (`bought`) one create that the server accepted."""

    kind: str
    place: str = ""
    """Of what has a name, relative to OUT's parent."""
    file: int = 0
    data: bytes = b""
    target: str = ""
    size: int = 0
    made: Prediction | None = None


class Recorder:
    """Passes the operations on and keeps a log of those under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[Op] = []
        self._files: dict[int, int] = {}
        """Inode → number in the log; an inode may come again."""
        self._folders: dict[int, str] = {}
        self._lock = threading.RLock()
        self._count = 0
        self.real: dict[str, Callable[..., Any]] = {
            name: getattr(os, name) for name in ("open", "write", "fsync", "ftruncate", "replace", "unlink", "mkdir")
        }

    def place(self, path: Any) -> str | None:
        """The path relative to the root, None where it is not ours to watch."""
        path = Path(path).absolute()
        # The lock is not modelled; the index is derived, and without it the next run builds it anew.
        left_out = path.name in {"lock", "holder.json"} or path.name.startswith("index.sqlite")
        inside = path.is_relative_to(self.root / "out") and not left_out
        return path.relative_to(self.root).as_posix() if inside else None

    def created(self, descriptor: int, place: str) -> None:
        with self._lock:
            self._count += 1
            self._files[os.fstat(descriptor).st_ino] = self._count
            self.log.append(Op("create", place, file=self._count))

    def wrote(self, descriptor: int, data: bytes) -> None:
        with self._lock:
            self.log.append(Op("write", file=self._files[os.fstat(descriptor).st_ino], data=data))

    def open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        place = self.place(path)
        missing = place is not None and not os.path.lexists(path)
        descriptor: int = self.real["open"](path, flags, *args, **kwargs)
        if missing and place is not None:
            self.created(descriptor, place)
        elif flags & os.O_DIRECTORY:
            self._folders[descriptor] = Path(path).absolute().relative_to(self.root).as_posix()
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        written: int = self.real["write"](descriptor, data)
        if os.fstat(descriptor).st_ino in self._files:
            self.wrote(descriptor, bytes(data[:written]))
        return written

    def ftruncate(self, descriptor: int, size: int) -> None:
        self.real["ftruncate"](descriptor, size)
        self.log.append(Op("truncate", file=self._files[os.fstat(descriptor).st_ino], size=size))

    def fsync(self, descriptor: int) -> None:
        # The real one would only take time: no power will be cut here.
        folder = self._folders.pop(descriptor, None)
        with self._lock:
            if folder is not None:
                self.log.append(Op("fsync folder", folder))
            elif os.fstat(descriptor).st_ino in self._files:
                self.log.append(Op("fsync", file=self._files[os.fstat(descriptor).st_ino]))

    def replace(self, source: Any, target: Any) -> None:
        with self._lock:
            number = self._files.get(Path(source).stat().st_ino, 0)
            self.real["replace"](source, target)
            if self.place(source) is None:
                return
            self.log.append(Op("rename", self.place(source) or "", file=number, target=self.place(target) or ""))

    def unlink(self, path: Any, **kwargs: Any) -> None:
        with self._lock:
            self.real["unlink"](path, **kwargs)
            if place := self.place(path):
                self.log.append(Op("unlink", place))

    def mkdir(self, path: Any, *args: Any, **kwargs: Any) -> None:
        with self._lock:
            self.real["mkdir"](path, *args, **kwargs)
            if place := self.place(path):
                self.log.append(Op("mkdir", place))

    def bought(self, made: Prediction) -> None:
        with self._lock:
            self.log.append(Op("bought", made=made))

    @contextmanager
    def recording(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in self.real:
                patch.setattr(os, name, getattr(self, name))
            yield


@dataclass
class Content:
    """A file's bytes: those that are durable, and those that may be."""

    durable: bytes = b""
    now: bytes = b""


@dataclass
class Names:
    """A folder's names, durable and changed since; a name stands for a file's number, for a folder (0) or nothing."""

    durable: dict[str, int | None] = field(default_factory=dict)
    changes: list[dict[str, int | None]] = field(default_factory=list)


Choice = Callable[[int], bool]
Cut = Callable[[bytes, bytes], bytes]


class Disk:
    """What the operations so far have made of a disk."""

    def __init__(self) -> None:
        self.contents: dict[int, Content] = {}
        self.folders: dict[str, Names] = {"": Names()}
        self.bought: list[Prediction] = []

    def apply(self, op: Op) -> None:
        match op.kind:
            case "create":
                self.contents[op.file] = Content()
                self._change({op.place: op.file})
            case "write":
                self.contents[op.file].now += op.data
            case "truncate":
                self.contents[op.file].now = self.contents[op.file].now[: op.size]
            case "fsync":
                self.contents[op.file].durable = self.contents[op.file].now
            case "fsync folder":
                folder = self.folders[op.place.removeprefix(".")]
                for change in folder.changes:
                    folder.durable |= change
                folder.changes.clear()
            case "rename":
                self._change({op.place: None, op.target: op.file})
            case "unlink":
                self._change({op.place: None})
            case "mkdir":
                self.folders[op.place] = Names()
                self._change({op.place: 0})
            case "bought":
                assert op.made is not None
                self.bought.append(op.made)

    def _change(self, change: dict[str, int | None]) -> None:
        parents = {place.rpartition("/")[0] for place in change}
        self.folders[parents.pop()].changes.append(change)
        assert not parents, "a rename from folder to folder is not modelled"

    def after_power_cut(self, keep: Choice, cut: Cut) -> dict[str, bytes | None]:
        """Files and folders (None) that are left, by their places."""
        found: dict[str, bytes | None] = {}
        waiting = [""]
        while waiting:
            folder = self.folders[waiting.pop()]
            names = dict(folder.durable)
            for change in folder.changes:
                if keep(1):
                    names |= change
            for place, number in names.items():
                if number == 0:
                    found[place] = None
                    waiting.append(place)
                elif number is not None:
                    content = self.contents[number]
                    found[place] = cut(content.durable, content.now)
        return found

    def left(self, rng: random.Random) -> Iterator[dict[str, bytes | None]]:
        """The worst, the best, and mixtures."""
        yield self.after_power_cut(lambda _: False, lambda durable, now: durable)
        yield self.after_power_cut(lambda _: True, lambda durable, now: now)
        for _ in range(MIXTURES):
            yield self.after_power_cut(lambda _: rng.random() < 0.5, lambda durable, now: torn(rng, durable, now))


def torn(rng: random.Random, durable: bytes, now: bytes) -> bytes:
    """The bytes that survive, of a file to which something was appended, or that was cut, since its last fsync."""
    if not now.startswith(durable):
        return rng.choice((durable, now))
    upto = rng.randint(len(durable), len(now))
    return now[:upto] + (bytes(len(now) - upto) if rng.random() < 0.3 else b"")


class Buyer(ScriptedProvider):
    """A provider that tells when it has accepted a create."""

    def __init__(self, told: Callable[[Prediction], None] = lambda _: None) -> None:
        super().__init__()
        self._told = told

    def succeed(self, request: CreateRequest) -> Prediction:
        made = super().succeed(request)
        self._told(made)
        return made

    def since(self, bought: list[Prediction]) -> Buyer:
        """The same server, with no more than these predictions on its bill."""
        past = Buyer()
        past.known = {str(made.id): made for made in bought}
        past.uploads, past.outputs = dict(self.uploads), dict(self.outputs)
        for _ in range(self.bill):
            next(past._ids)  # what is bought anew has an id of its own
        return past


async def recorded(bench: Bench) -> tuple[list[Op], Buyer]:
    """The log of one whole run."""
    bench.add(*NAMES)
    recorder = Recorder(bench.out.parent)
    server = Buyer(recorder.bought)
    bench.provider = server
    with recorder.recording():
        assert (await bench.run(concurrency=2)).saved == len(NAMES)
    return recorder.log, server


def written(out: Path, left: dict[str, bytes | None]) -> None:
    """Make the disk what a power cut has left."""
    shutil.rmtree(out, ignore_errors=True)
    for place, data in sorted(left.items()):
        path = out.parent / place
        if data is None:
            path.mkdir()
        else:
            path.write_bytes(data)


def saved_lines_hold(out: Path) -> bool:
    """Whether every `saved` line names a whole file; replay must not raise."""
    path = out / layout.LEDGER
    _, sound = replay(path)
    lines = path.read_bytes()[:sound].splitlines() if path.exists() else []
    for entry in map(json.loads, lines):
        if entry["event"] == "saved":
            picture = out / entry["output"]
            if not picture.is_file() or hashlib.sha256(picture.read_bytes()).hexdigest() != entry["sha256"]:
                return False
    return True


def cuts(log: list[Op], seed: int) -> Iterator[tuple[int, dict[str, bytes | None], list[Prediction]]]:
    """Every disk that differs from those before it, with the length of the prefix and what was bought by then."""
    disk, rng, known = Disk(), random.Random(seed), set[tuple[str, int]]()
    for number, op in enumerate(log, 1):
        disk.apply(op)
        for left in disk.left(rng):
            # What a temp file is called, and holds, makes no difference: it is swept.
            look = sorted(("tmp", None) if place.endswith(".tmp") else (place, data) for place, data in left.items())
            mark = (str(look), len(disk.bought))
            if mark not in known:
                known.add(mark)
                yield number, left, list(disk.bought)


@pytest.mark.parametrize("part", range(PARTS))
async def test_after_a_power_cut_at_any_operation_a_resume_loses_nothing_and_buys_nothing_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    log, server = await recorded(bench)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    states = lost = double = left_over = torn_files = 0
    for number, left, bought in cuts(log, seed=part):
        if number % PARTS != part:
            continue
        states += 1
        written(bench.out, left)
        torn_files += not saved_lines_hold(bench.out)
        bench.provider = server.since(bought)
        summary = await bench.run(concurrency=2)
        lost += len(NAMES) - summary.saved
        double += bench.provider.bill - len(NAMES)
        torn_files += not saved_lines_hold(bench.out)
        left_over += len(list(bench.out.rglob("*.tmp")))
        if bench.saved() != ["a.png", "b.png", "sub/c.png"]:
            torn_files += 1
            print(f"after operation {number} of {len(log)}, {log[number - 1]}: {bench.saved()}")
    note("disk", states=states, lost=lost, double=double, torn=torn_files, left=left_over)
    assert states >= 8  # fewer where more lines happened to share one fsync
    assert (lost, double, torn_files, left_over) == (0, 0, 0, 0)


@pytest.mark.parametrize("missing", ["fsync", "fsync folder"])
async def test_the_model_notices_a_missing_fsync(bench: Bench, missing: str) -> None:
    log, _ = await recorded(bench)
    pictures = {op.file for op in log if op.kind == "rename" and op.target.endswith(("a.png", "b.png", "c.png"))}
    without = [op for op in log if op.kind != missing or (missing == "fsync" and op.file not in pictures)]
    found = []
    for _, left, _ in cuts(without, seed=0):
        written(bench.out, left)
        found.append(saved_lines_hold(bench.out))
    assert not all(found)


async def test_the_recording_is_of_everything_that_reached_the_disk(bench: Bench) -> None:
    log, _ = await recorded(bench)
    disk = Disk()
    for op in log:
        disk.apply(op)
    everything = disk.after_power_cut(lambda _: True, lambda durable, now: now)
    there = {p.relative_to(bench.out.parent).as_posix(): p for p in (bench.out, *bench.out.rglob("*"))}
    # The index is SQLite's to write, and derived: without it, as after each cut here, the next run makes it anew.
    known = {place: path for place, path in there.items() if path.name not in {"lock", "index.sqlite"}}
    kept = {place: None if path.is_dir() else path.read_bytes() for place, path in known.items()}
    assert everything == kept
    nothing_pending = disk.after_power_cut(lambda _: False, lambda durable, now: durable)
    assert nothing_pending == kept
