"""What differs between two runs, by their ledgers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from batch_removebg.errors import SettingsError
from batch_removebg.ledger.history import KINDS, Difference, Recorded, as_of, differences, runs, touched
from batch_removebg.ledger.state import ItemState
from batch_removebg.run.summary import EXAMPLES
from batch_removebg.storage.layout import LEDGER

from .console import printable, result

_ID = 8  # characters of an id at least: fewer are a number


def show(args: argparse.Namespace) -> None:
    """Print what differs; raises SettingsError where there is no such OUT or run."""
    path = Path(args.dir) / LEDGER
    if not path.is_file():
        raise SettingsError(f"{args.dir} holds no {LEDGER}; give the --out of a run")
    recorded = [*reversed(runs(path)), Recorded(None, "before the first run", 0)]
    to = _number(args.later, recorded, "--to", 1)
    start = _number(args.earlier, recorded, "--from", to + 1)
    earlier, later = recorded[start - 1], recorded[to - 1]
    only = touched(path, min(earlier.lines, later.lines))
    with closing(as_of(path, earlier.lines, only)) as before, closing(as_of(path, later.lines, only)) as after:
        found = differences(before, after)
        if not args.json:
            names = (f"{run.started}{f' ({run.id})' if run.id else ''}" for run in (earlier, later))
            result(f"{' → '.join(names)}\n{_text(found)}")
            return
        for one in found:
            result(json.dumps({"item": one.item, "what": one.kind, "was": _plain(one.was), "now": _plain(one.now)}))


def _number(text: str | None, recorded: list[Recorded], flag: str, default: int) -> int:
    """A run's number from the end; one more than there are runs: before the first."""
    ids = enumerate((one.id or "" for one in recorded), 1)
    named = [n for n, key in ids if text and len(text) >= _ID and key.startswith(text)]
    number = named[0] if len(named) == 1 else default if text is None else int(text) if text.isdecimal() else 0
    if 1 <= number <= len(recorded):
        return number
    how = "give a run's number from the end, such as 1 for the last one, or its id"
    raise SettingsError(f"{flag} {number if text is None else text}: {len(recorded) - 1} runs are on record; {how}")


def _text(found: Iterable[Difference]) -> str:
    counts, examples = dict.fromkeys(KINDS, 0), {kind: list[str]() for kind in KINDS}
    for one in found:
        counts[one.kind] += 1
        if counts[one.kind] <= EXAMPLES:
            had, has = ({*each.flags} if each else set() for each in (one.was, one.now))
            flags = [*(f"+{flag}" for flag in sorted(has - had)), *(f"-{flag}" for flag in sorted(had - has))]
            flags = ["failed"] if one.now is not None and one.now.outcome == "failed" else flags
            names = [one.item, *(flags if one.kind in ("worse", "better") else ())]
            examples[one.kind].append(printable(" ".join(names)))
    lines = (
        f"{kind}: {count} ({', '.join(examples[kind])}{', …' if count > EXAMPLES else ''})"
        for kind, count in counts.items()
        if count
    )
    return "\n".join(lines) or "nothing differs"


def _plain(state: ItemState | None) -> dict[str, Any] | None:
    if state is None or state.nameless:
        return None
    status = "gone" if state.gone else state.outcome
    return {"status": status, "output": state.output, "sha256": state.sha256, "flags": state.flags}
