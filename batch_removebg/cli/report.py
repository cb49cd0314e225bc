"""The closing report, and the dry run's: what happened, what it cost, what to do next. Pure text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batch_removebg.errors import AbortError, Interrupted, UsageError, WindowClosed
from batch_removebg.manifest.folder import left_out_text
from batch_removebg.run.budget import per_minute
from batch_removebg.run.dry_run import ENDINGS
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Group, Summary
from batch_removebg.storage import layout

from .console import printable


def closing(summary: Summary, settings: Settings) -> str:
    """The lines under a finished run."""
    hint = (
        "" if settings.prune or settings.shard or not summary.left else " (--prune moves aside what there is of them)"
    )
    lines = [
        f"{_counts(summary)} in {duration(summary.seconds)}",
        _cost(summary, settings),
        *failures(summary.failures),
        flags(summary.flags),
        held(summary.held),
        printable(left_out_text(summary.left_out)),
        f"gone from the manifest: {summary.gone}{hint}" if summary.gone else "",
        f"moved aside: {summary.pruned}, to {summary.out / layout.PRUNED}/" if summary.pruned else "",
        f"pictures  {settings.bucket or summary.out}/",
        f"ledger    {summary.ledger}",
        f"results   {summary.results}",
    ]
    if summary.stopped is not None:
        lines.append(f"{'' if isinstance(summary.stopped, Interrupted) else 'stopped: '}{summary.stopped}")
        lines += getattr(summary.stopped, "__notes__", [])
    if summary.limited:
        lines.append(f"limited: --limit {settings.limit} is reached; run the same command again for the next ones")
    elif summary.unread:
        lines.append("the manifest was not read to its end: there may be more items than these")
    return "\n".join(filter(None, [*lines, _next(summary)]))


def outcome(summary: Summary) -> str:
    """One line about a run that ended badly, for `--quiet`."""
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
        text = f"predictions: {summary.predictions} by the local engine{used}, nothing billed"
    else:
        price = f", {summary.cost:.4g} USD" if summary.cost is not None else ""
        text = f"predictions: {summary.predictions} bought from {settings.base}{price}"
    if summary.reused:
        text += f"; {summary.reused} made without one, from the results of earlier ones"
    if summary.escalated:
        text += f"; {summary.escalated} doubtful one{'s' * (summary.escalated > 1)} made again by a better network"
    if summary.possible_duplicates:
        text += f"; {summary.possible_duplicates} sent again after an answer was lost, and possibly billed twice"
    return text


def failures(groups: Sequence[Group]) -> list[str]:
    """The lines about what failed."""
    lines = []
    for group in groups:
        lines.append(f"failed, {group.kind}: {group.count}")
        lines += [f"    {printable(item)}: {printable(message)}" for item, message in group.examples]
        if group.count > len(group.examples):
            lines.append(f"    … and {group.count - len(group.examples)} more in results.json")
    return lines


def flags(groups: Sequence[Group]) -> str:
    """The line about what is worth a look; empty where nothing is."""
    parts = []
    for group in groups:
        more = ", …" if group.count > len(group.examples) else ""
        parts.append(f"{group.count} {group.kind} ({', '.join(printable(item) for item, _ in group.examples)}{more})")
    return f"worth a look: {', '.join(parts)}" if parts else ""


def held(count: int) -> str:
    """The line about pictures that wait to be accepted; empty where there are none."""
    return f"held until accepted: {count}, in {layout.HELD}/" if count else ""


def _next(summary: Summary) -> str:
    if isinstance(summary.stopped, UsageError):
        return ""
    if isinstance(summary.stopped, AbortError | Interrupted | WindowClosed) or summary.pending:
        return "to go on where this stopped, run the same command again"
    return "to try the failed ones again, run the same command with --retry-failed" if summary.failed else ""


def preview(found: Mapping[str, int], settings: Settings) -> str:
    """The text of `--dry-run`."""
    lines = [f"{found['total']} items, and nothing is done about them (--dry-run)"]
    lines += [f"{found[name]:>9} {what}" for name, what in ENDINGS.items() if found[name]]
    bought, billed = found["bought"], not settings.local
    where = f"bought from {settings.base}" if billed else "made by the local engine, nothing billed"
    price = f", {bought * settings.price:.4g} USD" if billed and settings.price is not None else ""
    pace = per_minute(settings, settings.own_shard)
    time = f", in {duration(60 * bought / pace)} at --rate {settings.rate:g}" if pace else ""
    lines.append(f"predictions: {bought} would be {where}{price}{time}")
    return "\n".join(lines)


def repaired(found: Mapping[str, int], *, dry_run: bool) -> str:
    """The text of `repair`."""
    if not found:
        return "nothing is wrong with the ledger"
    lines = "\n".join(f"{count:>9} lines from {source}" for source, count in found.items())
    what = "the ledger" if found.keys() - {layout.DECISIONS} else layout.DECISIONS
    return f"{lines}\n{what} {'would be' if dry_run else 'is'} made of these; what it was is kept as `*.cut-*`"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"
