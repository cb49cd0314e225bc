"""`python -m batch_removebg`, and the console script."""

from __future__ import annotations

import gc
import os
import sys

from batch_removebg.cli import run_command

_COLLECT = (20_000, 20, 50)
"""A run makes few cycles: at Python's own thresholds a tenth of its CPU time went into looking for them."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    gc.set_threshold(*_COLLECT)
    # Pictures are worked on side by side; threads of numpy's own would take turns with them, and wait by spinning.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
