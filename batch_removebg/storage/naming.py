"""Names of finished pictures, computed from text alone."""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Protocol
from urllib.parse import unquote, urlsplit

from batch_removebg.errors import SettingsError, SourceError
from batch_removebg.hashing import hash64, sha256_hex
from batch_removebg.model import Item, UrlRow

from .layout import CSV, DECISIONS, DEFAULT_TEMPLATE, LEDGER, RESULTS, STATE
from .objects import divided, is_object

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .jif .jfi .pjpeg .pjp .mpo .png .apng .webp .tif .tiff .btf .tf8 .gif .bmp .dib .heic .heif "  # noqa: SIM905
    ".heics .heifs .hif .avif .avifs .jp2 .j2k .j2c .jpc .jpf .jpx .ppm .pgm .pbm .pnm .pfm .psd".split()
)
RAW_SUFFIXES = frozenset(  # of cameras
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .rw2 .rwl "  # noqa: SIM905
    ".sr2 .srf .srw .x3f".split()
)
RESERVED = frozenset({STATE, LEDGER, RESULTS, CSV, DECISIONS})  # at the top of OUT
_LONGEST_COMPONENT = 200  # bytes; file systems allow 255, the rest is room for a hash, an extension, a temp name
_LONGEST_PATH = 1000  # bytes
_DEVICE_AHEAD = r"(?![CAPNLcapnl](?i:on|rn|ux|ul|om[1-9]|pt[1-9]) *(?:[./]|\Z))"  # and a few more, which does no harm
_PLAIN_PART = rf"{_DEVICE_AHEAD}[a-zA-Z0-9_-](?:[a-zA-Z0-9_. -]{{0,150}}[a-zA-Z0-9_-])?"
_PLAIN = re.compile(
    rf"(?!(?i:(?:ledger|decisions)\.jsonl|results\.(?:json|csv))(?:/|\Z)){_PLAIN_PART}(?:/{_PLAIN_PART}){{0,5}}",
    re.ASCII,
)
"""Most names: those that need no change, recognised by one match."""
_WORD = rf"{_DEVICE_AHEAD}[a-zA-Z0-9_-]{{1,150}}"
_WORDS = re.compile(rf"{_WORD}(?:/{_WORD}){{0,5}}", re.ASCII)  # a plain name without an extension
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.-]*[A-Za-z0-9]/([A-Za-z0-9_.~-]+(?:/[A-Za-z0-9_.~-]+)*)")
"""A URL whose path needs no decoding."""
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*]')
URLS = ("https://", "http://", "s3://", "gs://", "az://")
_OF_PICTURE = (None, "id", "name", "parent", "stem")  # fields of templates that every item has
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³]) *(\.|\Z)", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether `text` is the URL of something that is read: at http or https, or an object in a bucket."""
    return text.startswith(URLS) or text[:8].lower().startswith(URLS)


def safe_name(text: str) -> str:
    """`text` as a relative posix path for every file system: at most 200 bytes a component, 1000 in all, inside OUT."""
    if _PLAIN.fullmatch(text):
        return text
    text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair can't be written
    parts = [part for part in re.split(r"[/\\]", text) if part not in {"", ".", ".."}]
    safe = [_safe_component(part) for part in parts] or ["_"]
    if name_key(safe[0]) in RESERVED:
        safe[0] = f"_{safe[0]}"
    if len("/".join(safe).encode()) <= _LONGEST_PATH:
        return "/".join(safe)
    return _shortened(safe, sha256_hex(text))


def _safe_component(part: str) -> str:
    safe = _UNSAFE.sub("_", part).rstrip(". ") or "_"
    if _DEVICE.match(safe):
        safe = f"_{safe}"
    data = safe.encode()
    if len(data) <= _LONGEST_COMPONENT:
        return safe
    tail = sha256_hex(part)[:8]
    return f"{data[: _LONGEST_COMPONENT - len(tail) - 1].decode(errors='ignore')}-{tail}"


def _shortened(parts: list[str], digest: str) -> str:
    """The leading folders that fit, a hash for those that don't, and the last component."""
    room = _LONGEST_PATH - len(parts[-1].encode()) - len(digest[:16]) - 2
    folders: list[str] = []
    for part in parts[:-1]:
        room -= len(part.encode()) + 1
        if room < 0:
            break
        folders.append(part)
    return "/".join([*folders, digest[:16], parts[-1]])


def check_template(template: str) -> None:
    """Raise SettingsError unless `template` is well formed and stays inside OUT."""
    filled = "".join(literal if field is None else f"{literal}x" for literal, field in _parse(template))
    parts = re.split(r"[/\\]", filled)
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", parts[0]):
        raise SettingsError(f"The name template {template!r} leads outside OUT; make it a plain relative path.")


def render(template: str, item: Item | UrlRow) -> str:
    """The item's name by `template`: a safe relative posix path, without extension.

    Fields: `{id}` (for a URL the last component of its path), `{stem}`, `{name}` (with its extension), `{parent}`, and
    every other column of the manifest. Raises SettingsError for a malformed template or a field the item lacks.
    """
    full = item.name or item.id
    path = _id_path(full)
    parent, _, name = path.rpartition("/")
    plain = without_suffix(name if is_url(full) else path)
    if template == DEFAULT_TEMPLATE:
        return safe_name(plain)
    fields = {**item.meta, "id": plain, "name": name, "parent": parent, "stem": without_suffix(name)}
    pieces = _parse(template)
    if unknown := [field for _, field in pieces if field is not None and field not in fields]:
        choice = ", ".join(f"{{{known}}}" for known in sorted(fields))
        raise SettingsError(
            f"The name template {template!r} has {{{unknown[0]}}}, which is unknown; there are: {choice}."
        )
    values = ((literal, None if field is None else fields[field]) for literal, field in pieces)
    return safe_name("".join(literal if value is None else f"{literal}{value}" for literal, value in values))


def by_row(template: str) -> bool:
    """Whether names by the template tell rows apart, by columns of theirs, and not pictures alone."""
    return any(field not in _OF_PICTURE for _, field in _parse(template))


def columns_of(template: str) -> list[str]:
    """The fields of a template, as it spells them; none of an empty one."""
    return [field for _, field in _parse(template) if field] if template else []


def without_suffix(path: str) -> str:
    """`path` without its extension if that is a picture's; other extensions stay."""
    stem, dot, suffix = path.rpartition(".")
    if stem and dot + suffix.lower() in PICTURE_SUFFIXES | RAW_SUFFIXES and not stem.endswith(("/", "\\")):
        return stem
    return path


def _id_path(item_id: str) -> str:
    """The id as a posix path; for a URL its decoded path, or the host where that is empty."""
    if not is_url(item_id):
        return item_id.replace("\\", "/")
    if plain := _PLAIN_URL.fullmatch(item_id):
        return plain[1]
    if is_object(item_id):
        return divided(item_id)[1]
    try:
        parts = urlsplit(item_id)
        host = parts.hostname
    except ValueError:  # not a URL after all
        return item_id
    return unquote(parts.path).strip("/") or host or item_id


@functools.lru_cache(maxsize=16)
def _parse(template: str) -> list[tuple[str, str | None]]:
    """The template as (literal, field) pairs; a trailing literal has the field None."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise SettingsError(f"The name template {template!r} is malformed: {error}.") from error
    if not template.strip():
        raise SettingsError("The name template is empty; the default is {id}.")
    if any(spec or conversion for _, _, spec, conversion in pieces):
        raise SettingsError(f"The name template {template!r} may hold plain {{fields}} only, without `:` or `!`.")
    return [(literal, field) for literal, field, _, _ in pieces]


def name_key(name: str) -> str:
    """A name's key: equal for names that are the same file where case and Unicode composition are ignored."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


class _Owners(Protocol):
    """Which item has which name, or one below a folder; names, items and folders are `hash64` values."""

    def owner(self, h: int) -> int | None: ...
    def given(self, h: int) -> bool: ...
    def has_folder(self, h: int) -> bool: ...
    def take(self, h: int, owner: int, folders: Iterable[int]) -> None: ...


class Claims:
    """Gives every item a name of its own, the same one in every run.

    Two names clash when they differ only by case or Unicode composition, or when one is a folder on the way to the
    other. The first item to ask gets the plain name; a later one gets `name-<8 hex of its id's sha256>`, until the
    plain one is free: its item is on record as gone, or as saved under another name of that format.
    """

    def __init__(
        self,
        extension: str,
        template: str = DEFAULT_TEMPLATE,
        *,
        owners: _Owners,
        folder: str = "",
        first: str = "",
        patterns: Sequence[str] = (),
    ) -> None:
        """`owners`: the names given by earlier runs, which stay theirs, and by this one.

        `folder`: where all lie; `first`: a template for items that have its columns, in any case; `patterns`: of names
        that a shop takes, by which blanks and signs become hyphens where that is enough.
        """
        check_template(template)
        self._extension = extension.lower().lstrip(".")
        self._template, self._first, self._folder = template, first, f"{folder}/" if folder else ""
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._owners = owners

    def owner(self, item: Item) -> int | None:
        """The hash of the item that the name belongs to which this one would have as the first to ask."""
        return self._owners.owner(hash64(name_key(self.plain(item))))

    def claim(
        self,
        item: Item,
        *,
        was: str = "",
        exists: Callable[[str], bool] = lambda _: False,
        passes: Callable[[int, str], bool] = lambda *_: False,
    ) -> str:
        """The item's output, relative to OUT; asking again gives the same. `exists`: a file that isn't ours has it.

        `was`: the id that its names are on record under; `passes`: whether another's name has become free. Raises
        SourceError where the item's second name isn't free either: nothing is overwritten.
        """
        candidates, own = list(self._candidates(item)), hash64(item.id)
        for name in candidates:
            holder = self._owners.owner(key := hash64(name_key(name)))
            known = holder in (own, hash64(was or item.id))
            known = known or (holder is not None and not self._owners.given(key) and passes(holder, name))
            if not known and not self._free(name):
                continue
            if known or not exists(name):
                self._owners.take(key, own, folders_of(name))
                return name
            if name != candidates[0]:
                raise SourceError(
                    f"{candidates[0]} is taken and {name} already lies in OUT, but this program did not write it; "
                    "move it away or choose another --name, then run again."
                )
        raise SourceError(f"No free name is left for {item.id!r}; give it an output of its own in the manifest.")

    def plain(self, item: Item | UrlRow) -> str:
        """The name of an item that is the first to ask."""
        quick = not self._folder and self._template == DEFAULT_TEMPLATE and item.output is None and item.name is None
        if quick and _WORDS.fullmatch(item.id):
            return f"{item.id}.{self._extension}"  # the same as below
        return f"{self._plain(item)}.{self._extension}"

    def empty(self, item: Item) -> str:
        """The first column of `first` that the item has, and nothing in it; else nothing."""
        cells = {column.lower(): str(cell or "").strip() for column, cell in item.meta.items()}
        return next((field for field in columns_of(self._first) if not cells.get(field.lower(), field)), "")

    def _plain(self, item: Item | UrlRow) -> str:
        return self._folder + self._fitting(self._named(item))

    def _named(self, item: Item | UrlRow) -> str:
        if item.problem is not None:  # it may lack what the template asks for, and won't be written
            return safe_name(item.id)
        cells = {column.lower(): str(cell or "").strip() for column, cell in item.meta.items()} if self._first else {}
        found = {field: cells.get(field.lower()) for field in columns_of(self._first)} if cells else {}
        if found and all(found.values()):
            return render(self._first, replace(item, meta=found)) + item.suffix
        name = render(self._template, item) if item.output is None else safe_name(without_suffix(item.output))
        return name + item.suffix

    def _fitting(self, name: str) -> str:
        """The name as a pattern of the shop wants it, where a few hyphens do that."""
        parent, slash, last = name.rpartition("/")
        plain = re.sub("[^A-Za-z0-9]+", "-", last).strip("-")
        fits = (each for each in (last, plain) if any(pattern.fullmatch(each) for pattern in self._patterns))
        return parent + slash + next(fits, last)

    def _candidates(self, item: Item) -> Iterator[str]:
        plain = self._plain(item)
        digest = sha256_hex(item.id)
        yield f"{plain}.{self._extension}"
        yield f"{plain}-{digest[:8]}.{self._extension}"
        # Two ids may share eight digits, and a file may be in the way of a folder.
        yield f"{plain}-{digest[:32]}.{self._extension}"
        below = plain.removeprefix(self._folder).replace("/", "_")
        yield f"{self._folder}{safe_name(below)}-{digest[:32]}.{self._extension}"

    def _free(self, name: str) -> bool:
        key = hash64(name_key(name))
        if self._owners.owner(key) is not None or self._owners.has_folder(key):
            return False
        return all(self._owners.owner(folder) is None for folder in folders_of(name))


def earlier(name: str, now: str | None) -> bool:
    """Whether an item that is now called otherwise needs a name no more; pictures in other formats serve it still."""
    return name_key(name) != name_key(now or "") and PurePath(name).suffix == PurePath(now or "").suffix


def folders_of(name: str) -> Iterator[int]:
    """Hashes of the folders on the way to `name`."""
    parts = name_key(name).split("/") if "/" in name else ()
    return (hash64("/".join(parts[:depth])) for depth in range(1, len(parts)))
