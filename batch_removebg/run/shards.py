"""Which shard a run is, and where the OUTs of shards are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from batch_removebg.errors import SettingsError
from batch_removebg.manifest.shard import Shard
from batch_removebg.storage.layout import LEDGER

_SLURM = "SLURM_ARRAY_TASK_"
_ARRAYS = {
    "JOB_COMPLETION_INDEX": "JOB_COMPLETIONS",
    "AWS_BATCH_JOB_ARRAY_INDEX": "AWS_BATCH_JOB_ARRAY_SIZE",
    f"{_SLURM}ID": f"{_SLURM}COUNT",
}
"""What numbers the tasks of an array in Kubernetes, AWS Batch and Slurm, and what counts them."""


def shard_of(text: str, environ: Mapping[str, str]) -> Shard:
    """The shard that `--shard` names, by the environment for `auto` and `auto/N`; raises SettingsError."""
    said, (word, _, of) = "", text.partition("/")
    if word == "auto":
        if (index := next((name for name in _ARRAYS if name in environ), None)) is None:
            raise SettingsError(f"--shard auto: none of {', '.join(_ARRAYS)} is set; give --shard I/N")
        word, of = environ[index], of or environ.get(_ARRAYS[index], "?")
        with suppress(ValueError):
            least, step = (
                int(environ.get(f"{_SLURM}{name}", 0)) * (index == f"{_SLURM}ID") for name in ("MIN", "STEP")
            )
            word = str((int(word) - least) // (step or 1) + 1)
        said = f" is {word}/{of} by {index} and {_ARRAYS[index]}"
    if word.isdecimal() and of.isdecimal() and 1 <= int(word) <= int(of):
        return Shard(int(word), int(of))
    raise SettingsError(f"--shard {text}{said}: give I/N or auto/N, with I from 1 to N")


def shards_in(folder: Path) -> Iterator[tuple[Shard, Path]]:
    """The shards whose OUTs are there, in their order."""
    found = ((Shard.named(path.name), path) for path in sorted(folder.glob("shard-*-of-*")))
    return ((shard, path) for shard, path in found if shard is not None)


def require_place(out: Path, shard: Shard | None) -> None:
    """Raise SettingsError where OUT is divided otherwise than the run is: it would make all pictures once more."""
    top = out if shard is None else out.parent
    if (out / LEDGER).exists():
        return
    if shard is not None and (top / LEDGER).exists():
        raise SettingsError(f"{top} was made without --shard: leave it out, or choose another --out")
    if of := {other.of for other, _ in shards_in(top)} - {shard and shard.of}:
        one = f"run one by --shard I/{max(of)}, or give its folder to other commands"
        raise SettingsError(f"{top} holds {max(of)} shards: {one}; `batch-removebg merge` joins them")
