"""Names: any string stays inside OUT, no two items meet, and a resume gives each the name that it had."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import SourceError
from batch_removebg.model import Item
from batch_removebg.storage.naming import RESERVED, safe_name
from tests.fuzz.mutate import PATIENCE, fuzz, text_of
from tests.support.long_report import LONG
from tests.support.oracle import namer

pytestmark = [pytest.mark.crash, pytest.mark.timeout(PATIENCE)]

PIECES = [
    "..",
    ".",
    "/",
    "\\",
    "C:",
    "CON",
    "nul.txt",
    "com1 .x",
    "lpt¹",
    ".batch-removebg",
    "LEDGER.jsonl",
    "results.json",
]
PIECES += [
    " ",
    ". ",
    "\0",
    "\n",
    "é",
    "e\u0301",
    "ﬁ",
    "ß",
    "SS",
    "İ",
    "i\u0307",
    "ς",
    "Σ",
    "鞋",
    "👟",
    "x" * 300,
    "鞋" * 90,
]
PIECES += [
    "\ud83d",
    ".png",
    ".jpg",
    "a",
    "A",
    "a.jpg",
    "a.png",
    "a/b",
    "http://h/",
    "https://[x",
    "%2e%2e%2f",
    "?",
    "\u202e",
]
TEMPLATES = ["{id}", "{stem}", "same", "{parent}/{name}", "{id}/x"]

Case = tuple[str, list[tuple[str, str | None]]]
"""A template, and (id, output asked for) of each item."""


def caseless(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def cases(rng: random.Random) -> Case:
    ids = list(dict.fromkeys(text_of(rng, PIECES) for _ in range(rng.choice((1, 2, 2, 4)))))
    outputs = [text_of(rng, PIECES) if rng.random() < 0.3 else None for _ in ids]
    return rng.choice(TEMPLATES), list(zip(ids, outputs, strict=True))


def stays_inside(name: str) -> None:
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        assert not path.is_absolute()
        assert not path.drive
        assert ".." not in path.parts
    parts = name.split("/")
    assert not {"", "."} & set(parts)
    assert not set(name) & set('\0<>:"|?*\\\n')
    assert all(len(part.encode()) <= 255 for part in parts)
    assert caseless(parts[0]) not in RESERVED
    Path(name).is_file()  # no system call refuses it outright


def holds(case: Case) -> None:
    template, named = case
    items = [Item(each, each, "test", output=output) for each, output in named]
    claims, given = namer("png", template), {}
    for item in items:
        stays_inside(safe_name(item.id))
        try:
            given[item.id] = claims.claim(item)
        except SourceError:  # no free name is left: said, not taken from another
            continue
    names = [caseless(name) for name in given.values()]
    assert len(set(names)) == len(names)
    for name in given.values():
        stays_inside(name)
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    assert not folders & set(names)
    # A resume knows what is on record, and may read the manifest in another order.
    again = namer("png", template, given.items())
    assert {item.id: again.claim(item) for item in reversed(items) if item.id in given} == given


@settings(max_examples=2_000 if LONG else 150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(TEMPLATES),
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(PIECES) | st.text(max_size=4), min_size=1, max_size=6).map("".join), st.none()
        ),
        max_size=8,
        unique_by=lambda named: named[0],
    ),
)
@example("{id}", [("a.jpg", None), ("a.png", None), ("A.jpg", None), ("a.png/b", None)])
def test_any_ids_give_names_of_their_own_inside_out(template: str, named: list[tuple[str, str | None]]) -> None:
    holds((template, named))


def test_hostile_names_stay_inside_and_apart() -> None:
    fuzz("names", 14, cases, holds, short=1500, share=0.2)
