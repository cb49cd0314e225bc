"""Columns of a manifest; one row → one Item."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from batch_removebg.errors import ManifestError
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Item, UrlRow
from batch_removebg.storage.naming import is_url

from .text import printable

IMAGE_COLUMNS = ("image", "source", "url", "path", "file")  # names of the picture's column, in order of preference

_PLAIN_URL = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9_.~/%=&?+,-]*", re.ASCII)
"""A usual URL, which needs no check and is its own source and id."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://|(file|data|ftps?|sftp|s3|gs|https?):", re.IGNORECASE)
_REMEDIES = {
    "file": "write the plain path instead",
    "data": "save the picture to a file and name that",
    "http": "write it as http://host/path",
    "https": "write it as https://host/path",
}


class Row(NamedTuple):
    """One row of a manifest."""

    origin: str  # `catalogue.csv:12`: the file and the line where the row starts
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """A manifest's names of the columns that this program knows."""

    image: str
    id: str | None
    output: str | None
    others: tuple[str, ...]  # copied to the results unchanged


@functools.lru_cache(maxsize=64)
def _columns(names: tuple[str, ...]) -> Columns | None:
    by_name = {name.strip().lower(): name for name in reversed(names)}  # the first of equal ones counts
    image = next((by_name[column] for column in IMAGE_COLUMNS if column in by_name), None)
    if image is None:
        return None
    known = (image, by_name.get("id"), by_name.get("output"))
    return Columns(*known, tuple(name for name in names if name not in known))


def find_columns(names: tuple[str, ...], origin: str) -> Columns:
    """The columns among `names`, in any case; raises ManifestError where none names the picture."""
    columns = _columns(names)
    if columns is None:
        found = ", ".join(names)[:300] or "none"
        accepted = ", ".join(IMAGE_COLUMNS)
        raise ManifestError(f"{origin}: no column names the picture (found: {found}); accepted: {accepted}.")
    return columns


def row_item(cells: Mapping[str, Any], origin: str, base: Path) -> Item:
    """The Item of a row whose paths are relative to `base`; raises ManifestError, which names the row."""
    columns = find_columns(tuple(cells), origin)
    value = cells[columns.image]
    if not isinstance(value, str) or not value.strip():
        raise ManifestError(f"{origin}: the cell {columns.image!r} must hold a path or URL, it {_shown(value)}.")
    if "\0" in value:
        raise ManifestError(f"{origin}: the cell {columns.image!r} holds a NUL character.")
    item_id, output = _text(cells, columns.id, origin), _text(cells, columns.output, origin)
    output = output and _checked_output(output, origin)
    meta = {name: cells[name] for name in columns.others}
    return _row_item(item_id, value, output, meta, origin, base)


def _row_item(
    item_id: str | None, value: str, output: str | None, meta: Mapping[str, Any], origin: str, base: Path
) -> Item:
    own, was = item_id is not None, () if item_id is None else (value,)
    if _PLAIN_URL.fullmatch(value):
        return Item(item_id or value, value, origin, None, None, output, meta, own_id=own, was=was)
    item = value_item(value, origin, base)
    was = () if item_id is None else (item.id,)
    return dataclasses.replace(item, id=item_id or item.id, output=output, meta=meta, own_id=own, was=was)


def as_item(row: Item | UrlRow) -> Item:
    """The row itself if it is an Item, else its Item."""
    if isinstance(row, Item):
        return row
    item = _row_item(row.id, row.source, None, row.meta, f"{row.manifest}:{row.line}", Path())
    return item if row.url is None else dataclasses.replace(item, url=row.url)


def _text(cells: Mapping[str, Any], column: str | None, origin: str) -> str | None:
    """An optional cell; None where it is missing or empty."""
    cell = None if column is None else cells[column]
    if type(cell) is str:
        return cell or None
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if cell is not None:
        raise ManifestError(f"{origin}: the cell {column!r} must hold text, it {_shown(cell)}.")
    return None


def value_item(value: str, origin: str, base: Path) -> Item:
    """The Item for a path (relative to `base`) or URL; for an unsupported URL an Item with a problem."""
    text = value.strip()
    problem = url_problem(text)
    if problem is None and not is_url(text):
        return path_item(value, origin, base)
    source = printable(text)
    if text[:5].lower() == "data:":  # short enough for a ledger
        source = f"{printable(text[:30])}…sha256:{sha256_hex(text)[:16]}"
    return Item(source, source, origin, problem=problem)


def path_item(value: str, origin: str, base: Path = Path()) -> Item:
    """The Item for a path, even if it looks like a URL."""
    path = base / value
    return Item(printable(value.replace(os.sep, "/")), printable(path), origin, path=path)


def url_problem(text: str) -> str | None:
    """What is wrong with a URL, and what to do; None for a valid one and for a path."""
    match = _SCHEME.match(text)
    if match is None:
        return None
    scheme = (match[1] or match[2]).lower()
    if not is_url(text):
        remedy = _REMEDIES.get(scheme, "download the picture first, or give an https URL (a pre-signed one will do)")
        return f"{scheme}: is no scheme this program reads; {remedy}."
    try:
        parts = urlsplit(text)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    return None if valid else "The URL has no valid host or port; write it as https://host/path."


def _checked_output(output: str, origin: str) -> str:
    parts = re.split(r"[/\\]", output)
    if "\0" in output or ".." in parts or not all(parts) or re.match(r"[A-Za-z]:", output):
        raise ManifestError(
            f"{origin}: the output {output!r} must be a relative path inside OUT, "
            "without `..`, a drive letter, a leading or a doubled slash."
        )
    return output


def _shown(value: object) -> str:
    return "is empty" if value is None or isinstance(value, str) else f"is of type {type(value).__name__}"
