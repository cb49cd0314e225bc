"""`python -m batch_removebg`, and the console script."""

from __future__ import annotations

import gc
import os
import sys
from ctypes import CDLL

from batch_removebg.cli.main import run_command

_COLLECT = (20_000, 20, 50)
"""A run makes few cycles: at Python's own thresholds a tenth of its CPU time went into looking for them."""
_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def main() -> None:
    """Run the command line and leave with its exit code."""
    _open_what_is_closed()
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        # Not every name fits in the locale's encoding: begin again with UTF-8 for files, and the terminal's as it is.
        changed = {"PYTHONUTF8": "1", "PYTHONIOENCODING": f"{sys.stdout.encoding}:backslashreplace"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **changed})  # noqa: S606
    save_memory()
    # Pictures are worked on side by side; threads of numpy's own would take turns with them, and wait by spinning.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run_command(sys.argv[1:]))


def save_memory() -> None:
    """Let this process keep less of what it has given back."""
    gc.set_threshold(*_COLLECT)
    if sys.platform == "linux" and hasattr(CDLL(None), "mallopt"):
        # One heap for all threads, which take turns anyway: what each kept in its own was 100 MB of a run's peak.
        CDLL(None).mallopt(_ARENA_MAX, 1)


def _open_what_is_closed() -> None:
    """Let streams that a supervisor has closed lead nowhere; else the next file or socket would take their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # for good


if __name__ == "__main__":
    main()
