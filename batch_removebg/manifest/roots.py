"""What paths of files are relative to in ids and names: the folder that they have in common, unless it is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from batch_removebg.errors import ManifestError
from batch_removebg.model import Item, Lot, UrlRow

from .inputs import Input, InputKind
from .text import printable

Rows = Iterator[tuple[Lot | None, Sequence[Item | UrlRow]]]
"""Rows read together: as they stand in a manifest, if they are of one, and what is made of them."""


class Roots:
    """The folders of a run's INPUTs; `given`: the root, where the user names one."""

    def __init__(self, found: Sequence[Input], given: str | None) -> None:
        folders = {_absolute(each.value): 0 for each in found if each.kind is InputKind.FOLDER and not each.pattern}
        files = [_absolute(each.value).parent for each in found if each.kind is InputKind.FILE and each.base is None]
        self.given = _absolute(given) if given else None
        self._folders, self._files, self._many = [*folders], _common(files), len(found) > 1
        places = (_place(each) for each in found if each.kind is not InputKind.URL and each.url is None)
        self._root = os.path.realpath(self.given or _common(places) or "")

    def prefixes(self, folder: Path) -> list[str]:
        """What ids of pictures in a folder begin with, then what they may have begun with under other commands.

        That is the folder's name where there are several INPUTs, with those above it where two have the same.
        """
        here = _absolute(folder)
        alike = [other.parent for other in self._folders if other.name == here.name]
        named = _inside(here, _common(alike or [here.parent]))
        own = _inside(here, self.given) or (named if self._many else [])
        return list(dict.fromkeys("/".join([*parts, ""]) for parts in (own, [], named, [here.name])))

    def name(self, file: Path) -> str:
        """The name of an INPUT that is a picture."""
        path = _absolute(file)
        return "/".join(_inside(path, self.given) or _inside(path, self._files) or [path.name])

    def relative(self, source: str) -> str:
        """The real path of a file, from the root or the folder that all INPUTs have in common, if it is in there."""
        return source.removeprefix(f"{self._root}{os.sep}")

    def below(self, read: Callable[[], Rows]) -> Rows:
        """The rows of a manifest, those with absolute paths relative to the folder that these have in common.

        To find that, unless it is given, the manifest is read a second time.
        """
        root = self.given
        for lot, rows in read():
            if any(map(_loose, rows)):
                root = root or _common(_folders(read()))
                rows = [_relative(row, root) for row in rows]
            yield lot, rows


def _loose(row: Item | UrlRow) -> Path | None:
    """The path of a row whose id is that path, an absolute one."""
    return row.path if row.id[:1] == "/" and not row.own_id and row.output is None else None


def _folders(rows: Rows) -> Iterator[Path]:
    """The folders of such rows, up to one that makes no sense, which is said when its turn comes."""
    with suppress(ManifestError):
        yield from (path.parent for _, some in rows for row in some if (path := _loose(row)) is not None)


def _relative(row: Item | UrlRow, root: Path | None) -> Item | UrlRow:
    path = _loose(row)
    inside = _inside(path, root) if path is not None else []
    return replace(row, id=printable("/".join(inside)), was=(row.id,)) if isinstance(row, Item) and inside else row


def _place(given: Input) -> Path:
    return _absolute(given.value if given.kind is InputKind.FOLDER else given.base or Path(given.value).parent)


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # links keep their names


def _common(folders: Iterable[Path]) -> Path | None:
    """The deepest folder that all of these are in; None where there are none."""
    some = set(folders)
    return Path(os.path.commonpath(some)) if some else None


def _inside(path: Path, folder: Path | None) -> Sequence[str]:
    """The components of a path from a folder on; none where it isn't in there."""
    return path.relative_to(folder).parts if folder is not None and path.is_relative_to(folder) else ()
