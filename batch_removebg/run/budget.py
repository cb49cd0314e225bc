"""How many predictions a run may buy, by count and by cost, and how fast. Pure."""

from __future__ import annotations

import math

from batch_removebg.manifest.shard import Shard

from .options import Options

_WHOLE = Shard(1, 1)


def allowed(options: Options, shard: Shard | None, *, spent: int, billed: int) -> tuple[int | None, str]:
    """Predictions that may still be bought (None: any number), and what to say once they are.

    All shards together buy no more than the options say. `spent`: by earlier passes of this run, `billed`: by all runs
    over this OUT.
    """
    shard, limits = shard or _WHOLE, list[tuple[int, str]]()
    one = "in this run; the same command would buy as many again (--max-cost-total bounds all runs together)"
    every = "in all runs over this OUT; raise it to buy more"
    part = f" by shard {shard}" if shard.of > 1 else ""
    if (most := options.max_predictions) is not None:
        own = shard.share(most)
        text = f"--max-predictions {most} is reached{part and f'{part}, which has {own} of them,'} {one}"
        limits.append((max(0, own - spent), text))
    for flag, usd, before, where in (
        ("--max-cost", options.max_cost, spent, one),
        ("--max-cost-total", options.max_cost_total, billed, every),
    ):
        if usd is not None and options.price is not None and math.isfinite(usd):
            # Rounded first: 0.3 / 0.1 is a little less than 3.
            count = shard.share(math.floor(round(usd / options.price, 9)))
            bought = f"{max(count, before)} predictions were bought{part} at --price {options.price:g}"
            limits.append((max(0, count - before), f"{flag} {usd:g} is reached: {bought} {where}"))
    return min(limits, default=(None, ""))


def per_minute(options: Options, shard: Shard | None) -> float | None:
    """Creates per minute at most."""
    return options.rate and options.rate / (shard or _WHOLE).of
