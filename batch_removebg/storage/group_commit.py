"""Group commit: what is asked for while the same work is under way is done together, in the next go.

One hop to a thread, and what is dear once (an fsync), then serve all that have come meanwhile; a call that finds
nothing under way goes at once. aiologic and aiojobs were looked at: they queue and limit work, and don't join it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Group(Generic[T, R]):
    """Parts that will be worked on in one go; whoever brought the first of them leads it."""

    parts: list[T] = field(default_factory=list)
    results: Sequence[R] = ()
    error: Exception | None = None
    done: anyio.Event = field(default_factory=anyio.Event)


class Together(Generic[T, R]):
    """Calls `work` with all parts that have come since it was free last."""

    def __init__(self, work: Callable[[list[T]], Awaitable[Sequence[R]]], *, lanes: int = 1) -> None:
        """`work` gives one result a part, in their order; `lanes` groups are worked on at once."""
        self._work = work
        self._lanes = anyio.Semaphore(lanes)
        self._next: _Group[T, R] = _Group()

    async def __call__(self, part: T) -> R:
        """The result for this part, worked on in the order of the calls, also where the caller is cancelled meanwhile.

        Raises what `work` raises: the same error for its whole group.
        """
        group, place = self._next, len(self._next.parts)
        group.parts.append(part)
        if place == 0:
            with anyio.CancelScope(shield=True):  # the others in the group depend on it
                await self._lead(group)
        else:
            await group.done.wait()
        if group.error is not None:
            raise group.error
        return group.results[place]

    async def _lead(self, group: _Group[T, R]) -> None:
        async with self._lanes:  # others join meanwhile
            self._next = _Group()
            try:
                group.results = await self._work(group.parts)
            except Exception as error:  # noqa: BLE001  # handed to everyone who waits for it
                group.error = error
            except BaseException:
                group.error = RuntimeError("the task that led the work was ended from outside")
                raise
            finally:
                group.done.set()
