"""The machine and the versions that figures were taken with: no names of hosts, no paths."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

BUSY = 0.5
"""Load average of the last minute above which the machine does something else as well."""


def machine() -> dict[str, Any]:
    """What is to be known of it, JSON-ready; the load is that of this moment."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: found for name in ("aiohttp", "replicate", "uvloop") if (found := _version(name))},
        "load_at_start": load,
        "busy": load is not None and load > BUSY,
    }


def described(of: dict[str, Any]) -> str:
    """In one line."""
    packages = ", ".join(f"{name} {found}" for name, found in of["packages"].items())
    load = "unknown" if of["load_at_start"] is None else f"{of['load_at_start']:.2f}"
    busy = ": **it was busy with something else**" if of["busy"] else ""
    return f"{of['cores']} cores, {of['cpu']}, {of['system']}, Python {of['python']}, {packages}; load {load}{busy}"


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
