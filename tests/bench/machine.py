"""The machine and the versions that figures were taken with: no names of hosts, no paths."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

BUSY = 0.5
"""Load average of the last minute above which the machine does something else as well."""


PACKAGES = ("aiohttp", "replicate", "uvloop")


def machine(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """What is to be known of it and of these packages, JSON-ready; the load is that of this moment."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: found for name in packages if (found := _version(name))},
        "load_at_start": load,
    }


def described(machines: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each machine that differs in more than its load."""
    lines: dict[str, list[float | None]] = {}
    for one in machines:
        packages = ", ".join(f"{name} {found}" for name, found in one["packages"].items())
        line = f"{one['cores']} cores, {one['cpu']}, {one['system']}, Python {one['python']}, {packages}"
        lines.setdefault(line, []).append(one["load_at_start"])
    return [f"{line}; {_load(loads)}" for line, loads in lines.items()]


def _load(loads: Sequence[float | None]) -> str:
    known = [load for load in loads if load is not None]
    if not known:
        return "its load is not known"
    said = f"load at the start {max(known):.2f}"
    return f"{said}: **it was busy with something else**" if max(known) > BUSY else said


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
