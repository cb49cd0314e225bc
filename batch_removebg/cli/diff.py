"""What differs between two runs, by their ledgers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from batch_removebg.errors import SettingsError
from batch_removebg.ledger.history import KINDS, Difference, Recorded, differences, runs
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.journal import as_of, look
from batch_removebg.ledger.state import ItemState
from batch_removebg.run.summary import EXAMPLES
from batch_removebg.storage.layout import INDEX, LEDGER

from .console import printable, result


def show(args: argparse.Namespace) -> None:
    """Print what differs; raises SettingsError where there is no such OUT or run."""
    left, right = Path(args.dir), Path(args.other or args.dir)
    recorded = {out: _recorded(out) for out in (left, right)}
    to = _number(args.later, recorded[right], f"--to {args.later}: {right}", 1)
    start = _number(args.earlier, recorded[left], f"--from {args.earlier}: {left}", 1 if args.other else to + 1)
    (earlier, before), (later, after) = (_opened(out, recorded[out], n) for out, n in ((left, start), (right, to)))
    with closing(before), closing(after):
        found = differences(before, after)
        if not args.json:
            result(f"{earlier} → {later}\n{_text(found)}")
            return
        for one in found:
            result(json.dumps({"item": one.item, "what": one.kind, "was": _plain(one.was), "now": _plain(one.now)}))


def _recorded(out: Path) -> list[Recorded]:
    """The runs of OUT, the last one first; behind them what was before the first."""
    if not (out / LEDGER).is_file():
        raise SettingsError(f"{out} holds no {LEDGER}; give the --out of a run")
    return [*reversed(runs(out / LEDGER)), Recorded(None, "before the first run", 0)]


def _number(text: str | None, recorded: list[Recorded], where: str, default: int) -> int:
    """A run's number from the end; one more than there are runs: before the first."""
    named = [n for n, one in enumerate(recorded, 1) if text and one.id and one.id.startswith(text)]
    number = named[0] if len(named) == 1 else default if text is None else int(text) if text.isdecimal() else 0
    if 1 <= number <= len(recorded):
        return number
    how = "give a run's number from the end, such as 1 for the last one, or its id"
    raise SettingsError(f"{where} has {len(recorded) - 1} runs on record; {how}")


def _opened(out: Path, recorded: list[Recorded], number: int) -> tuple[str, IndexedFold]:
    """A run's name, and the fold after it."""
    run, path = recorded[number - 1], out / LEDGER
    fold = look(path, out / INDEX) if number == 1 else as_of(path, run.lines)
    return f"{out}, {run.started}{f' ({run.id})' if run.id else ''}", fold


def _text(found: Iterable[Difference]) -> str:
    counts, examples = dict.fromkeys(KINDS, 0), {kind: list[str]() for kind in KINDS}
    for one in found:
        counts[one.kind] += 1
        if counts[one.kind] <= EXAMPLES:
            had, has = ({*each.flags} if each else set() for each in (one.was, one.now))
            flags = [f"+{flag}" for flag in sorted(has - had)] + [f"-{flag}" for flag in sorted(had - has)]
            examples[one.kind].append(printable(" ".join([one.item, *flags])))
    return "\n".join(_lines(counts, examples)) or "nothing differs"


def _lines(counts: Mapping[str, int], examples: Mapping[str, list[str]]) -> Iterable[str]:
    for kind, count in counts.items():
        if count:
            yield f"{kind}: {count} ({', '.join(examples[kind])}{', …' if count > EXAMPLES else ''})"


def _plain(state: ItemState | None) -> dict[str, Any] | None:
    if state is None or state.nameless:
        return None
    status = "gone" if state.gone else state.outcome
    return {"status": status, "output": state.output, "sha256": state.sha256, "flags": state.flags}
