"""Predictions are bought: as many for a content as the policy allows, and none while an earlier one may serve."""

from __future__ import annotations

from dataclasses import dataclass

from batch_removebg.errors import BatchError, CreateLost, PredictionLost, ResubmitError
from batch_removebg.ledger.events import Rejected, Submitted
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import Lost
from batch_removebg.model import CreateRequest, Prediction, Provider
from batch_removebg.providers import wire
from batch_removebg.providers.budget import Budget
from batch_removebg.providers.journaled import key_of
from batch_removebg.providers.recovery import LostCreates

from .poll import Poller
from .singleflight import Turn
from .tools import Tools
from .upload import Uploader
from .work import Predicted, Prepared


@dataclass(frozen=True, slots=True)
class PurchasePolicy:
    """How many predictions are bought for one content in a run, and how often each is asked for."""

    predictions: int = 3
    pause: float = 1.0
    """Seconds before a spent prediction is replaced."""
    requests: float = 4.0
    """API requests for one item that are aimed at: uploads, the create, and polls."""
    late_polls: float = 8.0
    """Polls for one whose create was kept back in vain: such items are few."""

    def polls(self, prepared: Prepared, created: Prediction) -> float:
        """Polls that one prediction may cost, as far as it takes no longer than is usual."""
        if created.wait_honoured and not created.status.terminal:
            return self.late_polls
        return self.requests - 1 - (prepared.sha256 is not None)


class Purchaser:
    """Turns prepared items into predictions that have ended well; what is bought is recorded in the content's turn."""

    def __init__(
        self,
        provider: Provider,
        ledger: Ledger,
        tools: Tools,
        uploader: Uploader,
        poller: Poller,
        lost: LostCreates,
        budget: Budget,
        policy: PurchasePolicy | None = None,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._tools = tools
        self._uploader = uploader
        self._poller = poller
        self._lost = lost
        self._budget = budget
        self._policy = policy or PurchasePolicy()

    def may_buy(self, turn: Turn) -> bool:
        """Whether the policy allows another prediction for the content."""
        return turn.bought < self._policy.predictions

    async def buy(self, prepared: Prepared, turn: Turn, data: bytes | None = None) -> Predicted:
        """A prediction that gives a picture: the one that is open, or a new one; `data`: the source, where at hand.

        Raises the last ResubmitError once the policy's number is spent, Stopping if the run ends before one could be
        bought, CreateLost where an answer was lost, and what the content came to earlier in this run.
        """
        if turn.refusal is not None:
            raise type(turn.refusal)(str(turn.refusal))
        reused = turn.open is not None and turn.buyer is not None and turn.buyer is not prepared
        attempts = turn.bought
        while True:
            try:
                if turn.open is not None:
                    seen = await self._provider.get(turn.open)
                else:
                    attempts += 1
                    seen = await self._create(prepared, turn, data, attempts)
                ended = await self._poller.end(seen, polls=self._policy.polls(prepared, seen))
                url = wire.result(ended)
            except ResubmitError as error:
                error.attempts, turn.open, reused = attempts, None, False
                if attempts >= self._policy.predictions:
                    raise
            except BatchError as error:
                error.attempts = attempts
                raise
            else:
                turn.bought = max(1, attempts)
                return Predicted(prepared, url, None, ended.id, turn.bought, reused=reused)
            await self._tools.gate.sleep(self._policy.pause)

    async def recover(self, prepared: Prepared, turn: Turn) -> None:
        """Look for a create whose answer was lost: it becomes the content's open prediction, or may be sent again.

        Raises CreateUnaccounted where it can't be looked for and may not be sent again, ServerError where no answer
        ever comes.
        """
        lost, item = turn.lost, prepared.todo.item.id
        assert lost is not None  # noqa: S101  # there is nothing to look for otherwise
        try:
            sighting = await self._lost.find(lost, (*turn.spent,))
            if (found := sighting.prediction) is not None:
                await self._ledger.append(Submitted(item, found.id, found=True))
                turn.purchased(found.id)
            else:
                if sighting.sure:
                    await self._ledger.append(Rejected(item, "not-found"))
                    if turn.losses:  # by this run, which has counted it
                        self._budget.give_back()
                self._lost.policy.again(absent=sighting.sure, losses=turn.losses, resent=turn.resent)
                turn.resent, turn.doubtful = turn.resent + (not sighting.sure), not sighting.sure
            turn.lost = None
        except BatchError as error:
            error.attempts = turn.bought
            raise

    async def _create(self, prepared: Prepared, turn: Turn, data: bytes | None, attempt: int) -> Prediction:
        if attempt > self._policy.predictions:
            raise PredictionLost(
                f"{turn.bought} predictions were bought for the same content, and their output is gone"
            )
        image = await self._uploader.image(prepared, data, turn)
        request = CreateRequest(
            item=prepared.todo.item.id,
            image=image.url,
            output=prepared.todo.output,
            fingerprint=prepared.fingerprint,
            attempt=attempt + turn.losses,
            possible_duplicate=turn.doubtful,
            until=image.expires_at,
        )
        since = self._tools.clock.stamp()
        try:
            created = await self._provider.create(request)
        except CreateLost:
            turn.losses += 1
            turn.lost = Lost(key_of(image.url), since)
            raise
        self._lost.answered(created)
        turn.purchased(created.id)
        return created
