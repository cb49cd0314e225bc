"""What a cell or a line names: URLs and paths, as people and their programs write them."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from batch_removebg.net.ssrf import is_near

_NOTHING = frozenset({"", "-", "[]", "no_selection", "null", "none", "nan", "n/a", "#n/a"})  # “no picture”, in exports
_BLANK = "\ufeff\u200b\u200e\u200f"  # unseen, and no white space to Python
_QUOTES = frozenset({'""', "''", "“”", "„“", "«»"})
_BETWEEN_URLS = re.compile(r"[\s,;|]+(?=(?:(?:https?|s3|gs|az):)?//)", re.IGNORECASE)
_BETWEEN_PATHS = re.compile(r"[,;|\n]")
_URL = re.compile(r"(?:(?:https?|s3|gs|az):)?//", re.IGNORECASE)
_ATTACHED = re.compile(r"\((https?://[^\s()]+)\)")  # `name.jpg (URL)`, as Airtable writes it
_SCHEMELESS = re.compile(
    r"(?://|(?=www\.))(?:[^\s/\\?#]*@)?(localhost|\[[\da-f:]+\]|[^\s/:\\]+\.[^\s/:\\]+)(?::\d+)?/", re.IGNORECASE
)


def bare(text: str) -> str:
    """The text without blanks and one pair of quotes around it."""
    text = text.strip().strip(_BLANK).strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] + text[-1] in _QUOTES else text


def split(cell: str, exists: Callable[[str], bool]) -> list[str]:
    """The pictures that a cell names, each once; several paths only where each of them `exists`."""
    text = bare(cell)
    if text.casefold() in _NOTHING:
        return []
    if text[:2] in ('["', "['"):
        try:
            found = [one for one in json.loads(text.replace("'", '"')) if isinstance(one, str)]
        except (ValueError, RecursionError):
            found = []
    elif _URL.match(text):
        found = _BETWEEN_URLS.split(text)
        found = [one.rstrip(" ,;|") for one in found] if len(found) > 1 else found
    elif not (found := _ATTACHED.findall(text)) and _BETWEEN_PATHS.search(text) and not exists(cell):
        paths = [one.strip() for one in _BETWEEN_PATHS.split(text) if one.strip()]
        found = paths if all(map(exists, paths)) else []
    return list(dict.fromkeys(found)) or [cell]


def as_url(text: str) -> str:
    """`//host/…` and `www.host/…` with the scheme that they lack, which is http near by; other texts as they are."""
    if (match := _SCHEMELESS.match(text)) is None:
        return text
    return f"{'http' if is_near(match[1].strip('[]')) else 'https'}://{text.removeprefix('//')}"


def find(value: str, base: Path) -> tuple[str, Path]:
    """The path that is meant, and the file: as written, else put in order, in the other Unicode form, or decoded."""
    if os.path.lexists(base / value):
        return value, base / value
    plain = bare(value)
    if plain[:5].lower() == "file:":
        plain = url2pathname(urlsplit(plain).path)
    plain = plain.replace("\\", "/")
    forms = (unicodedata.normalize(form, text) for text in (plain, unquote(plain)) for form in ("NFC", "NFD"))
    return plain, next((base / form for form in (plain, *forms) if os.path.lexists(base / form)), base / plain)
