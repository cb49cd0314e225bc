"""The closing words: what happened, what it cost, and what to do next. Pure text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from batch_removebg.errors import AbortError, Interrupted, UsageError
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.run.dry_run import Preview
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Failures, Flagged, Summary, failures, flagged

from .console import printable


def closing(summary: Summary, settings: Settings, argv: Sequence[str]) -> str:
    """The lines under a finished run; `argv`: the words of its command line, for the one to try next."""
    lines = [f"{_counts(summary)} in {_duration(summary.seconds)}", _cost(summary, settings)]
    lines += _failures(summary.failures)
    lines += _flags(summary.flags)
    lines += [
        f"pictures  {summary.out}/",
        f"ledger    {summary.ledger}",
        f"results   {summary.results}",
    ]
    if summary.stopped is not None:
        lines.append(
            str(summary.stopped) if isinstance(summary.stopped, Interrupted) else f"stopped: {summary.stopped}"
        )
        lines += getattr(summary.stopped, "__notes__", [])
    if summary.limited:
        lines.append(f"--limit {settings.limit} is reached; run the same command again for the next ones")
    following = _next(summary, argv)
    return "\n".join([*lines, *([following] if following else [])])


def outcome(summary: Summary) -> str:
    """One line on a run that did not go well, for those who want to hear of nothing else."""
    why = f"; {str(summary.stopped).rstrip('.')}" if summary.stopped is not None else ""
    return f"{_counts(summary)}{why}; see {summary.results}"


def _counts(summary: Summary) -> str:
    parts = [f"{summary.saved} saved"]
    if summary.skipped:
        parts[0] += f" ({summary.skipped} of them by an earlier run)"
    parts.append(f"{summary.failed} failed")
    if summary.pending:
        parts.append(f"{summary.pending} pending")
    return ", ".join(parts)


def _cost(summary: Summary, settings: Settings) -> str:
    if settings.provider == "local":
        used = f" ({summary.engine})" if summary.engine is not None else ""
        text = f"predictions: {summary.predictions} by the engine on this machine{used}, nothing billed"
    else:
        price = f", {summary.predictions * settings.price:.4g} USD" if settings.price is not None else ""
        text = f"predictions: {summary.predictions} bought from {settings.base}{price}"
    if summary.reused:
        text += f"; {summary.reused} made without one, from what earlier ones gave"
    if summary.possible_duplicates:
        n = summary.possible_duplicates
        text += f"; {n} sent again after an answer was lost, and possibly billed twice"
    return text


def _failures(found: Sequence[Failures]) -> list[str]:
    lines = []
    for group in found:
        lines.append(f"failed, {group.kind}: {group.count}")
        lines += [f"    {printable(item)}: {printable(message)}" for item, message in group.examples]
        if group.count > len(group.examples):
            lines.append(f"    … and {group.count - len(group.examples)} more in results.json")
    return lines


def _flags(found: Sequence[Flagged]) -> list[str]:
    if not found:
        return []
    told = []
    for group in found:
        more = ", …" if group.count > len(group.examples) else ""
        told.append(f"{group.count} {group.flag} ({', '.join(map(printable, group.examples))}{more})")
    return [f"worth a look: {', '.join(told)}"]


def _next(summary: Summary, argv: Sequence[str]) -> str | None:
    again = ["batch-removebg", *argv]
    if isinstance(summary.stopped, UsageError):
        return None
    if isinstance(summary.stopped, AbortError | Interrupted) or summary.pending:
        return f"to go on where this stopped: {shlex.join(again)}"
    if summary.failed:
        # Right after `run`: at the end it could follow a `--`, and would be taken for an INPUT.
        again[2:2] = [] if "--retry-failed" in argv else ["--retry-failed"]
        return f"to try the failed ones again: {shlex.join(again)}"
    return None


def preview(found: Preview, settings: Settings) -> str:
    """What `--dry-run` says."""
    lines = [f"{found.total} items, and nothing is done about them (--dry-run)"]
    rows = [
        (found.done, "are saved and unchanged"),
        (found.left, "failed before and are left alone (--retry-failed tries them again)"),
        (found.kept, "would be made from what earlier predictions gave, without a new one"),
        (found.copies, "have the same content as one before them, and would be made from its prediction"),
        (found.taken_up, "have a prediction in flight that would be brought home"),
        (found.bad, "would fail: the source can't be read"),
        (found.bought, "would need a new prediction"),
        (found.beyond, "would have to wait for another run: the budget is reached"),
    ]
    lines += [f"{count:>9} {what}" for count, what in rows if count]
    where = f"bought from {settings.base}" if found.billed else "made on this machine, nothing billed"
    lines.append(f"predictions: {found.bought} would be {where}")
    return "\n".join(lines)


def status(fold: IndexedFold) -> dict[str, Any]:
    """What `status` knows: the ledger alone."""
    return {
        "provider": fold.provider,
        "version": fold.version,
        "engine": fold.engine,
        "counts": fold.counts(),
        "in_flight": fold.in_flight(),
        "predictions": fold.predictions,
        "possible_duplicates": fold.possible_duplicates,
        "failures": [{"kind": f.kind, "count": f.count} for f in failures(fold.failed())],
        "flags": [{"flag": f.flag, "count": f.count} for f in flagged(fold.flagged())],
        "finished": fold.finished,
    }


def status_text(fold: IndexedFold) -> str:
    """The same for people."""
    known = status(fold)
    counts = known["counts"]
    used = f" on {known['engine']}" if known["engine"] else ""
    lines = [
        f"{counts['total']} items: {counts['saved']} saved, {counts['failed']} failed, {counts['pending']} pending",
        f"predictions in flight: {known['in_flight']}",
        f"predictions: {known['predictions']} by {known['provider'] or 'no provider yet'} ({known['version']}){used}",
        *_failures(failures(fold.failed())),
        *_flags(flagged(fold.flagged())),
    ]
    if known["possible_duplicates"]:
        lines.append(f"possibly billed twice: {known['possible_duplicates']}")
    if not known["finished"]:
        lines.append("the last run has not finished: it is still going, or was cut off; run its command again to go on")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"
