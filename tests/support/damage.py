"""A ledger of items in all states, and ways to lose it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import LedgerDamaged
from batch_removebg.ledger.journal import Ledger, look, open_indexed
from batch_removebg.ledger.results import write_snapshot
from batch_removebg.storage.layout import INDEX, LEDGER, RESULTS, STATE
from tests.support.oracle import line

ASIDE = "cut-20270115T080000000Z"


def purchase(name: str, number: int = 1, **saved: Any) -> list[dict[str, Any]]:
    """What is recorded of an item from its create to its picture; every time is its own."""
    picture = {"output": f"{name}.png", "sha256": f"{name}{number}", "bytes": 9, "width": 4, "height": 3}
    bought = {"prediction_id": f"p{name}{number}", "attempts": number, "recipe": "r", "source": f"in/{name}"}
    return [
        {"event": "submitting", "item": name, "key": f"k{name}{number}", "output": f"{name}.png", "fingerprint": "f"},
        {"event": "submitted", "item": name, "prediction_id": f"p{name}{number}"},
        {"event": "saved", "item": name, **picture, **bought, "source_sha256": "5e", "meta": {"sku": "ä"}, **saved},
    ]


STEPS = [
    {"event": "run_started", "provider": "replicate", "version": "v1", "settings": {}},
    *purchase("a"),
    *purchase("b"),
    {"event": "failed", "item": "c", "source": "in/c", "recipe": "r", "kind": "source", "message": "is empty"},
    *purchase("d")[:2],
    *purchase("e")[:1],
    {"event": "claimed", "item": "f", "output": "f.png"},
    *purchase("b", 2, output="b.webp", sha256="b2"),
]
LINES = [line(at=1_800_000_000 + nth, **step) for nth, step in enumerate(STEPS)]
WHOLE = b"".join(LINES)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An OUT with a ledger of items in all states, and its index."""
    (tmp_path / STATE).mkdir()
    (tmp_path / LEDGER).write_bytes(WHOLE)
    open_indexed(tmp_path / LEDGER, tmp_path / INDEX).close()
    return tmp_path


async def with_results(out: Path) -> Path:
    async with Ledger(out / LEDGER, index=out / INDEX) as ledger:
        await write_snapshot(out / RESULTS, ledger)
    return out


def tree(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def refused(out: Path) -> str:
    with pytest.raises(LedgerDamaged) as error:
        look(out / LEDGER, out / INDEX)
    return str(error.value)


LOSSES: dict[str, Callable[[Path], object]] = {
    "gone": lambda ledger: ledger.unlink(),
    "empty": lambda ledger: ledger.write_bytes(b""),
    "pointer": lambda ledger: ledger.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 5303\n"),
    "halved": lambda ledger: ledger.write_bytes(WHOLE[: len(WHOLE) // 2]),
    "zeros": lambda ledger: ledger.write_bytes(bytes(len(WHOLE))),
    "an older one": lambda ledger: ledger.write_bytes(b"".join(LINES[:5])),
    "of another OUT": lambda ledger: ledger.write_bytes(line("claimed", item="x", output="x.png") * 99),
    **{f"line {nth} damaged": lambda ledger, nth=nth: _spoilt(ledger, nth) for nth in range(1, len(LINES))},
    **{f"line {nth} deleted": lambda ledger, nth=nth: _deleted(ledger, nth) for nth in range(1, len(LINES))},
}


def _spoilt(ledger: Path, nth: int) -> None:
    ledger.write_bytes(b"".join([*LINES[:nth], LINES[nth][:30] + b"\xff\n", *LINES[nth + 1 :]]))


def _deleted(ledger: Path, nth: int) -> None:
    ledger.write_bytes(b"".join(LINES[:nth] + LINES[nth + 1 :]))
