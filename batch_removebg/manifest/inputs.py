"""Kinds of INPUTs; all of them are determined before the first picture is read."""

from __future__ import annotations

import enum
import glob
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath

from batch_removebg.errors import ManifestError
from batch_removebg.events import ignore
from batch_removebg.storage.naming import is_url
from batch_removebg.storage.objects import divided, is_object

from .cells import as_url
from .columns import url_problem
from .folder import TAKEN, Folders, is_out, kept_apart, location, prefix, walk
from .rows import parser_for
from .text import printable

COMMAND_LINE = "command line"
_MAGIC = frozenset("*?[")


class InputKind(enum.Enum):
    """What an INPUT is; a file is one picture, a URL has any scheme."""

    STDIN = "stdin"
    MANIFEST = "manifest"
    FOLDER = "folder"
    FILE = "file"
    URL = "url"
    PREFIX = "prefix"  # of keys in a bucket, which is read like a folder


@dataclass(frozen=True, slots=True)
class Input:
    """One INPUT, or one match of a glob."""

    kind: InputKind
    value: str
    origin: str = COMMAND_LINE
    pattern: tuple[str, ...] = ()  # for a folder from a glob with `**`: the patterns of the path components below it
    base: str | None = None  # for a file: the folder that its output's name is relative to; by default its own
    url: str | None = None  # for a manifest from elsewhere: what its paths are relative to; empty: this folder


class Feed(str):
    """An INPUT that is a manifest's URL, or its name, and the file that it was written to."""

    __slots__ = ("path", "shown")
    path: Path
    shown: str  # without secrets


def is_feed(value: str) -> bool:
    """Whether an INPUT is the URL of a manifest, by the ending of its path."""
    return is_url(value) and parser_for(PurePath(path_of(value))) is not None


def path_of(url: str) -> str:
    """The key of an object, as it stands; any other URL without query and fragment."""
    return divided(url)[1] if is_object(url) else re.split(r"[?#]", url)[0]


def resolve(inputs: Sequence[str], folders: Folders, warn: Callable[[str], None]) -> list[Input]:
    """Every INPUT with its kind, globs expanded; raises ManifestError where one doesn't exist."""
    return [found for value in inputs for found in _resolve(value, folders, warn)]


def files(inputs: Sequence[str], folders: Folders) -> Iterator[str]:
    """Paths of the pictures, and of the manifests, that the INPUTs name; raises ManifestError as `resolve` does."""
    for each in resolve(inputs, folders, ignore):
        path = Path(each.value)
        if each.kind is not InputKind.FOLDER:
            yield str(path)
            continue
        try:
            found, before = walk(path, replace(folders, only=each.pattern, left_out={})), prefix(path)
            yield from (before + name for name, error in found if error is None)
        except OSError as error:
            raise ManifestError(f"{printable(path)} can't be read: {error.strerror or error}.") from error


def place(value: str) -> Path:
    """The folder or file behind an INPUT: of a glob the folder before its first wildcard."""
    return Path(value) if os.path.lexists(value) else _fixed(Path(value).parts)


def is_manifest(value: str) -> bool:
    """Whether an INPUT is one, by its name."""
    return parser_for(Path(value)) is not None and not Path(value).is_dir()


def _resolve(value: str, folders: Folders, warn: Callable[[str], None]) -> Iterator[Input]:
    if not value:
        raise ManifestError("One INPUT is empty; is a shell variable unset?")
    if value == "-":
        yield Input(InputKind.STDIN, value)
    elif isinstance(value, Feed):
        yield Input(InputKind.MANIFEST, str(value.path), value.shown, url=value if is_url(value) else "")
    elif is_object(value) and PurePosixPath(divided(value)[1]).suffix.lower() not in TAKEN:
        if location(value) == location(folders.bucket):
            raise ManifestError(f"{printable(value)} is the output folder itself; choose another --out.")
        yield Input(InputKind.PREFIX, value, printable(value))
    elif is_url(value):
        yield Input(InputKind.URL, value)
    elif (found := _existing(value, folders.out)) is not None:
        yield found
    elif url_problem(value) is not None or is_url(as_url(value)):
        yield Input(InputKind.URL, value)
    elif _MAGIC.isdisjoint(value):
        raise ManifestError(f"{printable(value)} does not exist; check its spelling.")
    else:
        parts = Path(value).parts
        yield from [_tree(value, parts, folders)] if "**" in parts else _expand(value, folders.out, warn)


def _existing(value: str, out: Path | None) -> Input | None:
    """The INPUT if a file or folder has exactly this name, even if it looks like a glob or a URL."""
    try:
        mode = Path(value).stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.lexists(value):
            raise ManifestError(f"{printable(value)} is a link that leads nowhere.") from error
        return None
    except (OSError, ValueError) as error:
        if url_problem(value) is not None:  # a data: URI is longer than any path
            return None
        raise ManifestError(f"{printable(value)} can't be read: {error}.") from error
    if stat.S_ISDIR(mode) and is_out(value, out):
        raise ManifestError(f"{printable(value)} is the output folder itself; choose another --out.")
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise ManifestError(f"{printable(value)} is a pipe or a device; pipe a manifest in as `-` instead.")
    return _classify(value, mode, COMMAND_LINE)


def _classify(value: str, mode: int, origin: str) -> Input:
    if stat.S_ISDIR(mode):
        return Input(InputKind.FOLDER, value, printable(value))
    kind = InputKind.FILE if parser_for(Path(value)) is None else InputKind.MANIFEST
    return Input(kind, value, origin)


def _expand(pattern: str, out: Path | None, warn: Callable[[str], None]) -> Iterator[Input]:
    """The matches of a glob, as a shell would pass them, without those that can only fail."""
    count = 0
    for match in sorted(glob.glob(pattern)):  # noqa: PTH207  # Path.glob takes no absolute pattern
        try:
            mode = Path(match).stat().st_mode
        except OSError as error:
            warn(f"{printable(match)} can't be read: {error.strerror}; left out.")
            continue
        folder = stat.S_ISDIR(mode)
        if folder and Path(match).name != Path(pattern).name and (what := kept_apart(match)) is not None:
            warn(f"{printable(match)} is left out ({what}); name it to have it read.")
        elif stat.S_ISREG(mode) or (folder and not is_out(match, out)):
            count += 1
            yield replace(_classify(match, mode, printable(pattern)), base=str(_fixed(Path(pattern).parts)))
    if not count:
        raise ManifestError(f"{printable(pattern)} matches nothing; check its spelling.")


def _tree(pattern: str, parts: tuple[str, ...], folders: Folders) -> Input:
    # Not glob's own `**`, which follows links to folders, in circles if they lead back.
    root = _fixed(parts)
    tree = Input(InputKind.FOLDER, str(root), printable(pattern), parts[len(root.parts) :])
    try:
        found = next(walk(Path(tree.value), replace(folders, only=tree.pattern, left_out={})), None)
    except OSError as error:
        raise ManifestError(f"{printable(tree.value)} can't be read: {error.strerror or error}.") from error
    if found is None:
        raise ManifestError(f"{printable(pattern)} matches no picture; check its spelling.")
    return tree


def _fixed(parts: Sequence[str]) -> Path:
    """The folder before a glob's first wildcard."""
    return Path(*itertools.takewhile(_MAGIC.isdisjoint, parts))
