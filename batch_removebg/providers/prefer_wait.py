"""`Prefer: wait`: the server keeps the answer to a create back until the result is there, and a poll or two is saved.

Used where a create whose answer gets lost can be found again, and only while it serves: a server says that it honours
the wish, or its answers show it; one that doesn't is asked no more, and neither is one on whose way long requests are
cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from batch_removebg.errors import CreateLost
from batch_removebg.model import CreateRequest, Prediction, Provider

from .base import Wrapper
from .polling import RunTimes

_FIRST_GUESS = 5
"""Seconds, while nothing is known of the model."""
_LONGEST = 10
"""Seconds: how long Ctrl-C may have to wait for a create, which is never cut short."""


@dataclass(slots=True)
class WaitPolicy:
    """Decides whether the next create asks for its answer to be kept back."""

    plain: int = 4
    """Creates at first that don't: their answers tell how quick the server is."""
    misses: int = 3
    """Answers in a row that came early without a result, after which a server is taken for one that can't."""
    losses: int = 2
    """Answers lost in a row, after which long requests are taken to be cut on the way."""
    _missed: int = 0
    _lost: int = 0

    @property
    def given_up(self) -> bool:
        """No create of this run asks any more."""
        return self._missed >= self.misses or self._lost >= self.losses

    def seconds(self, usual: float | None) -> int | None:
        """Seconds to ask for, or None; `usual` is what nearly all predictions end within, where that is known."""
        if self.plain > 0:
            self.plain -= 1
            return None
        if self.given_up:
            return None
        return _FIRST_GUESS if usual is None else max(1, min(_LONGEST, math.ceil(1.5 * usual)))

    def answered(self, asked: int, made: Prediction) -> None:
        """Take in the answer to a create that asked for so many seconds."""
        self._lost = 0
        if made.wait_honoured or made.status.terminal or made.held >= 0.8 * asked:
            self._missed = 0
        else:
            self._missed += 1

    def lost(self) -> None:
        """Take in that the answer to a create that asked never came."""
        self._lost += 1


class PreferWait(Wrapper):
    """Asks for the answers to creates to be kept back, as far as that serves."""

    def __init__(self, inner: Provider, policy: WaitPolicy, times: RunTimes) -> None:
        super().__init__(inner)
        self._policy = policy
        self._times = times
        self._able = self.capabilities.wait and self.capabilities.list

    async def create(self, request: CreateRequest) -> Prediction:
        """See Provider."""
        # A data URI is not echoed: a create that got lost with it could not be found again.
        if not self._able or request.image.startswith("data:"):
            return await self.inner.create(request)
        asked = self._policy.seconds(self._times.quantile(0.9))
        if asked is None:
            return await self.inner.create(request)
        try:
            made = await self.inner.create(replace(request, wait=asked))
        except CreateLost:
            self._policy.lost()
            raise
        self._policy.answered(asked, made)
        return made
