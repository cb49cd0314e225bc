"""The manifest reader: any bytes under any name give Items, or a ManifestError that says where."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import ManifestError
from tests.fuzz.mutate import PATIENCE, bytes_of, fuzz
from tests.support.items import read
from tests.support.long_report import LONG

pytestmark = [pytest.mark.crash, pytest.mark.timeout(PATIENCE)]

NAMES = ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.txt", "a.csv.gz", "a.jsonl.gz", "a.txt.gz"]
SEEDS = [
    b'image,id,output,title\na.jpg,1,x/a,Red\n"b,c.jpg",2,b,"two\nlines"\n',
    b"image;title\r\na.jpg;Rot\r\nb.jpg;Blau\r\n",
    b"url\tid\nhttps://h.example/a.jpg?s=1\t7\nhttp://[::1]:80/b.jpg\t8\n",
    b'{"image": "a.jpg", "id": 3, "n": [1, {"m": null}]}\n{"image": "https://h/b.jpg", "output": "b"}\n',
    b"# pictures\na.jpg\nsub/b.jpg\nhttps://h/c.jpg\n",
    b"\xef\xbb\xbfimage\nsch\xc3\xb6n.jpg\n",
    "image,id\nschön.jpg,1\n".encode("utf-16"),
]
TOKENS = [
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b'"',
    b"\0",
    b"..",
    b"/",
    b"\\",
    b"C:",
    b"file:",
    b"data:x",
    b"http://",
]
TOKENS += [
    b"https://h:99999/",
    b"http://[",
    b"{",
    b"}",
    b"[" * 500,
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b"\\ud83d",
    b"\xff\xfe",
]
TOKENS += [
    b"\xef\xbb\xbf",
    b"image",
    b"id",
    b"output",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b"x" * 300,
]

Case = tuple[str, bytes]


def cases(rng: random.Random) -> Case:
    name, data = rng.choice(NAMES), bytes_of(rng, SEEDS, TOKENS)
    if name.endswith(".gz"):
        data = gzip.compress(data, 1)
        if rng.random() < 0.5:
            data = bytes_of(rng, [data], TOKENS)
    return name, data


def holds(case: Case) -> None:
    name, data = case
    Path(name).write_bytes(data)
    try:
        items = list(read([name], out=None))
    except ManifestError as error:
        said = str(error)
        said.encode()
        assert re.match(rf"{re.escape(name)}:\d+: ", said) or said.startswith("There is nothing to do"), said
        return
    assert items
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert item.id
        assert re.fullmatch(rf"{re.escape(name)}:\d+", item.origin)
        shown = [item.id, item.source, item.origin, item.output, dict(item.meta)]
        json.dumps(shown, ensure_ascii=False, allow_nan=False).encode()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@settings(max_examples=2_000 if LONG else 300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(NAMES),
    st.binary(max_size=120) | st.tuples(st.sampled_from(SEEDS), st.binary(max_size=9)).map(b"".join),
)
@example("a.csv", b"image\n\x00")
@example("a.csv", b"")
@example("a.txt.gz", b"\x1f\x8b")
def test_any_bytes_give_items_or_a_manifest_error(name: str, data: bytes) -> None:
    holds((name, data))


def test_manifests_after_accidents_give_items_or_a_manifest_error() -> None:
    fuzz("manifests", 12, cases, holds, short=700, share=0.04)
