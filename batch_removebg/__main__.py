"""`python -m batch_removebg`, and the console script."""

from __future__ import annotations

import sys

from batch_removebg.cli import run_command


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
