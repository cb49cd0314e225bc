"""The ledger reader: any bytes give a fold or a LedgerError, and no good line before the damage is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import LedgerError
from batch_removebg.ledger import results
from batch_removebg.ledger.decisions import Decisions
from batch_removebg.ledger.events import lenient
from batch_removebg.ledger.state import names_of
from tests.fuzz.mutate import PATIENCE, bytes_of, fuzz
from tests.support.long_report import LONG
from tests.support.oracle import Oracle, line, namer, replay

pytestmark = [pytest.mark.crash, pytest.mark.timeout(PATIENCE)]

SAVED = {"source": "a.jpg", "output": "a.png", "sha256": "ab" * 32, "bytes": 9, "width": 3, "height": 2}


LINES = [
    line("run_started", provider="replicate", version="v1", settings={"rate": 6.0}),
    line("submitting", item="a", attempt=1, key="https://f/1", output="a.png", fingerprint="f"),
    line("submitting", item="a", attempt=2, key="sha256:0", output="a.png", fingerprint="f", possible_duplicate=True),
    line("submitted", item="a", prediction_id="p1"),
    line("rejected", item="a", kind="rate-limit"),
    line("claimed", item="b", output="sub/b.png"),
    line("saved", item="a", prediction_id="p1", attempts=1, seconds=0.5, reused=False, meta={"n": [1]}, **SAVED),
    line("failed", item="b", source="b.jpg", kind="source", message="is empty", retryable=False, attempts=0),
    line("unchanged", item="a", signature="1:2:3"),
    line("run_finished", saved=1, failed=1, pending=0, predictions=1, possible_duplicates=0, seconds=1.0),
]
TOKENS = [b"\n", b"\0", b'"', b"{", b"}", b"[", b"null", b"true", b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 5000]
TOKENS += [
    b'"v":2',
    b'"v":1',
    b"\xff",
    b"\\ud83d",
    b"\r",
    b"\x1a",
    b"[" * 3000,
    b'"item":',
    b'"item":"\\u0000"',
    b"{}\n",
]

Case = tuple[list[bytes], bytes]
"""Whole lines, and what comes after them."""


def cases(rng: random.Random) -> Case:
    good = [rng.choice(LINES) for _ in range(rng.randrange(4))]
    return good, b"".join(bytes_of(rng, LINES, TOKENS) for _ in range(rng.choice((1, 1, 2, 3))))


def holds(path: Path, case: Case) -> None:
    good, rest = case
    sound_part = b"".join(good)
    path.write_bytes(sound_part + rest)
    try:
        fold, sound = replay(path)
    except LedgerError:
        # Whole good lines are never refused, nor a torn one: there is a damaged line, or one of a newer format.
        assert b"\n" in rest
        assert path.read_bytes() == sound_part + rest
        return
    assert len(sound_part) <= sound <= len(sound_part + rest)
    known = Oracle()
    for each in (sound_part + rest)[:sound].splitlines(keepends=True) if b"\r" not in rest else ():
        known.apply(lenient(json.loads(each)))
    assert b"\r" in rest or b"\x1a" in rest or repr(known) == repr(fold)
    usable(fold)


NOTHING = Decisions(Path("decisions.jsonl"))


class Read:
    """A run of which no item has been read yet."""

    def __init__(self, fold: Oracle) -> None:
        self.fold = fold

    def get(self, key: str) -> None:
        return None

    def unknown(self) -> tuple[()]:
        return ()

    def counts(self) -> dict[str, int]:
        return self.fold.counts(0)


def usable(fold: Oracle) -> None:
    """What a run does with a fold first: count, take names, and write it for people and scripts to read."""
    counts = fold.counts(0)
    assert counts["total"] + counts["gone"] == len(fold.items)
    namer("png", "{id}", [(item, name) for item, state in fold.each() for name in names_of(state)])
    text = "".join(results.render(Read(fold), NOTHING)).encode("utf-8", "backslashreplace")
    json.loads(text, parse_constant=_refused)


def _refused(word: str) -> None:
    raise AssertionError(f"results.json holds {word}, which is no JSON")


@settings(max_examples=2_000 if LONG else 300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(LINES), max_size=4), st.binary(max_size=80) | st.sampled_from(LINES + TOKENS))
@example([], b'{"v":1,"event":"saved","item":"a","meta":{"x":NaN}}\n')
@example([], b'{"v":1,"event":"saved","item":"a","meta":{"x":-Infinity}}\n')
@example([], b'{"v":1,"event":"saved","item":"a","meta":{"x":1e999}}\n')
@example([], b'{"v":1,"event":"saved","item":"a","meta":{"x":' + b"[" * 900 + b"]" * 900 + b"}}\n")
@example([], b'{"v":1,"event":"claimed","item":"\\ud800","output":"\\u0000/../x"}\n')
def test_any_bytes_give_a_fold_or_a_ledger_error(tmp_path: Path, good: list[bytes], rest: bytes) -> None:
    holds(tmp_path / "ledger.jsonl", (good, rest))


def test_ledgers_after_accidents_lose_no_good_line(tmp_path: Path) -> None:
    fuzz("ledgers", 11, cases, lambda case: holds(tmp_path / "ledger.jsonl", case), short=1000, share=0.1)
