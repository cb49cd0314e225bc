"""Valid things made invalid: seeded, so that a case can be met again, and quick enough for ten million of them.

BATCH_REMOVEBG_CASES says how many the long run has in all, over all targets; BATCH_REMOVEBG_SEED makes them others.
"""

from __future__ import annotations

import copy
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.long_report import LONG, note

SHOWN = 3
CASES = float(os.environ.get("BATCH_REMOVEBG_CASES", "1e6"))
PATIENCE = max(1500, CASES / 1000)
"""Seconds for one target."""
SEED = int(os.environ.get("BATCH_REMOVEBG_SEED", "0"))

Mutator = Callable[[random.Random], Any]


def fuzz(
    target: str, suite_seed: int, cases: Mutator, rule: Callable[[Any], None], *, short: int, share: float
) -> None:
    """Hold `rule` against `short` mutated cases, or its `share` of all in the long run, and put the number on record.

    A rule is broken by any exception, AssertionError or other. All cases are run; the first few that broke it are
    shown, to be kept as regressions.
    """
    rng = random.Random(suite_seed + 1000 * SEED)
    count, begun = round(share * CASES) if LONG else short, time.monotonic()
    broken: list[str] = []
    for number in range(count):
        case = cases(rng)
        try:
            rule(case)
        except Exception as error:  # noqa: BLE001  # whatever comes out that the rule does not allow is what is looked for
            broken.append(f"case {number}: {type(error).__name__}: {error}: {case!r}"[:2000])
    note("fuzz", target, cases=count, seconds=round(time.monotonic() - begun), broken=len(broken))
    assert not broken, "\n".join([f"{len(broken)} of {count} cases", *broken[:SHOWN]])


def bytes_of(rng: random.Random, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """One of the seeds after a few small accidents."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
        at = rng.randint(0, len(data))
        upto = min(len(data), at + rng.choice((1, 1, 2, 8, 60)))
        match rng.randrange(7):
            case 0:
                del data[at:upto]
            case 1:
                data[at:at] = rng.choice(tokens)
            case 2:
                data[at:upto] = rng.choice(tokens)
            case 3:
                data[at:at] = data[rng.randint(0, len(data)) :][:40]
            case 4:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            case 5:
                data[at:upto] = bytes(byte ^ (1 << rng.randrange(8)) for byte in data[at:upto])
            case 6:
                del data[at:]
    return bytes(data)


def json_of(rng: random.Random, seeds: Sequence[Any], leaves: Sequence[Any]) -> Any:
    """One of the seeds with a few of its values swapped, dropped, wrapped or made something else."""
    value = copy.deepcopy(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 2, 3, 5))):
        value = _changed(rng, value, leaves)
    return value


def _changed(rng: random.Random, value: Any, leaves: Sequence[Any]) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        match rng.randrange(5):
            case 0:
                del value[key]
            case 1:
                value[key] = value[rng.choice(list(value))]
                value[key] = copy.deepcopy(value[key])
            case _:
                value[key] = _changed(rng, value[key], leaves)
        return value
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        value[at] = _changed(rng, value[at], leaves)
        return value
    return rng.choice(
        (
            copy.deepcopy(rng.choice(leaves)),
            [value, value],
            {"data": value},
            {"output": value, "url": value},
            str(value) + rng.choice(("", "\ud800", "\n", "0")) if not isinstance(value, dict | list) else {},
        )
    )


def text_of(rng: random.Random, pieces: Sequence[str]) -> str:
    """A string of hostile pieces and characters from all over Unicode, surrogates too."""
    parts = []
    for _ in range(rng.choice((1, 2, 3, 5, 9))):
        if rng.random() < 0.75:
            parts.append(rng.choice(pieces))
        else:
            parts.append(chr(rng.choice((rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x110000)))))
    return "".join(parts)
