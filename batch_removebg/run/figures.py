"""A run for machines: its summary as a document, and its figures for node_exporter's textfile collector."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

from batch_removebg.errors import SettingsError
from batch_removebg.storage.atomic import write_atomic

from .settings import Settings
from .summary import Summary

_SUCCESS, _BEAT = "last_success_timestamp_seconds", "heartbeat_timestamp_seconds"
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
    _BEAT: "when a run last ended, or a watch last looked and had nothing to do",
    "items_total": "items that runs have saved, or that have failed in them, since this file was begun",
    "predictions_total": "bought since this file was begun",
    "cost_dollars_total": "spent by --price since this file was begun",
}
"""What each says: those of `_total` are counters, the others gauges."""
_PREFIX = "batchremovebg_"
Figure = tuple[str, dict[str, str], float]  # name, labels, value


def check(settings: Settings) -> None:
    """Raise SettingsError where what is told of a run would replace a file of another kind, or can't be written."""
    for flag, name, ours in (
        ("--summary", settings.summary, _is_summary),
        ("--metrics", settings.metrics, lambda data: _PREFIX.encode() in data),
    ):
        if name is None or name == "-":
            continue
        path = Path(name).absolute()
        made = not path.parent.exists() and settings.out.absolute().is_relative_to(path.parent)  # by the run
        if path.is_dir() or not (made or os.access(path.parent, os.W_OK | os.X_OK)):
            problem = "it is a folder" if path.is_dir() else "its folder isn't there, or nothing can be written to it"
            raise SettingsError(f"{flag} {name}: {problem}; name a file in a folder of yours")
        with suppress(OSError):
            if (data := path.read_bytes()) and not ours(data):
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


def write_metrics(path: Path, summary: Summary, settings: Settings, *, now: float | None = None) -> None:
    """Write the figures, in the place of those of the same OUT and job; what else is in the file stays.

    The last success stays, too, unless this is one; totals grow. Raises DiskError, OSError where it can't be read.
    """
    _put(path, summary.out, summary.job, figures(summary, settings, now or time.time()), stays={_SUCCESS})


def beat(path: Path, settings: Settings, *, now: float | None = None) -> None:
    """Write that there was nothing to do, and what there is stays; raises as `write_metrics`."""
    _put(path, settings.out, settings.job, [(_BEAT, {}, now or time.time())], stays=_METRICS)


def _put(path: Path, out: Path, job: str | None, told: Iterable[Figure], *, stays: Container[str]) -> None:
    core, text = import_module("prometheus_client.core"), import_module("prometheus_client")
    mine = {"out": str(out.absolute())} | ({"job": job} if job else {})
    found = {(name, frozenset((mine | labels).items())): value for name, labels, value in told}
    for name, labels, value in _before(path):
        key = (name, frozenset(labels.items()))
        theirs = {label: labels.get(label) for label in ("out", "job")} != {"job": None, **mine}
        if name.endswith("_total"):
            found[key] = value + found.get(key, 0.0)
        elif theirs or name in stays:
            found.setdefault(key, value)
    kinds = {True: core.CounterMetricFamily, False: core.GaugeMetricFamily}
    families = {name: kinds[name.endswith("_total")](_PREFIX + name, about) for name, about in _METRICS.items()}
    for (name, labelled), value in found.items():
        if name in families:
            families[name].add_sample(_PREFIX + name, dict(labelled), value)
    told = [family for family in families.values() if family.samples]
    write_atomic(path, text.generate_latest(SimpleNamespace(collect=lambda: told)))


def figures(summary: Summary, settings: Settings, now: float) -> Iterator[Figure]:
    """What is told of a run; of one that was refused before it knew its items, nothing about those."""
    if summary.exit_code == 0:
        yield _SUCCESS, {}, now
    yield "last_completion_timestamp_seconds", {}, now
    yield _BEAT, {}, now
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
    yield "items_total", {"status": "saved"}, summary.saved - summary.skipped
    yield "items_total", {"status": "failed"}, summary.tried
    yield "possible_duplicates", {}, summary.possible_duplicates
    for end in ("", "_total"):
        yield f"predictions{end}", {}, summary.predictions
        if summary.cost is not None:
            yield f"cost_dollars{end}", {}, summary.cost
    for group in summary.flags:
        yield "flagged_items", {"flag": group.kind}, group.count


def _before(path: Path) -> list[Figure]:
    """What the file holds; nothing where that isn't the format."""
    parse = import_module("prometheus_client.parser").text_string_to_metric_families
    with suppress(FileNotFoundError, ValueError):
        families = list(parse(path.read_text(encoding="utf-8")))
        return [(one.name.removeprefix(_PREFIX), one.labels, one.value) for each in families for one in each.samples]
    return []
