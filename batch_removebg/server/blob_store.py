"""Bytes kept for an hour, each under a name nobody can guess, and never more in all than there is room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from anyio import to_thread

KEEP = 3600.0  # seconds, as on the hosted service
ROOM = 8 << 30  # bytes in all
_ID_BYTES = 13  # 26 digits, the length of the hosted service's ids


@dataclass(frozen=True, slots=True)
class _Kept:
    size: int
    until: float


class Shelf:
    """A folder of files under random names; the oldest go first, when their time or the room is up."""

    def __init__(self, folder: Path, now: Callable[[], float], *, keep: float = KEEP, room: int = ROOM) -> None:
        """`folder` is this shelf's alone; `now` gives seconds, `keep` is a number of them, `room` one of bytes."""
        self._folder = folder
        self._now = now
        self.keep = keep
        self._room = room
        self._kept: dict[str, _Kept] = {}  # in the order they came

    async def put(self, data: bytes) -> str:
        """Keep these bytes and give back their name; raises OSError where the disk is full."""
        name = token_hex(_ID_BYTES)
        path = self._folder / name
        try:
            await to_thread.run_sync(path.write_bytes, data)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._kept[name] = _Kept(len(data), self._now() + self.keep)
        self._make_room()
        return name

    def path(self, name: str) -> Path | None:
        """Where those bytes lie; None once they are gone."""
        return self._folder / name if name in self._kept else None

    def drop(self, name: str) -> None:
        """Let go of those bytes; nothing happens if they are gone already."""
        if self._kept.pop(name, None):
            (self._folder / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Let go of everything whose time is up."""
        now = self._now()
        for name in [name for name, kept in self._kept.items() if kept.until <= now]:
            self.drop(name)

    def _make_room(self) -> None:
        used = sum(kept.size for kept in self._kept.values())
        for name, kept in list(self._kept.items())[:-1]:  # what has just come stays, whatever its size
            if used <= self._room:
                return
            self.drop(name)
            used -= kept.size
