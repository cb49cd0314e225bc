"""What batches give on a graphics card, by simulation: the card is a sleep, `FIXED` a call and `EACH` a picture.

Threads stand for cores that take `FEED` seconds for all else of a picture. Nothing here was measured on a card.

    python -P -m tests.bench.card
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from batch_removebg.engine.devices import ahead
from batch_removebg.engine.runtimes.batches import Batches, Tensor

FIXED, EACH, FEED = 0.004, 0.001, 0.1
SECONDS = 4.0


def simulated(cores: int, most: int) -> tuple[float, float, float]:
    """Pictures a second, the card's busy share, and pictures in a batch, with so many cores and batches of `most`."""
    busy, given = [0.0], list[int]()
    turns = threading.Semaphore(cores)

    def card(tensor: Tensor) -> Tensor:
        begun = time.perf_counter()
        time.sleep(FIXED + EACH * len(tensor))
        given.append(len(tensor))
        busy[0] += time.perf_counter() - begun
        return tensor

    batches, tensor = Batches(card, most), np.zeros((1, 1), np.float32)
    ends = time.perf_counter() + SECONDS

    def feed(_: int) -> int:
        done = 0
        while time.perf_counter() < ends:
            with turns:
                time.sleep(FEED)
            batches(tensor)
            done += 1
        return done

    with ThreadPoolExecutor(cores + ahead(most)) as pool:
        done = sum(pool.map(feed, range(cores + ahead(most))))
    return done / SECONDS, busy[0] / SECONDS, sum(given) / len(given)


if __name__ == "__main__":
    sys.stdout.write(
        "| cores | one at a time | in batches of 16 at most | card busy | in a batch |\n|---|---|---|---|---|\n"
    )
    for count in (4, 16, 32, 64, 96):
        alone, _, _ = simulated(count, 1)
        together, share, mean = simulated(count, 16)
        sys.stdout.write(f"| {count} | {alone:.0f}/s | {together:.0f}/s | {share:.0%} | {mean:.1f} |\n")
