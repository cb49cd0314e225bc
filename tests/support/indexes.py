"""What the tests of the index share: any entries, a ledger with its index, and whether they agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from batch_removebg.ledger.journal import look, open_indexed
from batch_removebg.storage.layout import LEDGER
from tests.support.oracle import Oracle, line, replay, same

IDS = ["shoe", "hat", "bag", "caf\udce9", "a\nb", ""]
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "output": st.sampled_from(["a.png", "A.png", "sub/b.png", "sub", None, 7]),
    "fingerprint": st.sampled_from(["f1", "f2", None]),
    "prediction_id": st.sampled_from(["p1", "p2", "\ud800", None]),
    "source": st.sampled_from(["in/a.jpg", "https://x/a.jpg", "\udce9"]),
    "source_sha256": st.sampled_from(["5e", None]),
    "recipe": st.sampled_from(["r1", None]),
    "bytes": st.sampled_from([10, 1 << 70, None]),
    "seconds": st.sampled_from([1.5, 2, -0.0, None]),
    "meta": st.sampled_from([{"sku": "7"}, {"n": [1, 2.5, None], "é": {"x": 1}}, {}]),
    "notes": st.sampled_from([["profile left out"], [1]]),
    "quality": st.sampled_from([{"coverage": 0.3, "peak": None, "touches": ["top"]}, {}, 7, None]),
    "flags": st.sampled_from([["empty"], ["faint", "cut-off"], [], [1], "empty", None]),
    "reused": st.booleans(),
    "held": st.booleans(),
    "retryable": st.booleans(),
    "possible_duplicate": st.booleans(),
    "kind": st.sampled_from(["source", "output"]),
    "key": st.sampled_from(["k1", "k2"]),
    "was": st.sampled_from(IDS),
    "t": st.sampled_from(["2026-01-31T02:00:00.123Z"]),
    "signature": st.sampled_from(["1:2:3", None]),
    "provider": st.sampled_from(["local", "replicate"]),
    "engine": st.sampled_from(["openvino CPU bf16", "onnxruntime CPU float32", 5]),
}
EVENTS = [
    "run_started",
    "engine_loaded",
    "submitting",
    "submitted",
    "rejected",
    "claimed",
    "saved",
    "failed",
    "unchanged",
    "renamed",
    "released",
    "gone",
]
ENTRIES = st.builds(
    lambda event, item, fields: {**fields, "event": event, "item": item},
    st.sampled_from([*EVENTS, "saved", "submitting", "run_finished"]),
    st.sampled_from(IDS),
    st.fixed_dictionaries({}, optional=FIELDS),
)


# A ledger and its index, after all kinds of accidents


def bought(name: str) -> bytes:
    saved = {"item": name, "source": f"in/{name}", "output": f"{name}.png", "bytes": 9, "recipe": "r"}
    return (
        line("submitting", item=name, key="k", output=f"{name}.png", fingerprint=f"f{name}")
        + line("submitted", item=name, prediction_id=f"p{name}")
        + line("saved", **saved, prediction_id=f"p{name}", attempts=1)
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / LEDGER).write_bytes(line("run_started", provider="p", version="v") + b"".join(map(bought, "abc")))
    return tmp_path


def index(out: Path) -> Path:
    return out / "index.sqlite"


def agrees(out: Path) -> Oracle:
    """What a replay gives; the index agrees with it, for a run and for whoever looks."""
    known, sound = replay(out / LEDGER)
    for opened in (look, open_indexed, look):
        before = tree(out)
        fold = opened(out / LEDGER, index(out))
        assert opened is not look or tree(out) == before
        same(fold, known)
        assert fold.checkpoint.end == sound
        fold.close()
    return known


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    # SQLite's shared memory is no file to keep: whoever looks may leave a mark in it.
    found = (path for path in folder.iterdir() if not path.name.endswith("-shm"))
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}
