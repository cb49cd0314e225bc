"""The pictures below a folder, in the same order on every system."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

from batch_removebg.storage.naming import PICTURE_SUFFIXES

from .text import printable


def walk(root: Path, *, out: Path | None, warn: Callable[[str], None]) -> Iterator[tuple[str, OSError | None]]:
    """Posix paths relative to `root`, sorted; (`sub/`, error) for a folder that can't be read.

    Left out are hidden files and folders, `out`, files that aren't pictures and, with a warning each, pipes, devices,
    and links to folders, to files outside `root` or to nothing. Raises OSError where `root` can't be read.
    """
    listing = _Listing(root, out, warn)
    stack = listing.names("")[::-1]
    while stack:
        path = stack.pop()
        if not path.endswith("/"):
            yield path, None
            continue
        try:
            stack.extend(listing.names(path)[::-1])
        except OSError as error:
            yield path, error


def is_out(path: str, out: Path | None) -> bool:
    """Whether the folder `path` is OUT at this moment, by the file system's identity."""
    try:
        return out is not None and out.samefile(path)
    except OSError:  # OUT doesn't exist yet
        return False


class _Listing:
    def __init__(self, root: Path, out: Path | None, warn: Callable[[str], None]) -> None:
        self._root, self._out, self._warn = root, out, warn
        self._real_root = os.path.realpath(root)

    def names(self, folder: str) -> list[str]:
        """Pictures and subfolders (ending in `/`) of `folder`, sorted, relative to the root."""
        with os.scandir(self._root / folder) as entries:
            return sorted(folder + name for name in map(self._name, entries) if name)

    def _name(self, entry: os.DirEntry[str]) -> str | None:
        name, reason = entry.name, None
        picture = os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122  # quicker than a Path for each
        if name.startswith("."):
            return None
        if entry.is_symlink():
            reason = self._refused_link(entry.path, picture)
        elif entry.is_dir():
            return None if is_out(entry.path, self._out) else f"{name}/"
        elif picture and not entry.is_file():
            reason = "is a pipe or a device"
        if reason is not None:
            self._warn(f"{printable(entry.path)} {reason}; left out.")
        return name if picture and reason is None else None

    def _refused_link(self, path: str, picture: bool) -> str | None:
        try:
            target = os.path.realpath(path, strict=True)
            mode = Path(target).stat().st_mode
        except OSError:
            return "is a link that leads nowhere" if picture else None
        if stat.S_ISDIR(mode):
            return "is a link to a folder, which is not followed"
        if picture and not stat.S_ISREG(mode):
            return "is a link to a pipe or a device"
        if picture and not PurePath(target).is_relative_to(self._real_root):
            return "is a link that leads out of the folder"
        return None
