"""`batch-removebg check`: whether pictures are what shops ask for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from batch_removebg.errors import ItemError, SettingsError
from batch_removebg.finish.compliance import failed, judge
from batch_removebg.finish.facts import measure_file
from batch_removebg.finish.presets import Preset, known
from batch_removebg.imaging.format import Limits
from batch_removebg.manifest.columns import as_item
from batch_removebg.manifest.reader import Reading, read_rows
from batch_removebg.manifest.rows import parser_for
from batch_removebg.model import Item, UrlRow
from batch_removebg.resources import cores

from .console import Console, result, table

FAILED = 3  # exit code
_ORDER = [("required", "fail"), ("recommended", "fail"), ("required", "skipped"), ("recommended", "skipped")]


def command(paths: Sequence[str], names: Iterable[str], console: Console, *, as_json: bool) -> int:
    """Judge pictures by presets and print what was found; returns the exit code."""
    asked = [known(name) for name in dict.fromkeys(names)]
    for path in paths:
        if path == "-" or (parser_for(Path(path)) and not Path(path).is_dir()):
            what = "it names sources, and not the pictures made of them; give the folder of those"
            raise SettingsError(f"{path} is no picture, folder or glob: {what}")
    files = list(map(_file, read_rows(paths, Reading(warn=console.warning))))
    with ThreadPoolExecutor(cores()) as pool:
        found = [each for some in pool.map(partial(_judged, asked), files) for each in some]
    if as_json:
        result(json.dumps({"results": found}, ensure_ascii=False, indent=1))
    else:
        unchecked = (f"not checked, {each.preset}: {'; '.join(each.not_checked)}" for each in asked if each.not_checked)
        result("\n".join([*map(_told, found), *unchecked]))
    bad = sum(each["verdict"] == "fail" for each in found)
    console.info(f"{len(files)} picture(s), {len(found)} check(s): {bad} fail what is required")
    return FAILED if bad else 0


def _file(row: Item | UrlRow) -> Path:
    item = as_item(row)
    if item.path is None:
        raise SettingsError(f"{item.source}: {item.problem or 'only files can be checked; download it first'}")
    return item.path


def _judged(asked: Sequence[Preset], path: Path) -> list[dict[str, Any]]:
    """What became of a file by each preset, as JSON has it."""
    error, facts = "", None
    try:
        facts = measure_file(path.read_bytes(), Limits(), name=path)
    except (ItemError, OSError) as refused:
        error = getattr(refused, "strerror", None) or str(refused)
    told = []
    for preset in asked:
        checks = judge(facts, preset) if facts else ()
        short = any(one.status == "fail" or (one.level, one.status) == ("required", "skipped") for one in checks)
        verdict = "fail" if error or failed(checks) else "partial" if short else "pass"
        head = {"file": str(path), "preset": preset.preset, "not_checked": preset.not_checked, "verdict": verdict}
        told.append(head | ({"error": error} if error else {}) | {"checks": list(map(asdict, checks))})
    return told


def _told(found: dict[str, Any]) -> str:
    """What became of a file, for people: what is amiss first."""
    head, checks = f"{found['file']}: {found['preset']}: {found['verdict']}", found["checks"]
    if "error" in found:
        return f"{head}: {found['error']}"
    met = sum(each["status"] == "pass" for each in checks)
    shown = [each for kind in _ORDER for each in checks if (each["level"], each["status"]) == kind]
    lines = table((f"  {each['level']}", each["status"], each["rule"], _words(**each)) for each in shown)
    return "\n".join(filter(None, [f"{head} ({met} of {len(checks)} rules met)", lines]))


def _words(measured: str, expected: str, fix: str, **_: Any) -> str:
    return f"{measured}; asked for is {expected}: {fix}" if fix else measured
