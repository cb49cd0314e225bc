"""A prediction is polled until it has ended, as rarely as its run times allow."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from batch_removebg.errors import ItemError, PredictionLost, PredictionStuck, RetryError
from batch_removebg.model import Prediction, Status
from batch_removebg.providers.polling import RunTimes

from .context import Context


@dataclass(frozen=True, slots=True)
class Poller:
    """Waits for predictions to end, and learns how long they take."""

    context: Context
    times: RunTimes
    deadline: float
    """Seconds from our first sight of a prediction until it is cancelled."""

    async def end(self, seen: Prediction, *, polls: float) -> Prediction:
        """The prediction once it has ended; `polls`: how many to spend on one of the usual length.

        Raises PredictionStuck after the deadline, PredictionLost where it has no id to ask for.
        """
        clock, provider = self.context.clock, self.context.provider
        begun, with_output, before = clock.monotonic() - seen.held, 0, 0.0
        timed = seen.held > 0  # created by this run
        with self.times.watch() as watch:
            while not seen.status.terminal:
                if seen.id is None:
                    raise PredictionLost("the server gave a prediction without an id, and without a result")
                # Some servers fill the output in while they still say `processing`; seen twice, it is complete.
                with_output += seen.output is not None
                if with_output > 1:
                    break
                before = clock.monotonic() - begun
                if before >= self.deadline:
                    with contextlib.suppress(RetryError, ItemError):  # whether that works or not, it is given up
                        await provider.cancel(seen.id)
                    raise PredictionStuck(f"prediction {seen.id} did not end within {self.deadline:.0f} s")
                waited = 0.0
                # In short naps: what other predictions show meanwhile changes the schedule.
                while (wait := watch.delay(self.times.schedule(polls), before) - waited) > 0.001:
                    await clock.sleep(min(wait, max(1.0, (before + waited) / 8)))
                    waited = clock.monotonic() - begun - before
                seen = await provider.get(seen.id)
                if not seen.status.terminal:
                    watch.goes_on(clock.monotonic() - begun)
        if seen.status is Status.SUCCEEDED and seen.ran is not None:
            self.times.add(seen.ran)
        elif seen.status is Status.SUCCEEDED and timed:
            self.times.between(before, clock.monotonic() - begun)
        return seen
