"""Group commit: calls that arrive during a write are merged into the next one, and share a thread and an fsync."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Group(Generic[T, R]):
    """Parts that are processed together by the caller of the first one."""

    parts: list[T] = field(default_factory=list)
    results: Sequence[R] = ()
    error: Exception | None = None
    done: anyio.Event = field(default_factory=anyio.Event)


class GroupCommit(Generic[T, R]):
    """Calls `work` with all parts that have arrived since a lane was last free."""

    def __init__(self, work: Callable[[list[T]], Awaitable[Sequence[R]]], *, lanes: int = 1) -> None:
        """`work` returns one result for each part, in order; up to `lanes` groups are processed at once."""
        self._work = work
        self._lanes = anyio.Semaphore(lanes)
        self._next: _Group[T, R] = _Group()

    async def __call__(self, part: T) -> R:
        """The result for this part, in the order of the calls, even cancelled ones; raises as `work` does, for all."""
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
            except Exception as error:  # noqa: BLE001  # raised in every caller of the group
                group.error = error
            except BaseException:
                group.error = RuntimeError("the task that led the work was ended from outside")
                raise
            finally:
                group.done.set()
