"""The pictures below a folder, in the same order on every system, and what is left out of it."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path, PurePath

from batch_removebg.errors import SettingsError
from batch_removebg.storage.layout import LEDGER, STATE
from batch_removebg.storage.naming import PICTURE_SUFFIXES, RAW_SUFFIXES
from batch_removebg.storage.objects import Stored, divided, object_problem

from .text import printable

_APART = re.compile(
    r"\$recycle\.bin|recycle[rd]|[#@]recycle|trash(es|box|-\d+)|network trash folder|@sharebin|files_trashbin"  # bins
    r"|@eadir|@__thumb|__macosx|@tmp|lost\+found|system volume information"  # what systems keep for themselves
    r"|[#@~]snapshots?|@recently-snapshot|@sharesnap|@gmt-.*|files_versions",
    re.IGNORECASE,
)
"""Folders with pictures that are no photos of their own; others of the kind are hidden."""
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"})
TAKEN = PICTURE_SUFFIXES | (RAW_SUFFIXES if importlib.util.find_spec("rawpy") else set())
_OTHERS = "ai|cdr|dds|eps|exr|hdr|ico|indd|jxl|jxr|pcx|pdf|psb|qoi|sketch|svgz?|tga|xcf"
_REMEDIES = {
    " (camera raw files: install the extra `raw`, or develop them to TIFF or JPEG)": "|".join((*RAW_SUFFIXES, ".raw")),
    " (not readable here: export them as PNG or TIFF first)": rf"\.({_OTHERS})",
    " (--follow-links takes them)": r"link\(s\) (to folders|out of the folder)",
    "": ".*",
}
_BEFORE_STATE = re.compile(r"/[ -\-]")  # names that come before a run's state in the order of keys
_ENDING = re.compile(r"\.\w{1,8}", re.ASCII)
LeftOut = dict[str, tuple[int, str]]
"""What isn't read (an ending in small letters, or another kind) → how many times, and the path of the first."""


@dataclass(frozen=True, slots=True)
class Folders:
    """What is taken of folders, and a count of what is left out.

    Globs are relative to the INPUT; one without `/` matches at any depth, one that matches a folder all that is in it.
    """

    out: Path | None = None  # never read, and neither is `bucket`
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow_links: bool = False  # also out of the INPUT
    apart: tuple[Path, ...] = ()  # folders that aren't read either
    first: Set[str] = frozenset()  # paths of files and, with a `/` behind them, of folders that come before others
    only: tuple[str, ...] = ()  # components of the glob that is the INPUT itself
    left_out: LeftOut = field(default_factory=dict)
    bucket: str = ""  # the URL of an OUT in one


def walk(root: Path, folders: Folders) -> Iterator[tuple[str, OSError | None]]:
    """Posix paths relative to `root`, sorted but for the first ones; (`sub/`, error) for a folder that can't be read.

    Left out are hidden files and folders, what `folders` say and, counted, files that aren't pictures, bins and the
    like, folders with a ledger, pipes, devices, and links to nothing or, unless they are followed, to folders or out of
    `root`. Raises OSError where `root` can't be read.
    """
    listing = _Listing(root, folders)
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


def prefix(root: Path) -> str:
    """What the path of a file below `root` begins with."""
    return "" if root == Path() else os.path.join(root, "")  # noqa: PTH118  # as `root / name`, but quicker


def location(url: str) -> tuple[str, str]:
    """The bucket and the prefix that a URL names, however it is written."""
    bucket, key = divided(url)
    return bucket, key.strip("/")


def below(listed: Callable[[str], Iterable[Sequence[Stored]]], url: str, folders: Folders) -> Iterator[tuple[str, str]]:
    """(Key, the same relative to the prefix) of the pictures below a URL, by the rules of `walk`.

    What ends with `/` stands for keys that can't be read. `listed`: see `Store.listed`.
    """
    (bucket, prefix), (of_out, out) = location(url), location(folders.bucket)
    if problem := object_problem(f"{url.removesuffix('/')}/NAME"):
        raise SettingsError(f"{url} {problem}")
    listing, start, ledger = _Listing(Path(prefix), folders), len(prefix) + bool(prefix), "\0"
    own = f"{out}/" if of_out == bucket and len(out) > len(prefix) else "\0"  # an OUT around the prefix is none of it
    has_state = lru_cache(99)(lambda folder: any(listed(f"{folder}/{STATE}")))
    for each in chain.from_iterable(listed(prefix)):
        if each.key.startswith(own):
            continue
        name = each.key[start:]
        above, state, _ = f"/{name}".partition(f"/{STATE}/")
        if state and above:
            ledger = f"{above[1:]}/"
        for found in () if name.startswith(ledger) else _BEFORE_STATE.finditer(name):
            if has_state(each.key[: start + found.start()]):
                ledger = name[: found.end() - 1]
        if listing.takes(each, name, "picture(s) of other runs" if name.startswith(ledger) else None):
            yield each.key, name


def is_out(path: str, out: Path | None) -> bool:
    """Whether the folder `path` is OUT at this moment, by the file system's identity."""
    try:
        return out is not None and os.path.samefile(out, path)  # noqa: PTH121
    except OSError:  # OUT doesn't exist yet
        return False


def kept_apart(path: str) -> str | None:
    """What a folder is that is read only where it is an INPUT itself; None for a folder of pictures."""
    if _APART.fullmatch(name := os.path.basename(path)):  # noqa: PTH119  # quicker than a Path for each
        return printable(name)
    return "folder(s) with a ledger" if all(os.path.lexists(f"{path}/{each}") for each in (STATE, LEDGER)) else None


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path's components match the patterns; `**` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return matches(parts, pattern[1:]) or (bool(parts) and matches(parts[1:], pattern))
    return bool(parts) and fnmatch.fnmatch(parts[0], pattern[0]) and matches(parts[1:], pattern[1:])


def left_out_text(left_out: Mapping[str, tuple[int, str]]) -> str:
    """How much was left out of folders, and how it can be taken; "" for nothing."""
    groups: dict[str, list[str]] = {note: [] for note in _REMEDIES}
    for what, (count, first) in sorted(left_out.items(), key=lambda each: (-each[1][0], each[0])):
        note = next(note for note, kind in _REMEDIES.items() if re.fullmatch(kind, what))
        groups[note].append(f"{count} {what}{'' if what[0] == '.' else f' such as {first}'}")
    texts = (f"{', '.join(named)}{note}" for note, named in groups.items() if named)
    return f"left out: {', '.join(texts)}" if left_out else ""


def _components(glob: str) -> tuple[str, ...]:
    path = glob.replace(os.sep, "/").rstrip("/")
    return (*(() if "/" in path else ("**",)), *(part for part in path.split("/") if part not in {"", "."}))


def _other(name: str, ending: str) -> str:
    """What a file is that is no picture."""
    return "" if name.lower() in _SYSTEM_FILES else ending if _ENDING.fullmatch(ending) else "other file(s)"


class _Listing:
    def __init__(self, root: Path, folders: Folders) -> None:
        self._root, self._folders, self._real_root, self._folder = root, folders, os.path.realpath(root), ""
        self._first, self._prefix = folders.first, prefix(root)
        self._include, self._exclude = (
            [_components(glob.lower()) for glob in globs] for globs in (folders.include, folders.exclude)
        )
        self._picks, self._follow = bool(self._include or self._exclude or folders.only), folders.follow_links
        self._followed: set[str] = set()  # real folders, so that links in circles end

    def names(self, folder: str) -> list[str]:
        """Pictures and subfolders (ending in `/`) of `folder`, sorted, relative to the root."""
        self._folder, path = folder, os.path.join(self._root, folder)  # noqa: PTH118  # quicker than a Path for each
        if self._follow:
            if (real := os.path.realpath(path)) in self._followed:
                return []
            self._followed.add(real)
        with os.scandir(path) as entries:
            found = sorted(folder + name for name in map(self._name, entries) if name)
        return sorted(found, key=lambda name: self._prefix + name not in self._first) if self._first else found

    def _name(self, entry: os.DirEntry[str]) -> str | None:
        name = entry.name
        if name.startswith(".") or not self._is_picked(self._folder + name, entry.is_dir):
            return None
        ending = name[name.rfind(".") :].lower()
        picture = ending in TAKEN
        what = self._refused_link(entry.path, picture) if entry.is_symlink() else None  # "": without a word
        if what is None and entry.is_dir():
            name += "/"
            unread = any(is_out(entry.path, each) for each in (self._folders.out, *self._folders.apart))
            what = "" if unread else kept_apart(entry.path)
        elif what is None and picture:
            what = None if entry.is_file() else "pipe(s) or device(s)"
        elif what is None:
            what = _other(name, ending)
        return name if self._counted(what, entry.path) else None

    def takes(self, stored: Stored, name: str, what: str | None) -> bool:
        """Whether an object is taken, by its name below the root; `what` it is that isn't."""
        if name.endswith("/"):
            return self._is_picked(name, lambda: True)
        *above, last = name.split("/")
        ending = last[last.rfind(".") :].lower()
        if any(part.startswith(".") for part in (*above, last)) or not self._is_picked(name, bool):
            return False
        what = what or next((part for part in above if _APART.fullmatch(part)), None)
        if ending not in TAKEN:  # consoles make empty objects for folders
            what = _other(last, ending) if stored.size and what is None else ""
        return self._counted(what, stored.key)

    def _counted(self, what: str | None, path: str) -> bool:
        """Whether something is taken, for which it must be nothing else; "" is left out without a word."""
        if what:
            count, first = self._folders.left_out.get(what, (0, printable(path)))
            self._folders.left_out[what] = count + 1, first
        return what is None

    def _is_picked(self, name: str, is_folder: Callable[[], bool]) -> bool:
        if not self._picks:
            return True
        parts = name.split("/")
        lower = [part.lower() for part in parts]
        ways = [lower[: depth + 1] for depth in range(len(parts))]  # the folders on the way, and itself
        within = [any(matches(way, glob) for glob in globs for way in ways) for globs in (self._exclude, self._include)]
        if within[0] or is_folder():
            return not within[0]
        return (within[1] or not self._include) and (not self._folders.only or matches(parts, self._folders.only))

    def _refused_link(self, path: str, picture: bool) -> str | None:
        """What a link is that is left out; None where what it leads to decides."""
        try:
            target = PurePath(os.path.realpath(path, strict=True))
        except OSError:
            return "link(s) that lead nowhere" if picture else ""
        below = target.relative_to(self._real_root).parts if target.is_relative_to(self._real_root) else (".",)
        if Path(target).is_dir():  # what is below the root is read there, unless it is hidden
            read_there = not any(part.startswith(".") for part in below)
            return ("" if read_there else None) if self._follow else "link(s) to folders"
        is_taken = not picture or self._follow or below != (".",)
        return None if is_taken else "link(s) out of the folder"
