"""`Prefer: wait`: the server holds its answer to a create until the result is there, which saves a poll or two.

Used only where a create whose answer is lost can be found again, and while it helps: not with a server that ignores
it, nor on a network that cuts long requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from batch_removebg.errors import CreateLost
from batch_removebg.model import CreateRequest, Prediction

from .base import Wrapper
from .polling import RunTimes

_FIRST_GUESS = 5  # seconds, while nothing is known of the model
_LONGEST = 10  # seconds: how long Ctrl-C may have to wait for a create, which is never cut short
_MISSES = 3  # early answers without a result in a row after which the server counts as ignoring it
_LOSSES = 2  # lost answers in a row after which the network counts as cutting long requests


@dataclass(eq=False)
class PreferWait(Wrapper):
    """Adds `Prefer: wait` to creates, for a little longer than nearly all predictions take."""

    times: RunTimes
    plain: int = 4  # first creates that are left as they are: their answers show how fast the server is
    _missed: int = field(default=0, init=False)
    _lost: int = field(default=0, init=False)

    async def create(self, request: CreateRequest) -> Prediction:
        """See Provider."""
        # Servers don't echo a data URI: a lost create with one could not be found again.
        able = self.capabilities.wait and self.capabilities.list and not request.image.startswith("data:")
        if able and self.plain > 0:
            self.plain, able = self.plain - 1, False
        if not able or self._missed >= _MISSES or self._lost >= _LOSSES:
            return await self.inner.create(request)
        usual = self.times.quantile(0.9)
        asked = _FIRST_GUESS if usual is None else max(1, min(_LONGEST, math.ceil(1.5 * usual)))
        try:
            made = await self.inner.create(replace(request, wait=asked))
        except CreateLost:
            self._lost += 1
            raise
        honoured = made.wait_honoured or made.status.terminal or made.held >= 0.8 * asked
        self._lost, self._missed = 0, 0 if honoured else self._missed + 1
        return made
