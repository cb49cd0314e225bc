"""A process that tells by Apprise, and can be killed: its services block, each with time-outs of its own."""

from __future__ import annotations

import json
import sys
from importlib import import_module


def main() -> int:
    """0 once the services of the `url` in the JSON on stdin have the message; nothing is written, for URLs' sake."""
    given = json.load(sys.stdin)
    told = import_module("apprise").Apprise()
    sent = told.add(given.pop("url")) and told.notify(**given)
    return 0 if sent else 1


if __name__ == "__main__":
    sys.stdout = sys.stderr = None
    sys.exit(main())
