"""Predictions are bought, three at most for each content and none while an earlier one may serve, and waited for."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from dataclasses import dataclass
from math import inf

from batch_removebg.errors import (
    BatchError,
    CreateLost,
    ItemError,
    PredictionLost,
    PredictionStuck,
    ResubmitError,
    RetryError,
)
from batch_removebg.events import Event, Kind
from batch_removebg.ledger.events import Cleared, Rejected, Submitted
from batch_removebg.ledger.state import Lost
from batch_removebg.model import CreateRequest, Prediction, Status
from batch_removebg.providers import wire
from batch_removebg.providers.journaled import Budget
from batch_removebg.providers.polling import RunTimes
from batch_removebg.providers.recovery import LostCreates

from .context import Context
from .prepare import model_input
from .work import Doubt, Predicted, Prepared, Turn

_PREDICTIONS = 3  # most that are bought for one content in a run
_PAUSES = (5.0, 45.0)  # seconds before a spent prediction is replaced, and the next: trouble of the platform passes
_WAITS = "waits, since predictions for several pictures were of no use, until another shows that the server is well"
_REQUESTS = 4.0  # API requests to aim at for one item: upload, create and polls
_DOUBTS = (1.0, 4.0, 10.0, 20.0)  # seconds after which one that seems useless is asked for again: a state may be late
_LATE_POLLS = 8.0  # polls for a prediction that didn't end within its `Prefer: wait`: there are few of those


@dataclass(frozen=True, slots=True)
class Poller:
    """Waits for predictions to end, and learns how long they take."""

    context: Context
    times: RunTimes
    deadline: float  # seconds from our first sight of a prediction until it is cancelled

    async def outcome(self, opened: str | Prediction, picture: str, *, polls: float) -> Prediction:
        """The prediction, ended and with an output; `opened`: its id, or what its create was answered with.

        Raises what `end` and `wire.result` raise: not at the first sign, but where it was asked for again over a while.
        """
        clock, provider = self.context.clock, self.context.provider
        known = opened if isinstance(opened, str) else opened.id
        for doubt in (*_DOUBTS, None):
            try:
                seen = await provider.get(opened) if isinstance(opened, str) else opened
                ended = await self.end(seen, polls=polls)
                wire.result(ended)
            except PredictionStuck:
                # The cancel may have come too late for it.
                last = await provider.get(known) if known is not None else None
                if last is not None and last.status is Status.SUCCEEDED and last.output:
                    return last
                raise
            except ResubmitError:
                if doubt is None or known is None or not provider.capabilities.billed:
                    raise
                self.context.brake.suspect(picture)
            else:
                return ended
            await clock.sleep(doubt)
            opened = known
        raise AssertionError

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


@dataclass(frozen=True, slots=True)
class Purchaser:
    """Buys predictions and waits for their end; records them in the turn of their content."""

    context: Context
    poller: Poller
    lost: LostCreates
    budget: Budget

    def may_buy(self, turn: Turn) -> bool:
        """Whether another prediction may be bought for the content."""
        return turn.bought < _PREDICTIONS

    async def buy(self, prepared: Prepared, turn: Turn) -> Predicted:
        """The item with the output of its open prediction, or of a new one.

        Raises ResubmitError where that is of no use, Stopping if the run ends first, CreateLost where a create has to
        be looked for, and the error that the content ended with earlier in this run.
        """
        turn.take_up()
        if turn.refusal is not None:
            raise type(turn.refusal)(str(turn.refusal))
        if turn.lost is not None:
            raise CreateLost("an earlier create got no answer")
        if turn.open is None and not self.may_buy(turn):
            raise PredictionLost(
                f"{turn.bought} predictions were bought for the same content, and their output is gone"
            )
        reused = turn.open is not None and turn.buyer not in (None, prepared.todo.item.id)
        attempts = turn.bought + (turn.open is None)
        try:
            opened = turn.open or await self._create(prepared, turn, attempts)
            since = self.context.clock.monotonic() - (opened.held if isinstance(opened, Prediction) else inf)
            ended = await self.poller.outcome(opened, prepared.fingerprint, polls=_polls(prepared, opened))
        except BatchError as error:
            error.attempts = attempts
            if isinstance(error, ResubmitError):
                turn.bought = attempts  # one whose upload had expired is counted as well
            raise
        turn.bought = max(1, attempts)
        outputs = (wire.result(ended), *ended.others)
        return Predicted(prepared, outputs, ended.id, turn.bought, reused=reused, since=since)

    async def pause(self, prepared: Prepared, turn: Turn) -> None:
        """Wait until another prediction may replace a useless one; raises Stopping where the run ends first."""
        await self.context.gate.sleep(_PAUSES[min(max(turn.bought, 1), len(_PAUSES)) - 1])
        await self._allowed(prepared)

    async def _allowed(self, prepared: Prepared) -> None:
        said = False
        while not self.context.brake.allows(prepared.fingerprint, self.context.clock.monotonic()):
            if not said:
                self.context.notify(Event(Kind.WARNING, prepared.todo.item.id, text=_WAITS))
            said = True
            await self.context.gate.sleep(1.0)

    async def recover(self, prepared: Prepared, turn: Turn) -> None:
        """Look for a create whose answer was lost: it becomes the content's open prediction, or may be sent again.

        Raises CreateUnaccounted where it can't be looked for and may not be sent again, RetryError where it can't be
        looked for now, or no answer ever comes.
        """
        lost, item, lost_at = turn.lost, prepared.todo.item.id, self.context.clock.monotonic()
        assert lost is not None  # noqa: S101  # there is nothing to look for otherwise
        sighting = await self.lost.find(lost, (*turn.spent,), turn.sent)
        if (found := sighting.prediction) is not None:
            await self.context.ledger.append(Submitted(item, found.id, found=True))
            self._purchased(prepared, turn, found.id)
        else:
            if sighting.sure:
                await self.context.ledger.append(Rejected(item, "not-found"))
                if turn.losses:  # by this run, which counted it
                    self.budget.give_back()
            self.lost.policy.again(absent=sighting.absent, losses=turn.losses, resent=turn.resent)
            if sighting.absent and not sighting.sure:
                turn.doubts.append(Doubt(lost, turn.sent, lost_at))
            turn.resent += not sighting.absent
            turn.doubtful = not sighting.sure or bool(turn.doubts)
        turn.lost = None

    async def audit(self, item: str, doubts: list[Doubt], spent: Container[str]) -> None:
        """Look whether the item's lost creates made predictions after all; those that didn't are no duplicates."""
        with contextlib.suppress(BatchError):  # then it stays unknown, and counted
            for doubt in doubts:
                if (await self.lost.find(doubt.lost, spent, doubt.sent, doubt.lost_at)).sure:
                    await self.context.ledger.append(Cleared(item))
                    if doubt.sent > -inf:  # by this run, which counted it
                        self.budget.give_back()

    async def _create(self, prepared: Prepared, turn: Turn, attempt: int) -> Prediction:
        image = await model_input(self.context, prepared, turn)
        request = CreateRequest(
            item=prepared.todo.item.id,
            image=image.url,
            output=prepared.todo.output,
            fingerprint=prepared.fingerprint,
            attempt=attempt + turn.losses,
            possible_duplicate=turn.doubtful,
            until=image.expires_at,
        )
        await self._allowed(prepared)
        since, sent = self.context.clock.stamp(), self.context.clock.monotonic()
        try:
            created = await self.context.provider.create(request)
        except CreateLost:
            turn.losses += 1
            turn.lost, turn.sent = Lost(self.lost.key(image.url), since), sent
            raise
        self.lost.answered(created, self.lost.key(image.url), sent)
        self._purchased(prepared, turn, created.id)
        return created

    def _purchased(self, prepared: Prepared, turn: Turn, prediction_id: str | None) -> None:
        turn.purchased(prediction_id, prepared.todo.item.id)
        self.context.brake.bought(prepared.fingerprint)


def _polls(prepared: Prepared, opened: str | Prediction) -> float:
    """Polls to spend on a prediction that takes no longer than usual."""
    if isinstance(opened, Prediction) and opened.wait_honoured and not opened.status.terminal:
        return _LATE_POLLS
    return _REQUESTS - 1 - (prepared.sha256 is not None)
