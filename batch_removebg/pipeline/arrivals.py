"""Files that arrive while their folders are watched: which of them are whole, and which get another try. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from math import inf
from os import stat_result
from pathlib import Path

from batch_removebg.errors import BatchError, Postponed, SourceError
from batch_removebg.model import Item, UrlRow

GAPS = (2.0, 8.0, 30.0, 120.0)  # seconds before a picture that can't be read is tried again
_FEW, _MOST = 1000, 10_000  # paths that are kept


@dataclass(frozen=True, slots=True)
class _Try:
    mark: str | None  # of the file when it was tried
    times: int
    due: float


class Arrivals:
    """What is known of watched files, by looks at all of them; moments are of the monotonic clock.

    A file is whole once it was closed or moved in, or two looks, `gap` seconds apart at least, saw the same size and
    times. Those are compared with each other and never with a clock, which is another machine's on a network.
    """

    def __init__(
        self, now: Callable[[], float], *, gap: float = 1.0, apart: tuple[Path, ...] = (), folders: bool = True
    ) -> None:
        """`apart`: folders that aren't looked at; `folders`: the INPUTs aren't manifests alone."""
        self._now, self._gap, self.apart, self._folders = now, gap, apart, folders
        self.count = 0  # files at the last look
        self.hide = folders  # whether there may be rows that the run hasn't seen
        self.postponed = 0  # pictures that this run has left for another try
        self.first = frozenset[str]()  # what has become whole, and the folders of that, if it is little: begun with
        self._whole: set[int] = set()  # marks: a few bytes for each of a million files
        self._young: dict[str, tuple[int, float]] = {}  # mark, and when it was first seen
        self._closed: set[str] = set()  # since the last look
        self._tries: dict[str, _Try] = {}
        self._asked: dict[str, _Try] = {}  # those whose turn this run is

    def look(self, files: Iterable[tuple[str, stat_result]]) -> bool:
        """Compare all files with the last look; returns whether there are whole ones that weren't then.

        Where there are none any more, as on a disk that was unmounted, those of before stay known.
        """
        whole, young, fresh, count = set[int](), dict[str, tuple[int, float]](), list[str](), 0
        now, closed, self._closed = self._now(), self._closed, set()
        for path, status in files:
            count, mark = count + 1, _mark(path, status)
            if mark not in self._whole:
                before = self._young.get(path)
                if before is None or before[0] != mark:
                    before = mark, now
                    self._tries.pop(path, None)  # it is another file, and begins anew
                if path not in closed and now - before[1] < self._gap:
                    young[path] = before
                    continue
                fresh.append(path)
            whole.add(mark)
        self.count, self._young = count, young
        if count:
            self._whole = whole
        if fresh:
            self.first = frozenset(chain.from_iterable(map(_with_folders, fresh))) if len(fresh) < _FEW else frozenset()
        return bool(fresh)

    def close(self, path: str) -> None:
        """Take a file for whole at the next look, since it was closed or moved in."""
        if len(self._closed) < _MOST:  # the others are, once they stay as they are
            self._closed.add(path)

    def next(self) -> float:
        """When the next look or try is due; inf for neither."""
        looks = (since + self._gap for _, since in self._young.values())
        return min([*looks, *(one.due for one in self._tries.values())], default=inf)

    def turn(self) -> None:
        """Begin a run, in which those whose turn it is are tried again."""
        now, self.hide, self.postponed = self._now(), self._folders, 0
        self._asked = {path: one for path, one in self._tries.items() if one.due <= now}
        for path in self._asked:
            del self._tries[path]

    def ready(self, row: Item | UrlRow) -> bool:
        """Whether the run may take it: a whole file, or a row of a manifest, which tells its line, unless it waits."""
        ready = row.path is None
        if row.path is not None and str(row.path) not in self._tries:
            ready = row.origin.rpartition(":")[2].isdecimal()
            with suppress(OSError):
                ready = ready or _mark(str(row.path), row.path.stat()) in self._whole
        self.hide |= not ready
        return ready

    def judged(self, error: SourceError, path: str, mark: str | None) -> BatchError:
        """What becomes of a picture that can't be read: another try after a while, and in the end the error itself."""
        before = self._asked.get(path) or self._tries.get(path)
        times = before.times if before is not None and before.mark == mark else 0
        if times < len(GAPS):
            self.postponed += 1
            self._tries[path] = _Try(mark, times + 1, self._now() + GAPS[times])
            return Postponed(f"{error}; it may still be on its way, and is tried again in {GAPS[times]:.0f} s")
        error.args = (f"{error} (and it stayed so over {times} more tries in {sum(GAPS) / 60:.0f} minutes)",)
        return error

    def left(self, path: Path, status: stat_result) -> None:
        """Forget a file that is moved away."""
        self._whole.discard(_mark(str(path), status))


def _with_folders(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path[: path.rstrip("/").rfind("/") + 1]


def _mark(path: str, status: stat_result) -> int:
    return hash((path, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
