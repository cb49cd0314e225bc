"""Columns of a manifest; one row → one Item."""

from __future__ import annotations

import difflib
import functools
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from batch_removebg.errors import ManifestError
from batch_removebg.events import ignore
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Item, UrlRow
from batch_removebg.storage.naming import is_url
from batch_removebg.storage.objects import divided, is_object, object_problem

from .cells import as_url, bare, find, split
from .text import printable

_PICTURE = re.compile(
    r"(?P<other>(?:additional|alternate|extra|gallery|other|secondary|small|swatch|thumbnail|variant)?)"
    r"(?P<main>(?:base|cover|default|featured|front|hosted|internal|item|large|main|media|original|primary|product)*)"
    r"(?:attachment|bilder|bild|foto|image|imagen|imagene|img|media|photo|picture|pic)s?"
    r"(?:file|href|link|locator|location|path|source|src|uri|url)*s?(?P<name>(?:file)?(?:name)?)(?P<number>\d{0,3})"
)
"""The name of a picture's column in shops' exports: `Image Src`, `image_link`, `base_image`, `Hosted Image URLs` …"""
_PLAINEST = ("source", "src", "url", "path", "file", "filepath", "filename")
_IDS = (
    *("id", "sku", "itemsku", "sellersku", "contributionsku", "productsku", "productcodesku", "productcode", "handle"),
    *("handleid", "identifier", "productnumber", "ordernumber", "articlenumber", "artikelnummer", "itemnumber"),
    *("artikelnr", "artnr"),
    *("customlabel", "reference", "productid", "itemid", "internalid", "productinternalid", "variantsku", "uuid"),
    *("code", "mpn", "gtin", "ean", "upc", "barcode"),
)
"""Columns that tell rows apart, those of the picture first: Shopify's are the product's, not a variant's."""
_ASIDE = re.compile(
    r"\(.*?\)|\[.*?\]|#.*|-[a-z]{2}_[a-z]{2}\b.*", re.IGNORECASE
)  # `(SKU)`, `[Non Editable]`, `#1.value`, `-en_US`
_PLAIN_URL = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9_.~/%=&?+,-]*", re.ASCII)
"""A usual URL, which needs no check."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://|(file|data|ftps?|sftp|s3|gs|https?):", re.IGNORECASE)
_REMEDIES = {
    "file": "write the plain path instead",
    "data": "save the picture to a file and name that",
    "http": "write it as http://host/path",
    "https": "write it as https://host/path",
    **dict.fromkeys(("s3a", "s3n"), "write it as s3://bucket/key"),
    "gcs": "write it as gs://bucket/key",
    **dict.fromkeys(("abfs", "abfss", "adl", "azure", "wasbs"), "write it as az://container/key"),
}


class Row(NamedTuple):
    """One row of a manifest."""

    origin: str  # `catalogue.csv:12`: the file and the line where the row starts
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """How manifests are to be read: columns asked for by name, in any case; `note` is told which are taken."""

    image: str | None = None
    id: str | None = None
    strict: bool = False  # a row that makes no sense stops everything
    note: Callable[[str], None] = ignore


@dataclass(frozen=True, slots=True)
class Columns:
    """A manifest's names of the columns that this program knows."""

    image: str
    ids: tuple[str, ...]  # a row's id is in the first of them that isn't empty
    output: str | None
    others: tuple[str, ...]  # copied to the results unchanged
    left: tuple[str, ...]  # further columns with pictures, which are left alone

    def told(self, name: str, how: str = "") -> str:
        """Which columns are taken, in a line for people."""
        ids = f"ids from {self.ids[0]!r}" if self.ids else "no column has ids"
        left = f"; left alone: {', '.join(map(repr, self.left))}" if self.left else ""
        return f"{name}: {how}pictures from {self.image!r}, {ids}{left}"


class RowError(ManifestError):
    """One row makes no sense; the others may."""

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(f"{origin}: {problem}")
        self.origin, self.problem = origin, problem


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, _ASIDE.sub("", name).casefold()))


def _rank(name: str) -> int | None:
    """How surely a column of this name holds the picture, 0 most surely; None where it doesn't."""
    plain = _plain(name)
    if plain == "image":
        return 0
    if plain in _PLAINEST:
        return 5 + _PLAINEST.index(plain)
    if (match := _PICTURE.fullmatch(plain)) is None:
        return None
    if match["other"] or int(match["number"] or 1) > 1:
        return 4
    return 3 if match["name"] else 1 if match["main"] else 2


@functools.lru_cache(maxsize=64)
def columns_of(names: tuple[str, ...], choice: Choice = Choice()) -> Columns | None:
    """The columns among `names`, or None where none names the picture."""
    exact = {name.strip().casefold(): name for name in reversed(names)}  # the first of equal ones counts
    plain = {_plain(name): name for name in reversed(names)}
    ranks = {name: rank for name in names if (rank := _rank(name)) is not None}
    surest = min(ranks, key=lambda name: (ranks[name], "url" not in name.casefold()), default=None)
    image = exact.get(choice.image.strip().casefold()) if choice.image else surest
    if image is None:
        return None
    ids = ("variantsku", *_IDS) if _plain(image).startswith("variant") else _IDS
    known_ids = (plain[each] for each in ids if plain.get(each, image) != image)
    wanted = [exact.get(choice.id.strip().casefold())] if choice.id else known_ids
    own = tuple(name for name in wanted if name is not None)
    known = (image, plain.get("id"), exact.get("output"))
    left = tuple(name for name in ranks if name != image and ranks[name] < 5)
    return Columns(image, own, known[2], tuple(name for name in names if name and name not in known), left)


def find_columns(names: tuple[str, ...], origin: str, choice: Choice) -> Columns:
    """The columns among `names`; raises ManifestError where none names the picture, or is the id that is asked for."""
    columns = columns_of(names, choice)
    if columns is not None and (columns.ids or choice.id is None):
        return columns
    found, missing = ", ".join(filter(None, names))[:300] or "none", choice.image if columns is None else choice.id
    if missing is None:
        raise ManifestError(f"{origin}: no column names the picture (found: {found}); name it with --image-column.")
    near = difflib.get_close_matches(missing, names, 1, 0.5)
    hint = f"; did you mean {near[0]!r}?" if near else f" (found: {found})."
    raise ManifestError(f"{origin}: there is no column {missing!r}{hint}")


def row_items(cells: Mapping[str, Any], origin: str, base: Path | str, choice: Choice) -> list[Item]:
    """The Items of a row, none where it has no picture; paths are relative to `base`, a folder or the manifest's URL.

    Raises RowError.
    """
    columns = columns_of(tuple(cells), choice)
    values = list(_values(cells[columns.image], columns.image, origin, base)) if columns is not None else []
    if columns is None or not values:
        return []
    # An object under `reference` is no id, and no fault either.
    plain = (str, int, float, bool)
    own = (name for name in columns.ids if choice.id or name.lower() == "id" or type(cells[name]) in plain)
    given = next((text for name in own if (text := _text(cells, name, origin)) and text.strip()), None)
    output = _text(cells, columns.output, origin)
    output = output and _checked_output(output, origin)
    meta = {name: cells[name] for name in columns.others}
    items = [value_item(value, origin, base) for value in values]
    if len(items) > 1:
        items = [replace(item, suffix=f"-{nth}") for nth, item in enumerate(items, 1)]
    if meta or output:
        items = [replace(item, meta=meta, output=output) for item in items]
    if given is None:
        return items
    return [replace(item, id=given.strip(), own_id=True, was=(item.id, given)) for item in items]


def _values(cell: object, column: str, origin: str, base: Path | str) -> Iterator[str]:
    """The paths and URLs in a cell: text, or a list of texts or of objects such as `{"src": …}`."""
    if isinstance(cell, str):
        if "\0" in cell:
            raise RowError(origin, f"the cell {column!r} holds a NUL character.")
        yield from split(cell, lambda path: isinstance(base, Path) and os.path.isfile(find(path, base)[1]))  # noqa: PTH113  # no error where it is too long
    elif isinstance(cell, list):
        for each in cell:
            yield from _values(each, column, origin, base)
    elif isinstance(cell, Mapping) and (columns := columns_of(tuple(cell))) is not None:
        yield from _values(cell[columns.image], column, origin, base)
    elif cell is not None:
        raise RowError(origin, f"the cell {column!r} must hold a path or URL, it is of type {type(cell).__name__}.")


def as_item(row: Item | UrlRow) -> Item:
    """The row itself if it is an Item, else its Item."""
    if isinstance(row, Item):
        return row
    item = value_item(row.source, f"{row.manifest}:{row.line}", Path())
    return replace(item, id=row.id, meta=row.meta, url=row.url, own_id=True, was=(item.id,))


def _text(cells: Mapping[str, Any], column: str | None, origin: str) -> str | None:
    """An optional cell; None where it is missing or empty."""
    cell = None if column is None else cells[column]
    if type(cell) is str:
        return cell or None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(int(cell) if cell == cell // 1 else cell)
    if cell is not None:
        raise RowError(origin, f"the cell {column!r} must hold text, it is of type {type(cell).__name__}.")
    return None


def value_item(value: str, origin: str, base: Path | str) -> Item:
    """The Item for a path (relative to `base`) or URL; for an unsupported URL an Item with a problem."""
    if _PLAIN_URL.fullmatch(value):
        return Item(value, value, origin)
    text, near = bare(value), isinstance(base, Path)
    problem = None if near and text[:5].lower() == "file:" else url_problem(text)
    if problem is None and not is_url(text):
        if isinstance(base, Path):
            name, path = find(value, base)
            if not is_url(text := as_url(text)) or os.path.lexists(path):
                return path_item(name, path, origin)
        elif not is_url(text := _beside(base, as_url(text.replace("\\", "/")))):
            problem = "A list from the web may name pictures on the web only."
        else:
            problem = url_problem(text)
    source = printable(text)
    if text[:5].lower() == "data:":  # short enough for a ledger
        source = f"{printable(text[:30])}…sha256:{sha256_hex(text)[:16]}"
    return Item(source, source, origin, problem=problem)


def _beside(url: str, path: str) -> str:
    """The URL that a path means in the list at another."""
    if not is_object(url) or is_url(path):
        return urljoin(url, path)
    bucket, key = divided(url)
    return bucket + posixpath.normpath(posixpath.join("/", posixpath.dirname(key), path))


def path_item(name: str, path: Path, origin: str) -> Item:
    """The Item for a file, even if its `name`, its path as the user knows it, looks like a URL."""
    return Item(printable(name.replace(os.sep, "/")), printable(path), origin, path=path)


def url_problem(text: str) -> str | None:
    """What is wrong with a URL, and what to do; None for a valid one and for a path."""
    match = _SCHEME.match(text)
    if match is None:
        return None
    scheme = (match[1] or match[2]).lower()
    if not is_url(text):
        remedy = _REMEDIES.get(scheme, "download the picture first, or give an https URL (a pre-signed one will do)")
        return f"{scheme}: is no scheme this program reads; {remedy}."
    if is_object(text):
        return object_problem(text)
    try:
        parts = urlsplit(text)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    return None if valid else "The URL has no valid host or port; write it as https://host/path."


def _checked_output(output: str, origin: str) -> str:
    parts = re.split(r"[/\\]", output)
    if "\0" in output or ".." in parts or not all(parts) or re.match(r"[A-Za-z]:", output):
        raise RowError(
            origin,
            f"the output {output!r} must be a relative path inside OUT, "
            "without `..`, a drive letter, a leading or a doubled slash.",
        )
    return output
