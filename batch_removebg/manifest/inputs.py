"""What each INPUT of the command line is: settled for all of them before the first picture is read."""

from __future__ import annotations

import enum
import fnmatch
import glob
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batch_removebg.errors import ManifestError
from batch_removebg.storage.naming import is_url

from .columns import url_problem
from .folder import is_out, walk
from .rows import parser_for
from .text import printable

COMMAND_LINE = "command line"
_MAGIC = frozenset("*?[")


class Kind(enum.Enum):
    """What an INPUT names."""

    STDIN = "stdin"
    MANIFEST = "manifest"
    FOLDER = "folder"
    TREE = "tree"
    """A glob with `**`: the pictures below a folder that match."""
    FILE = "file"
    """One picture."""
    URL = "url"
    """A URL of any scheme."""


@dataclass(frozen=True, slots=True)
class Input:
    """One INPUT, or one match of a glob."""

    kind: Kind
    value: str
    """The path or URL; of a tree the folder."""
    origin: str = COMMAND_LINE
    pattern: tuple[str, ...] = ()
    """Of a tree: what the components below the folder must match."""
    base: str | None = None
    """Of a picture: the folder its output's name starts below; its own by default."""


def resolve(inputs: Sequence[str], out: Path | None, warn: Callable[[str], None]) -> list[Input]:
    """Every INPUT by its kind, globs expanded; raises ManifestError where one is not there."""
    return [found for value in inputs for found in _resolve(value, out, warn)]


def _resolve(value: str, out: Path | None, warn: Callable[[str], None]) -> Iterator[Input]:
    if not value:
        raise ManifestError("One INPUT is empty; is a shell variable unset?")
    if value == "-":
        yield Input(Kind.STDIN, value)
    elif is_url(value):
        yield Input(Kind.URL, value)
    elif (found := _existing(value, out)) is not None:
        yield found
    elif url_problem(value) is not None:
        yield Input(Kind.URL, value)
    elif _MAGIC.isdisjoint(value):
        raise ManifestError(f"{printable(value)} does not exist; see to its spelling.")
    else:
        parts = Path(value).parts
        yield from [_tree(value, parts, out)] if "**" in parts else _expand(value, out, warn)


def _existing(value: str, out: Path | None) -> Input | None:
    """The INPUT if something lies under this very name, even if it looks like a glob or a URL."""
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
        return Input(Kind.FOLDER, value, printable(value))
    kind = Kind.FILE if parser_for(Path(value)) is None else Kind.MANIFEST
    return Input(kind, value, origin)


def _expand(pattern: str, out: Path | None, warn: Callable[[str], None]) -> Iterator[Input]:
    """The matches of a glob, as a shell would hand them over, less what can only fail."""
    count = 0
    for match in sorted(glob.glob(pattern)):  # noqa: PTH207  # Path.glob takes no absolute pattern
        try:
            mode = Path(match).stat().st_mode
        except OSError as error:
            warn(f"{printable(match)} can't be read: {error.strerror}; left out.")
            continue
        if stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and not is_out(match, out)):
            count += 1
            yield replace(_classify(match, mode, printable(pattern)), base=str(_fixed(Path(pattern).parts)))
    if not count:
        raise ManifestError(f"{printable(pattern)} matches nothing; see to its spelling.")


def _tree(pattern: str, parts: tuple[str, ...], out: Path | None) -> Input:
    # Not glob's own `**`: it follows links to folders, round in circles if they lead back.
    root = _fixed(parts)
    tree = Input(Kind.TREE, str(root), printable(pattern), parts[len(root.parts) :])
    paths = walk(Path(tree.value), out=out, warn=lambda _: None)
    try:
        found = any(error is not None or matches(path, tree.pattern) for path, error in paths)
    except OSError as error:
        raise ManifestError(f"{printable(tree.value)} can't be read: {error.strerror or error}.") from error
    if not found:
        raise ManifestError(f"{printable(pattern)} matches no picture; see to its spelling.")
    return tree


def _fixed(parts: Sequence[str]) -> Path:
    """The folder before a glob's first wildcard."""
    return Path(*itertools.takewhile(_MAGIC.isdisjoint, parts))


def matches(path: str, pattern: Sequence[str]) -> bool:
    """Whether a posix path below a tree's folder matches; `**` stands for any number of folders."""
    return _match(path.split("/"), pattern)


def _match(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _match(parts, pattern[1:]) or (bool(parts) and _match(parts[1:], pattern))
    return bool(parts) and fnmatch.fnmatch(parts[0], pattern[0]) and _match(parts[1:], pattern[1:])
