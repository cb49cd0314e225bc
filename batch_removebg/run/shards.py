"""Which shard a run is, and where the OUTs of shards are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from batch_removebg.errors import SettingsError
from batch_removebg.manifest.shard import Shard
from batch_removebg.storage.layout import LEDGER

_ARRAYS = {
    "JOB_COMPLETION_INDEX": "JOB_COMPLETIONS",
    "AWS_BATCH_JOB_ARRAY_INDEX": "AWS_BATCH_JOB_ARRAY_SIZE",
    "SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_COUNT",
}
"""Variables that number the tasks of an array, of Kubernetes, AWS Batch and Slurm, and those that count the tasks."""


def shard_of(text: str, environ: Mapping[str, str]) -> Shard:
    """The shard that `--shard` names, by the environment for `auto` and `auto/N`; raises SettingsError."""
    word, _, of = text.partition("/")
    origin = ""
    if word == "auto":
        index = next((name for name in _ARRAYS if name in environ), None)
        if index is None:
            *names, last = _ARRAYS
            raise SettingsError(f"--shard auto: none of {', '.join(names)} and {last} is set; give --shard I/N")
        of, origin = of or environ.get(_ARRAYS[index], ""), f", from {index}={environ[index]}"
        if not of:
            raise SettingsError(f"--shard auto: {index} is set, and {_ARRAYS[index]} isn't; give --shard auto/N")
        word = _numbered(index, environ)
    if word.isdecimal() and of.isdecimal() and 1 <= int(word) <= int(of):
        return Shard(int(word), int(of))
    raise SettingsError(f"--shard {word}/{of}{origin}: give I/N, such as 1/16 for the first of 16")


def _numbered(index: str, environ: Mapping[str, str]) -> str:
    """The task's number from 1, as it stands where it is none."""
    with suppress(ValueError):
        first, step = (int(environ.get(f"SLURM_ARRAY_TASK_{name}", 0)) for name in ("MIN", "STEP"))
        number = int(environ[index])
        return str((number - first) // (step or 1) + 1 if index.startswith("SLURM") else number + 1)
    return environ[index]


def of_shard(out: Path, shard: Shard) -> dict[str, Any]:
    """The settings of a run that is one: `--out` is the folder that shards have in common, or the shard's own."""
    return {"shard": str(shard), "out": out if out.name == shard.folder else out / shard.folder}


def shards_in(folder: Path) -> Iterator[tuple[Shard, Path]]:
    """The shards whose OUTs are there, in their order."""
    found = ((Shard.named(path.name), path) for path in sorted(folder.glob("shard-*-of-*")))
    return ((shard, path) for shard, path in found if shard is not None)


def require_place(out: Path, shard: Shard | None) -> None:
    """Raise SettingsError where OUT is divided otherwise than this run is, so that pictures would be made twice."""
    if (out / LEDGER).exists():
        return
    top = out if shard is None else out.parent
    if shard is not None and (top / LEDGER).exists():
        raise SettingsError(f"{top} was made without --shard: go on so, or choose another --out")
    for other, _ in shards_in(top):
        if shard is None or other.of != shard.of:
            raise SettingsError(
                f"{top} is that of {other.of} shards: give --shard I/{other.of}, or choose another --out"
            )
