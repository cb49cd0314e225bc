"""What is evidence of a lost ledger, and starting over, which keeps what there was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch_removebg.errors import LedgerDamaged
from batch_removebg.ledger.journal import Ledger, look
from batch_removebg.storage.layout import ALPHAS, INDEX, LEDGER, RESULTS
from tests.support.damage import ASIDE, LINES, LOSSES, WHOLE, out, refused, tree, with_results
from tests.support.doubles import FakeClock
from tests.support.oracle import entry

__all__ = ["out"]


# What else is evidence


@pytest.mark.parametrize("ledger", [None, b"", b'{"v":1,"t":"2027', b"version https://git-lfs.github.com/spec/v1"])
def test_masks_without_a_line_are_evidence(tmp_path: Path, ledger: bytes | None) -> None:
    (tmp_path / ALPHAS / "5e").mkdir(parents=True)
    if ledger is not None:
        (tmp_path / LEDGER).write_bytes(ledger)
    look(tmp_path / LEDGER, tmp_path / INDEX).close()
    (tmp_path / ALPHAS / "5e" / "5eed.png").write_bytes(b"png")
    assert "it has no lines, and .batch-removebg/alpha has masks" in refused(tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize("reformatted", [False, True])
@pytest.mark.parametrize("left", [None, 0, 4, len(LINES) - 1])
async def test_results_that_tell_of_more_than_the_lines_are_evidence(
    out: Path, left: int | None, reformatted: bool
) -> None:
    await with_results(out)
    (out / INDEX).unlink()
    look(out / LEDGER, out / INDEX).close()
    if reformatted:
        (out / RESULTS).write_text(json.dumps(json.loads((out / RESULTS).read_text()), indent=1))
    if left is None:
        (out / LEDGER).unlink()
    else:
        (out / LEDGER).write_bytes(b"".join(LINES[:left]))
    if left == len(LINES) - 1:  # the last line adds neither an item nor a prediction: that can't be seen
        look(out / LEDGER, out / INDEX).close()
    else:
        assert "results.json tells of 3 finished items and 4 predictions" in refused(out)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"counts": 7}', '{"counts": {"saved": []}}', "[" * 9999])
def test_a_results_json_that_says_nothing_is_no_evidence(out: Path, text: str) -> None:
    (out / RESULTS).write_text(text)
    look(out / LEDGER, out / INDEX).close()


# Starting over


@pytest.mark.anyio
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not loss.startswith("line ")] + ["line 1 damaged"])
async def test_starting_over_keeps_what_there_was_and_begins_a_new_ledger(out: Path, loss: str) -> None:
    await with_results(out)
    (out / ALPHAS / "5e").mkdir(parents=True)
    (out / ALPHAS / "5e" / "5eed.png").write_bytes(b"png")
    LOSSES[loss](out / LEDGER)
    before = tree(out)
    with pytest.raises(LedgerDamaged):
        await Ledger(out / LEDGER, index=out / INDEX, clock=FakeClock().clock).__aenter__()
    assert tree(out) == before
    async with Ledger(out / LEDGER, index=out / INDEX, clock=FakeClock().clock, start_over=True) as ledger:
        assert len(ledger.fold.items) == 0
        assert {path.relative_to(out).as_posix() for path in ledger.aside} == {
            f"{name}.{ASIDE}" for name in (LEDGER, INDEX, RESULTS) if name in before
        }
        await ledger.append(entry("run_started", provider="local"))
    after = tree(out)
    for name in (LEDGER, INDEX, RESULTS):
        assert after.get(f"{name}.{ASIDE}") == before.get(name)
    assert after[f"{ALPHAS}/5e/5eed.png"] == b"png"
    look(out / LEDGER, out / INDEX).close()  # and the new one is believed


@pytest.mark.anyio
async def test_starting_over_goes_on_with_a_ledger_that_is_well(out: Path) -> None:
    """The same command is run again after a crash, and must not begin anew each time."""
    async with Ledger(out / LEDGER, index=out / INDEX, start_over=True) as ledger:
        assert ledger.aside == ()
        assert len(ledger.fold.items) == 6
    assert (out / LEDGER).read_bytes() == WHOLE


def test_whoever_looks_ahead_at_starting_over_sees_an_empty_ledger(out: Path) -> None:
    (out / LEDGER).unlink()
    before = tree(out)
    fold = look(out / LEDGER, out / INDEX, start_over=True)
    assert fold.counts()["total"] == 0
    fold.close()
    assert tree(out) == before
