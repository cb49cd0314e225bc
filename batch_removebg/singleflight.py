"""The same content is worked on once at a time: whoever comes meanwhile waits, and finds what the first one left."""

from __future__ import annotations

from collections import OrderedDict

import anyio

from batch_removebg.errors import InputRejected, ItemError, PredictionFailed

_REFUSALS = 10_000
"""Contents refused for good that are remembered, in a run of any length."""


class Singleflight:
    """Turns by key; a turn may begin in one task and end in another."""

    def __init__(self) -> None:
        self._busy: dict[str, anyio.Event | None] = {}
        """The event is made by the first that waits."""
        self._refused: OrderedDict[str, ItemError] = OrderedDict()

    def busy(self, key: str) -> bool:
        """Whether `enter` would have to wait."""
        return key in self._busy

    async def enter(self, key: str) -> None:
        """Begin the turn of `key`, after those that came before.

        Raises the error with which the content was refused for good in an earlier turn: asked again, and paid again,
        it would be refused again.
        """
        while key in self._busy:
            ended = self._busy[key] or anyio.Event()
            self._busy[key] = ended
            await ended.wait()
        refused = self._refused.get(key)
        if refused is not None:
            raise type(refused)(str(refused))
        self._busy[key] = None

    def leave(self, key: str, error: BaseException | None = None) -> None:
        """End the turn of `key`; `error` is what it came to, where it came to nothing."""
        if isinstance(error, PredictionFailed | InputRejected):
            self._refused[key] = error
            if len(self._refused) > _REFUSALS:
                self._refused.popitem(last=False)
        ended = self._busy.pop(key)
        if ended is not None:
            ended.set()
