"""The command with networks that see colour on white, in place of weights: `python -m tests.browser.drawn run …`.

With `STEPS` in the environment each picture waits for a line of stdin.
"""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

from batch_removebg.cli.main import run_command
from batch_removebg.engine import network, process, weights
from tests.support.local_doubles import Here


class Runtime:
    """Sees what is colourful; the better the network, the more sharply."""

    used = "a double"

    def __init__(self, model: weights.Weights) -> None:
        self._gain = 4 if model.name == "isnet" else 6

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        if "STEPS" in os.environ:
            sys.stdin.readline()
        colour = tensor.max(1, keepdims=True) - tensor.min(1, keepdims=True)
        return np.clip(colour * self._gain - 0.4, 0, 1)


def main() -> int:
    """The exit code of the command line."""
    network.ensure_weights = lambda model, **asked: None  # type: ignore[assignment,misc]
    network.open_runtime = lambda model, device, precision, **_: Runtime(model)  # type: ignore[assignment,misc]
    weights.notice = lambda *_: ""
    process.NetworkProcess = lambda load, cpu, *_: Here(load)  # type: ignore[misc,assignment]
    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
