"""The status of a run: what its ledger says, and whether a process holds the lock of OUT."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from batch_removebg.errors import SettingsError
from batch_removebg.ledger.decisions import VERDICTS, Decisions
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.schema import FAILED, FLAGGED
from batch_removebg.ledger.journal import look
from batch_removebg.ledger.results import head
from batch_removebg.run.shards import require_place
from batch_removebg.run.summary import failures, flagged
from batch_removebg.storage.layout import INDEX, LEDGER, STATE
from batch_removebg.storage.lock import held

from . import report
from .console import printable, result

_TURN, _LOOKS = 2, 30  # seconds between two looks; without a terminal one look in so many is shown


def show(args: argparse.Namespace, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Print the status that is asked for, once or until the run has ended; raises SettingsError without a ledger."""
    path, live = Path(args.dir) / LEDGER, args.watch and sys.stdout.isatty()
    require_place(path.parent, None)
    for turn in count():
        locked = held(path.parent / STATE)
        with closing(look(path, path.parent / INDEX)) as fold:
            if not path.is_file():
                raise SettingsError(f"{args.dir} holds no {LEDGER}; give the --out of a run")
            # Looked at twice: a run that has begun or ended meanwhile was not killed.
            decisions = Decisions.read(path.parent)
            found = status(fold, decisions, locked=locked or held(path.parent / STATE))
            goes_on = args.watch and found["run"]["state"] == "running"
            if live or not goes_on or turn % _LOOKS == 0:
                result("\x1b[H\x1b[2J" * live + _shown(args, fold, found))
        if not goes_on:
            return
        sleep(_TURN)


def _shown(args: argparse.Namespace, fold: IndexedFold, found: Mapping[str, Any]) -> str:
    if args.flags is None and not args.names:
        return json.dumps(found) if args.json else text(fold, found)
    listed = fold.each(FAILED if args.flags is None else FLAGGED)
    items = [(key, state) for key, state in listed if not args.flags or args.flags in state.flags]
    if args.json:
        return json.dumps([{"id": key, "output": state.output, "flags": state.flags} for key, state in items])
    rows = ([key] if args.names else [key, state.output or "", *state.flags] for key, state in items)
    return "\n".join("\t".join(map(printable, row)) for row in rows)


def status(fold: IndexedFold, decisions: Decisions, *, locked: bool) -> dict[str, Any]:
    """The status as plain data; `locked`: a process holds the lock."""
    found, decided = head(fold, fold.counts(), held=locked), dict[str, Any]()
    if decisions.lines:
        counts = Counter(said.verdict for _, _, said in fold.decided(decisions))
        undecided = sum(decisions.of(key, state) is None for key, state in fold.each(FLAGGED))
        decided = {"decisions": {name: counts[name] for name in VERDICTS[:-1]} | {"flagged_undecided": undecided}}
    return {
        **{name: value for name, value in found.items() if name != "v"},
        "in_flight": fold.in_flight(),
        "failures": [{"kind": f.kind, "count": f.count} for f in failures(fold.each(FAILED))],
        "flags": [{"flag": f.kind, "count": f.count} for f in flagged(fold.each(FLAGGED))],
        "held": sum(state.held for _, state in fold.each(FLAGGED)),
        **decided,
        "finished": found["run"]["state"] == "finished",
    }


def _verdicts(counts: Mapping[str, int]) -> str:
    said = "{accepted} accepted, {rejected} rejected, {redo} to redo; {flagged_undecided} flagged are undecided"
    return f"decided: {said.format_map(counts)}"


def text(fold: IndexedFold, found: Mapping[str, Any]) -> str:
    """The same as text."""
    counts, run = found["counts"], found["run"]
    used = f" on {fold.engine}" if fold.engine else ""
    lines = [
        f"{counts['total']} items: {counts['saved']} saved, {counts['failed']} failed, {counts['pending']} pending",
        f"predictions in flight: {found['in_flight']}",
        f"predictions: {fold.predictions} by {fold.provider or 'no provider yet'} ({fold.version}){used}",
        *report.failures(failures(fold.each(FAILED))),
        report.flags(flagged(fold.each(FLAGGED))),
        report.held(found["held"]),
        _verdicts(found["decisions"]) if "decisions" in found else "",
        f"possibly billed twice: {fold.possible_duplicates}" if fold.possible_duplicates else "",
        f"gone from the manifest: {found['gone']}" if found["gone"] else "",
    ]
    if run["state"] == "running":
        rate = f", {run['rate']:g} a second" if run["rate"] else ""
        left = f", {report.duration(run['eta'])} left" if run["eta"] is not None else ""
        lines.append(f"running, as process {run['pid']}{rate}{left}")
    elif run["state"] not in (None, "finished"):
        why = f": {run['reason']}" if run["reason"] else ""
        more = "; there may be more items, which it has not read" if run["unread"] else ""
        lines.append(f"the last run was {run['state']}{why}{more}; run its command again to go on")
    return "\n".join(filter(None, lines))
