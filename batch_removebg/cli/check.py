"""`batch-removebg check`: whether pictures are what shops ask for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
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
from batch_removebg.manifest.folder import Folders, walk
from batch_removebg.manifest.inputs import InputKind, resolve
from batch_removebg.resources import cores

from .console import Console, result, table

FAILED = 3  # exit code


def command(paths: Sequence[str], names: Iterable[str], console: Console, *, as_json: bool) -> int:
    """Judge pictures by presets and print what was found; returns the exit code."""
    asked = [known(name) for name in dict.fromkeys(names)]
    files = list(_files(paths, console))
    if not files:
        raise SettingsError(f"no picture in {', '.join(paths)}")
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


def _files(paths: Sequence[str], console: Console) -> Iterator[Path]:
    folders = Folders()
    for found in resolve(paths, folders, console.warning):
        if found.kind in (InputKind.URL, InputKind.STDIN):
            raise SettingsError(f"{found.value}: only files and folders can be checked; download it first")
        if found.kind is not InputKind.FOLDER:
            yield Path(found.value)
            continue
        for path, error in walk(Path(found.value), Folders(only=found.pattern)):
            if error is None:
                yield Path(found.value, path)
            else:
                console.warning(f"{found.value}/{path} can't be read: {error.strerror}; left out")


def _judged(asked: Sequence[Preset], path: Path) -> list[dict[str, Any]]:
    """What became of a file by each preset, as JSON has it."""
    told: list[dict[str, Any]] = [
        {"file": str(path), "preset": each.preset, "not_checked": each.not_checked} for each in asked
    ]
    try:
        wanted = frozenset[str]().union(*(preset.asked for preset in asked))
        facts = measure_file(path.read_bytes(), wanted, Limits(), name=path)
    except (ItemError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return [each | {"verdict": "fail", "error": reason, "checks": []} for each in told]
    for each, preset in zip(told, asked, strict=True):
        checks = judge(facts, preset)
        short = any(one.status == "fail" or (one.level, one.status) == ("required", "skipped") for one in checks)
        each["verdict"] = "fail" if failed(checks) else "partial" if short else "pass"
        each["checks"] = list(map(asdict, checks))
    return told


def _told(found: dict[str, Any]) -> str:
    """What became of a file, for people: what is amiss first."""
    head = f"{found['file']}: {found['preset']}: {found['verdict']}"
    if "error" in found:
        return f"{head}: {found['error']}"
    met = sum(each["status"] == "pass" for each in found["checks"])
    order = [("required", "fail"), ("recommended", "fail"), ("required", "skipped"), ("recommended", "skipped")]
    shown = [each for kind in order for each in found["checks"] if (each["level"], each["status"]) == kind]
    lines = table((f"  {each['level']}", each["status"], each["rule"], _words(**each)) for each in shown)
    return "\n".join(filter(None, [f"{head} ({met} of {len(found['checks'])} rules met)", lines]))


def _words(measured: str, expected: str, fix: str, **_: Any) -> str:
    return f"{measured}; asked for is {expected}: {fix}" if fix else measured
