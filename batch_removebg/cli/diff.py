"""What differs between two runs, by their ledgers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Set
from contextlib import closing
from pathlib import Path
from typing import Any

from batch_removebg.errors import SettingsError
from batch_removebg.ledger.history import KINDS, Difference, Recorded, as_of, differences, runs, touched
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.state import ItemState
from batch_removebg.run.summary import EXAMPLES
from batch_removebg.storage.layout import LEDGER

from .console import printable, result


def show(args: argparse.Namespace) -> None:
    """Print what differs; raises SettingsError where there is no such OUT or run."""
    left, right = Path(args.dir), Path(args.other or args.dir)
    recorded = {out: _recorded(out) for out in (left, right)}
    to = _number(args.later, recorded[right], f"--to {args.later}: {right}", 1)
    start = _number(args.earlier, recorded[left], f"--from {args.earlier}: {left}", 1 if args.other else to + 1)
    only = None if args.other else touched(left / LEDGER, min(recorded[left][n - 1].lines for n in (start, to)))
    (earlier, before), (later, after) = (
        _opened(out, recorded[out], n, only) for out, n in ((left, start), (right, to))
    )
    with closing(before), closing(after):
        found = differences(before, after, only)
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


def _opened(out: Path, recorded: list[Recorded], number: int, only: Set[int] | None) -> tuple[str, IndexedFold]:
    """A run's name, and the fold after it."""
    run = recorded[number - 1]
    return f"{out}, {run.started}{f' ({run.id})' if run.id else ''}", as_of(out / LEDGER, run.lines, only)


def _text(found: Iterable[Difference]) -> str:
    counts, examples = dict.fromkeys(KINDS, 0), {kind: list[str]() for kind in KINDS}
    for one in found:
        counts[one.kind] += 1
        if counts[one.kind] <= EXAMPLES:
            had, has = ({*each.flags} if each else set() for each in (one.was, one.now))
            flags = [*(f"+{flag}" for flag in sorted(has - had)), *(f"-{flag}" for flag in sorted(had - has))]
            names = [one.item, *(flags if one.kind in ("worse", "better") else ())]
            examples[one.kind].append(printable(" ".join(names)))
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
