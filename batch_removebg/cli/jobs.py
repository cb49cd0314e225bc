"""`batch-removebg jobs`: the runs that a file describes, one after the other, with one exit code."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from batch_removebg.clock import Clock
from batch_removebg.errors import SettingsError
from batch_removebg.run.figures import write_summary
from batch_removebg.run.night import Extras
from batch_removebg.run.notify.targets import BRIEF
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from batch_removebg.run.window import fixed

from . import config, report
from .console import Console, failure, result, table
from .parser import OUT

_GRAVEST = (1, 143, 130, 129, 2, 4, 11, 5, 3, 0)
"""Exit codes, the gravest first: the one of all jobs is the first that one of them has."""
_SIGNAL = 128  # and its number
Begin = Callable[[list[str], Settings, Extras], Summary | None]


def command(args: argparse.Namespace, console: Console, begin: Begin) -> int:
    """Run the jobs, all of which are checked before the first; the exit code. Raises SettingsError."""
    read = config.found(args)
    if os.environ.get(OUT):
        raise SettingsError(f"{OUT}: unset it: each [[job]] has an out of its own")
    ready, told, now = {}, dict[Path, list[Summary]](), Clock().wall()
    for name, job in config.jobs(read, args.names).items():
        try:
            settings, extras = config.settings(args, read, job[0]["out"].value, job, name)
            if settings.every is not None:
                raise SettingsError("--every is for a single run; let a timer begin the jobs again")
            if not settings.local:
                settings.key()
        except SettingsError as error:
            raise SettingsError(f"job {name}: {error}; no job has begun") from error
        settings = replace(settings, until=settings.until and fixed(settings.until, now))
        if extras.summary is not None:
            extras = replace(extras, summary=partial(_listed, Path(settings.summary or ""), told))
        ready[name] = partial(begin, list(job[0]["inputs"].value), settings, extras), extras.notifier
    ended: dict[str, tuple[int, str]] = {}
    for name, (once, notifier) in ready.items():
        if name != [*ready][-1]:
            notifier.pace = BRIEF  # the next one waits
        console.info(f"job {name}")
        if args.progress == "json":
            result(json.dumps({"event": "job", "job": name}))
        ended[name] = _ended(once, console)
        if ended[name][0] > _SIGNAL:
            break
    codes = {name: code for name, (code, _) in ended.items()}
    code = min(codes.values(), key=_GRAVEST.index)
    if args.progress == "json":
        result(json.dumps({"event": "jobs", "jobs": codes, "exit_code": code}))
    rows = [
        (name, f"exit code {ended[name][0]}", ended[name][1]) if name in ended else (name, "", "not begun")
        for name in ready
    ]
    console.info(table([*rows, ("all jobs", f"exit code {code}", "")]))
    return code


def _listed(path: Path, told: dict[Path, list[Summary]], summary: Summary) -> None:
    """Write the document of all jobs that have it in common."""
    told.setdefault(path, []).append(summary)
    write_summary(path, told[path])


def _ended(once: Callable[[], Summary | None], console: Console) -> tuple[int, str]:
    """The exit code of one, and a line about it."""
    try:
        summary = once()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the next one may do better
        return failure(error, console), (str(error) or type(error).__name__).partition("\n")[0]
    return (summary.exit_code, report.outcome(summary)) if summary else (0, "nothing is done (--dry-run)")
