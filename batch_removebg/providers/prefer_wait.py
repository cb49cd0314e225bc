"""`Prefer: wait`: the server holds its answer to a create until the result is there, which saves a poll or two.

Used only where a create whose answer is lost can be found again, and while it helps: not with a server that ignores
it, nor on a network that cuts long requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from batch_removebg.errors import CreateLost
from batch_removebg.model import CreateRequest, Prediction

from .base import Wrapper
from .polling import RunTimes

_FIRST_GUESS = 5  # seconds, while nothing is known of the model
_LONGEST = 10  # seconds: how long Ctrl-C may have to wait for a create, which is never cut short


@dataclass(slots=True)
class WaitPolicy:
    """Decides whether the next create asks the server to wait."""

    plain: int = 4  # first creates that don't: their answers show how fast the server is
    misses: int = 3  # early answers without a result in a row after which the server counts as ignoring it
    losses: int = 2  # lost answers in a row after which the network counts as cutting long requests
    _missed: int = 0
    _lost: int = 0

    def seconds(self, usual: float | None) -> int | None:
        """Seconds to ask for, or None; `usual`: within which nearly all predictions end, where known."""
        if self.plain > 0:
            self.plain -= 1
            return None
        if self._missed >= self.misses or self._lost >= self.losses:
            return None
        return _FIRST_GUESS if usual is None else max(1, min(_LONGEST, math.ceil(1.5 * usual)))

    def answered(self, asked: int, made: Prediction) -> None:
        """Record the answer to a create that asked for so many seconds."""
        self._lost = 0
        honoured = made.wait_honoured or made.status.terminal or made.held >= 0.8 * asked
        self._missed = 0 if honoured else self._missed + 1

    def lost(self) -> None:
        """Record that such an answer was lost."""
        self._lost += 1


@dataclass(eq=False)
class PreferWait(Wrapper):
    """Adds `Prefer: wait` to creates as the policy says."""

    policy: WaitPolicy
    times: RunTimes

    async def create(self, request: CreateRequest) -> Prediction:
        """See Provider."""
        # Servers don't echo a data URI: a lost create with one could not be found again.
        able = self.capabilities.wait and self.capabilities.list and not request.image.startswith("data:")
        asked = self.policy.seconds(self.times.quantile(0.9)) if able else None
        if asked is None:
            return await self.inner.create(request)
        try:
            made = await self.inner.create(replace(request, wait=asked))
        except CreateLost:
            self.policy.lost()
            raise
        self.policy.answered(asked, made)
        return made
