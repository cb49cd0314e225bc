"""Tells of runs: the beginning, what aborts one as soon as that is known, and the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from batch_removebg.clock import Clock
from batch_removebg.events import Event, Listener
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary

from .rules import Notify


@dataclass(eq=False)
class Notifier:
    """Tells of the runs of one job, each cause once."""

    notify: Notify
    closing: Callable[[Summary], str]  # the lines for people under a run

    @asynccontextmanager
    async def during(self, settings: Settings, listener: Listener, clock: Clock) -> AsyncIterator[Telling]:
        """Tell that a run begins, and what happens in it."""
        yield Telling(listener)


@dataclass
class Telling:
    """One run's."""

    listener: Listener

    def hear(self, event: Event) -> None:
        """Pass an event on."""
        self.listener(event)

    async def end(self, summary: Summary) -> None:
        """Tell how the run went."""


NOBODY = Notifier(Notify(), str)
