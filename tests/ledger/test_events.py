"""The ledger's lines: the same bytes as ever for every event, and read whatever somebody has done to them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from batch_removebg.errors import LedgerError
from batch_removebg.ledger import events
from batch_removebg.ledger.decisions import Decided, Edited
from batch_removebg.ledger.events import (
    EVENTS,
    Claimed,
    Cleared,
    EngineLoaded,
    Entry,
    Failed,
    Gone,
    Ignored,
    Rejected,
    Released,
    Renamed,
    RunFinished,
    RunStarted,
    Saved,
    Submitted,
    Submitting,
    Unchanged,
    decode,
    encode,
    lenient,
)
from tests.support.oracle import line

STAMP = "2026-01-31T02:00:00.123Z"
HEAD = f'{{"v":1,"t":"{STAMP}","event":'
OLDER = sorted(Path(__file__).parent.parent.glob("integration/outs/*/out/ledger.jsonl"))

SHORTEST = {"item": "a", "source": "in/a.jpg", "recipe": "r"}
PICTURE = {"output": "a.png", "sha256": "5e", "bytes": 10, "width": 4, "height": 3}
FORMS: list[tuple[Entry, str]] = [
    (
        RunStarted("local", "u2netp@30", {"rate": 6.0}),
        '"run_started","provider":"local","version":"u2netp@30","settings":{"rate":6.0}}',
    ),
    (EngineLoaded("openvino CPU bf16"), '"engine_loaded","engine":"openvino CPU bf16"}'),
    (
        Submitting("a", 1, "https://x/a.jpg", "a.png", "f"),
        '"submitting","item":"a","attempt":1,"key":"https://x/a.jpg","output":"a.png","fingerprint":"f"}',
    ),
    (
        Submitting("a", 2, "k", "a.png", "", possible_duplicate=True, until="2026-02-01T00:00:00.000Z"),
        (
            '"submitting","item":"a","attempt":2,"key":"k","output":"a.png","fingerprint":"",'
            '"possible_duplicate":true,"until":"2026-02-01T00:00:00.000Z"}'
        ),
    ),
    (Submitted("a", "p1"), '"submitted","item":"a","prediction_id":"p1"}'),
    (Submitted("a", None, found=True), '"submitted","item":"a","prediction_id":null,"found":true}'),
    (Cleared("a"), '"cleared","item":"a"}'),
    (Rejected("a", "rate-limit"), '"rejected","item":"a","kind":"rate-limit"}'),
    (Claimed("a", "sub/a.png"), '"claimed","item":"a","output":"sub/a.png"}'),
    (Claimed("a", "x/a.png", ("y/a.jpg",)), '"claimed","item":"a","output":"x/a.png","others":["y/a.jpg"]}'),
    (
        Saved(**SHORTEST, **PICTURE, prediction_id=None, attempts=0, seconds=0.25, reused=True),
        (
            '"saved","item":"a","source":"in/a.jpg","recipe":"r","output":"a.png","sha256":"5e","bytes":10,"width":4,'
            '"height":3,"prediction_id":null,"attempts":0,"seconds":0.25,"reused":true}'
        ),
    ),
    (
        Saved(
            **SHORTEST,
            **PICTURE,
            source_sha256="50",
            signature="10:1:1",
            meta={"sku": "7", "n": [1, {}]},
            prediction_id="p1",
            attempts=1,
            seconds=2.0,
            reused=False,
            fingerprint="f",
            notes=("profile left out",),
            engine="onnxruntime CPU float32",
            quality={"coverage": 0.3, "peak": None, "touches": ["top"]},
            flags=("empty", "cut-off"),
        ),
        (
            '"saved","item":"a","source":"in/a.jpg","recipe":"r","source_sha256":"50","signature":"10:1:1",'
            '"meta":{"sku":"7","n":[1,{}]},"output":"a.png","sha256":"5e","bytes":10,"width":4,"height":3,'
            '"prediction_id":"p1","attempts":1,"seconds":2.0,"reused":false,"fingerprint":"f",'
            '"notes":["profile left out"],"engine":"onnxruntime CPU float32",'
            '"quality":{"coverage":0.3,"peak":null,"touches":["top"]},"flags":["empty","cut-off"]}'
        ),
    ),
    (
        Failed(**SHORTEST, kind="source", message="is empty", retryable=False, attempts=0),
        (
            '"failed","item":"a","source":"in/a.jpg","recipe":"r","kind":"source","message":"is empty",'
            '"retryable":false,"attempts":0}'
        ),
    ),
    (
        Failed(
            **SHORTEST, signature="1:2:3", meta={"sku": "7"}, kind="server", message="é", retryable=True, attempts=3
        ),
        (
            '"failed","item":"a","source":"in/a.jpg","recipe":"r","signature":"1:2:3","meta":{"sku":"7"},'
            '"kind":"server","message":"é","retryable":true,"attempts":3}'
        ),
    ),
    (Unchanged("a", None, "in/a.jpg"), '"unchanged","item":"a","signature":null,"source":"in/a.jpg"}'),
    (
        Unchanged("a", "1:2:3", "in/a.jpg", {"sku": "8"}),
        '"unchanged","item":"a","signature":"1:2:3","source":"in/a.jpg","meta":{"sku":"8"}}',
    ),
    (Renamed("sku-1", "https://x/a.jpg"), '"renamed","item":"sku-1","was":"https://x/a.jpg"}'),
    (Released("a"), '"released","item":"a"}'),
    (Gone("a"), '"gone","item":"a"}'),
    (
        RunFinished(1, 2, 3, 4, 5, 6.5),
        '"run_finished","saved":1,"failed":2,"pending":3,"predictions":4,"possible_duplicates":5,"seconds":6.5}',
    ),
]


def read(data: bytes) -> Entry | None:
    return decode(data, 1)


# Writing


@pytest.mark.parametrize(("entry", "form"), FORMS, ids=[type(entry).__name__ for entry, _ in FORMS])
def test_each_event_is_one_line_of_json_in_the_form_it_always_had(entry: Entry, form: str) -> None:
    written = encode(entry, STAMP)
    assert written == f"{HEAD}{form}\n".encode()
    assert read(written) == replace(entry, t=STAMP)


def test_the_forms_above_are_of_every_event() -> None:
    assert {type(entry) for entry, _ in FORMS} == set(EVENTS.values())


@pytest.mark.parametrize("path", OLDER, ids=[path.parent.parent.name for path in OLDER])
def test_lines_of_older_versions_come_back_byte_for_byte(path: Path) -> None:
    for written in path.read_bytes().splitlines(keepends=True):
        entry = read(written)
        assert entry is not None
        assert encode(replace(entry, t=""), entry.t) == written


@pytest.mark.parametrize("text", ["鞋👟.jpg", "a\u2028b\u0085c", "caf\udce9.jpg", '"\\', "\x00\x7f", "a\nb"])
def test_any_text_survives_the_line(text: str) -> None:
    written = encode(Rejected(text, text), STAMP)
    assert written.count(b"\n") == 1
    assert written.startswith(HEAD.encode())
    assert json.loads(written) == {"v": 1, "t": STAMP, "event": "rejected", "item": text, "kind": text}
    assert read(written) == Rejected(text, text, t=STAMP)


# Reading what somebody has edited, or a newer version has written

DEEP = json.loads("[" * 99 + "]" * 99)
VALUES: st.SearchStrategy[Any] = (
    st.sampled_from([None, True, False, 0, -1, 7, 1 << 70, 1.5, -0.0, 1e12, math.inf, math.nan])
    | st.sampled_from(["", "x", "\ud800", [], ["a", 1, "b"]])
    | st.sampled_from([{}, {"sku": "7"}, {"n": math.inf}, {"n": [{"m": math.nan}]}, {"n": DEEP}])
)
NAMES = sorted({name for event in EVENTS.values() for name in event.__struct_fields__} - {"v"})


@given(
    st.sampled_from([*EVENTS, "run_paused", "", 7, None]),
    st.dictionaries(st.sampled_from([*NAMES, "mood"]), VALUES, max_size=6),
    st.booleans(),
)
@example("unchanged", {"item": "a", "source": None}, True)
@example("saved", {"item": "a", "reused": 1, "seconds": 2}, True)
def test_a_line_is_read_as_field_by_field_however_fast(event: Any, fields: dict[str, Any], item: bool) -> None:
    known = {"v": 1, "t": STAMP, "event": event, **({"item": "a"} if item else {}), **fields}
    data = (json.dumps(known, separators=(",", ":")) + "\n").encode()
    assert repr(read(data)) == repr(lenient(json.loads(data)))


@pytest.mark.parametrize(
    "entry",
    [
        {"event": "run_paused", "item": "a"},
        {"event": "saved"},
        {"event": "saved", "item": 7},
        {"event": ["saved"], "item": "a"},
        {"item": "a"},
        {},
    ],
)
def test_unknown_events_and_lines_without_an_item_are_ignored(entry: dict[str, Any]) -> None:
    data = json.dumps({"v": 1, "t": STAMP, **entry}, separators=(",", ":")).encode()
    assert read(data) == lenient(entry) == Ignored()


def test_unknown_fields_are_ignored() -> None:
    assert read(line("claimed", item="a", output="a.png", mood="good")) == read(
        line("claimed", item="a", output="a.png")
    )


def test_the_last_of_equal_keys_counts() -> None:
    twice = HEAD.encode() + b'"claimed","item":"a","output":7,"output":"a.png","event":"submitted","prediction_id":"p"}'
    assert read(twice) == Submitted("a", "p", t=STAMP)


@pytest.mark.parametrize("start", ['{"v":1,', '{"t":"x","v":1,', '{ "v": 1, '])
def test_the_order_and_spacing_of_a_line_do_not_matter(start: str) -> None:
    assert read(f'{start}"item":"a","event":"claimed","output":"a.png"}}\r\n'.encode()) in (
        Claimed("a", "a.png"),
        Claimed("a", "a.png", t="x"),
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"\0\0",
        b"\xff",
        b'{"v":true}',
        b'{"v":"1"}',
        b'{"v":1.0,"t":"x","event":"saved","item":"a"}',
        b'{"v":1,"t":"x","v":null,"event":"claimed","item":"a","output":"o"}',
        b'{"v":1,"t":"x","event":"claimed","item":"a","output":"o"',
        b'{"v":1,"t":"x","event":"claimed","item":"a","output":"o"}}',
        b'{"v":1,"t":"x","event":"claimed","item":"a\xff","output":"o"}',
        b'{"v":1,"t":"x","event":"claimed","item":"a","output":"o","mood":"\xff"}',
        b'{"v":1,"t":"x","event":"claimed","item":"a","output":"o","mood":01}',
        b'{"v":1,"t":"x","event":"claimed","item":"a","output":"o","mood":' + b"9" * 5000 + b"}",
        b'{"v":1,"t":"x","event":"saved","item":"a","meta":' + b"[" * 99_999 + b"}",
    ],
)
def test_what_is_no_entry_is_damaged(data: bytes) -> None:
    assert read(data) is None


@pytest.mark.parametrize("data", [b'{"v":2}', b'{"v":1,"t":"x","v":2,"event":"claimed","item":"a","output":"o"}'])
def test_a_larger_version_is_refused_and_the_line_named(data: bytes) -> None:
    with pytest.raises(LedgerError, match=r"line 7: written in format 2, and .* knows up to 1; upgrade"):
        decode(data, 7)


def test_the_table_in_the_readme_is_what_the_records_declare() -> None:
    text = (Path(events.__file__).parent / "README.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1:4:2] for line in text.splitlines() if line.startswith("| `")]
    table = {name.strip(" `"): re.findall(r"`(\w+\??)`", fields) for name, fields in cells}
    declared = {
        name: [f"{each.name}{'' if each.required else '?'}" for each in msgspec.structs.fields(event)]
        for name, event in {**EVENTS, "decided": Decided, "edited": Edited}.items()
    }
    assert table == {name: [each for each in found if each not in {"v?", "t?"}] for name, found in declared.items()}
