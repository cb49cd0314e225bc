"""A run for machines: its summary as a document, and its figures for node_exporter's textfile collector."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

from batch_removebg.errors import SettingsError
from batch_removebg.storage.atomic import write_atomic

from .settings import Settings
from .summary import Summary

_SUCCESS = "last_success_timestamp_seconds"
_METRICS = {
    _SUCCESS: "when a run last ended with exit code 0",
    "last_completion_timestamp_seconds": "when the last run ended, however that was",
    "run_duration_seconds": "how long the last run took",
    "exit_code": "of the last run",
    "items": "items of the last run's manifest by status",
    "predictions": "bought in the last run",
    "possible_duplicates": "creates that the last run sent again although an earlier one may have been accepted",
    "cost_dollars": "predictions of the last run by --price",
    "flagged_items": "saved items that are worth a look, by flag",
    "build_info": "what made the last run",
}
"""Gauges, and what each says."""
_PREFIX = "batchremovebg_"
Figure = tuple[str, dict[str, str], float]  # name, labels, value


def check(settings: Settings) -> None:
    """Raise SettingsError where a file of another kind would be replaced by what is told of a run."""
    for flag, name, ours in (
        ("--summary", settings.summary, _is_summary),
        ("--metrics", settings.metrics, lambda data: _PREFIX.encode() in data),
    ):
        with suppress(OSError):
            if name is not None and name != "-" and (data := Path(name).read_bytes()) and not ours(data):
                raise SettingsError(f"{flag} {name}: there is a file that this program hasn't written; name another")


def _is_summary(data: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        found = json.loads(data)
        ones = found if isinstance(found, list) else [found]
        return all(isinstance(one, dict) and {"v", "run_id", "exit_code"} <= one.keys() for one in ones)
    return False


def write_summary(path: Path, told: Summary | list[Summary]) -> None:
    """Write the document, of several runs a list of them; raises DiskError."""
    found = [one.as_json() for one in told] if isinstance(told, list) else told.as_json()
    write_atomic(path, f"{json.dumps(found)}\n".encode())


def write_metrics(path: Path, summary: Summary, settings: Settings, *, job: str = "", now: float | None = None) -> None:
    """Write the figures, in the place of those of the same OUT and job; what else is in the file stays.

    The last success stays, too, unless this is one. Raises DiskError, and OSError where the file can't be read.
    """
    core, text = import_module("prometheus_client.core"), import_module("prometheus_client")
    mine = {"out": str(summary.out.absolute())} | ({"job": job} if job else {})
    found = [(name, mine | labels, value) for name, labels, value in figures(summary, settings, now or time.time())]
    lasts = summary.exit_code != 0
    for name, labels, value in _before(path):
        ours = {label: labels.get(label) for label in ("out", "job")} == {"job": None, **mine}
        if name in _METRICS and (not ours or (lasts and name == _SUCCESS)):
            found.append((name, labels, value))
    families = {name: core.GaugeMetricFamily(_PREFIX + name, about) for name, about in _METRICS.items()}
    for name, labels, value in found:
        families[name].add_sample(_PREFIX + name, labels, value)
    told = [family for family in families.values() if family.samples]
    write_atomic(path, text.generate_latest(SimpleNamespace(collect=lambda: told)))


def figures(summary: Summary, settings: Settings, now: float) -> Iterator[Figure]:
    """What is told of a run; of one that was refused before it knew its items, nothing about those."""
    if summary.exit_code == 0:
        yield _SUCCESS, {}, now
    yield "last_completion_timestamp_seconds", {}, now
    yield "run_duration_seconds", {}, summary.seconds
    yield "exit_code", {}, summary.exit_code
    yield (
        "build_info",
        {"version": import_module("batch_removebg").__version__, "engine": summary.engine or settings.provider},
        1,
    )
    if summary.stopped is not None and not summary.total:
        return
    for status in ("saved", "failed", "pending"):
        yield "items", {"status": status}, getattr(summary, status)
    yield "predictions", {}, summary.predictions
    yield "possible_duplicates", {}, summary.possible_duplicates
    if settings.price is not None and not settings.local:
        yield "cost_dollars", {}, summary.predictions * settings.price
    for group in summary.flags:
        yield "flagged_items", {"flag": group.kind}, group.count


def _before(path: Path) -> list[Figure]:
    """What the file holds; nothing where that isn't the format."""
    parse = import_module("prometheus_client.parser").text_string_to_metric_families
    with suppress(FileNotFoundError, ValueError):
        families = list(parse(path.read_text(encoding="utf-8")))
        return [(one.name.removeprefix(_PREFIX), one.labels, one.value) for each in families for one in each.samples]
    return []
