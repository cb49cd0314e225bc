"""All errors of this package, in families by what their callers do next.

    BatchError
    ├── UsageError             stop before anything is bought; exit 2
    ├── LockedError            another run holds OUT; exit 11
    ├── AbortError             ABORT: stop creating, still collect paid results; exit 4
    ├── ItemError              FAIL: this item ends failed, the others go on
    ├── RetryError             RETRY: send the same request again, after `retry_after` or a back-off
    ├── CreateLost             LOOK_UP: the create may have been accepted; look before sending it again
    ├── ResubmitError          RESUBMIT: this prediction is lost, buy another within the budget
    ├── Postponed, Stopping    LEAVE: the item stays pending; what is paid for may still come, or the run is stopping
    ├── Interrupted            a signal asked the run to stop; exit 128 + its number
    ├── WindowClosed           the run's time is over; exit 5, and the next run goes on
    └── RouteFailed            one way of downloading weights failed; another may work

`verdict` says what to do next; `kind` is the word in the ledger, the results and the summary.
"""

from __future__ import annotations

import enum
import shlex
import signal
from pathlib import Path
from typing import ClassVar

INSTALL = (
    "pip install '.[{0}]' in a checkout of batch-removebg, "
    "or pipx install --force 'batch-removebg[{0}] @ git+URL' with its repository's URL"
)
"""How an extra is installed: the package is on no index."""


class Verdict(enum.Enum):
    """What the caller of a failed step has to do; the families above say it of each."""

    RETRY = "retry"
    LOOK_UP = "look up"
    RESUBMIT = "resubmit"
    FAIL = "fail"
    LEAVE = "leave"
    ABORT = "abort"


class BatchError(Exception):
    """Base of every error that this package raises on purpose; its text is meant for users."""

    verdict: ClassVar[Verdict] = Verdict.ABORT
    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    of_content: ClassVar[bool] = False  # whether every other item with the same content would fail in the same way
    attempts: int = 0  # predictions bought for the item before the error
    answer: str = ""  # what the server said, for the verdict on a run whose predictions are all alike

    def __init_subclass__(cls, **told: object) -> None:
        """`told`: the attributes above that differ from those of the base class."""
        for name, value in told.items():
            setattr(cls, name, value)


class UsageError(BatchError, kind="usage", exit_code=2):
    """The command can't be carried out as given; nothing was bought."""


class SettingsError(UsageError, kind="settings"):
    """A flag, a setting or an environment variable is missing or invalid."""


class WeightsMissing(SettingsError):
    """The weights aren't on this machine and couldn't be downloaded; the text says how to supply them."""


class ManifestError(UsageError, kind="manifest"):
    """The manifest can't be read or contradicts itself; the text names file and line."""


class LockedError(BatchError, kind="locked", exit_code=11):
    """Another run is writing to this OUT."""


class AbortError(BatchError, kind="aborted", exit_code=4):
    """The run can't go on: nothing more is created, paid results are still collected."""


class KeyRejected(AbortError, kind="key"):
    """401 or 403: the server doesn't accept the key."""


class OutOfCredit(AbortError, kind="credit"):
    """402 or a gateway's quota: the account has no credit left."""


class VersionRejected(AbortError, kind="version"):
    """422: the model version doesn't exist or isn't available to this account."""


class NotAnApi(AbortError, kind="base-url"):
    """HTML, a redirect: something other than a predictions API answers at the base URL."""


class PageInstead(NotAnApi):
    """A web page with status 200; a create may have been accepted behind it."""


class BudgetReached(AbortError, kind="budget"):
    """The run has bought as many predictions as --max-predictions allows."""


class NothingUsable(AbortError, kind="nothing-usable"):
    """Several items in a row ended alike, without a picture."""


class ServerDown(AbortError, kind="server-down"):
    """The server has answered with errors only, for longer than a run waits."""


class ClusterLost(AbortError, kind="cluster"):
    """The Ray cluster that works for the run is gone, or doesn't answer any more."""


class DiskError(AbortError, kind="disk"):
    """OUT can't be written."""


class LedgerError(AbortError, kind="ledger"):
    """The ledger can't be read or written."""


class LedgerDamaged(LedgerError):
    """The ledger isn't what it was: it has to be restored or repaired, or a new one begun."""

    def __init__(self, path: Path, what: str) -> None:
        mend = f"`batch-removebg repair {shlex.quote(str(path.parent))}` (--dry-run says what that would do)"
        super().__init__(
            f"{path}: {what}. Nothing is bought until that is settled: restore it from a backup, mend it by {mend}, or "
            "begin a new one by `run --start-over`; both keep what there is"
        )


class DecisionsDamaged(LedgerError):
    """The file of decisions holds something that is none."""

    def __init__(self, path: Path, what: str) -> None:
        mend = f"`batch-removebg repair {shlex.quote(str(path.parent))}` (--dry-run says what that would do)"
        super().__init__(f"{path}: {what}. Restore it from a backup, or mend it by {mend}, which keeps sound lines")


class IndexDamaged(LedgerError):
    """The ledger's index is damaged; the next run rebuilds it."""

    def __init__(self, what: object) -> None:
        super().__init__(f"the index of the ledger can't be read ({what}); run the same command again to rebuild it")


class ItemError(BatchError, kind="item", verdict=Verdict.FAIL):
    """One item can't be processed, now or later. The text has no subject ("is empty"): the item's name precedes it."""


class SourceError(ItemError, kind="source"):
    """The source can't be read, or isn't a picture that this program can decode."""


class Forbidden(SourceError):
    """401 or 403 from the host of a URL: a header may open it."""


class WorkFailed(SourceError, kind="crash", of_content=True):
    """Work on the picture crashed its process, or took longer than any picture should."""


class InputRejected(ItemError, kind="rejected", of_content=True):
    """The server refuses this input for good (422 input validation, 413, other 4xx)."""


class PredictionFailed(ItemError, kind="prediction", of_content=True):
    """The model ran and refuses this picture for good."""


class SpentPicture(ItemError, kind="spent"):
    """What was bought for the item is left only as a picture that can't give the one that is wanted."""


class CreateUnaccounted(ItemError, kind="lost-create", of_content=True):
    """The create may have been accepted, can't be looked up, and may not be sent again."""


class RetryError(BatchError, kind="server", verdict=Verdict.RETRY):
    """A transient failure: the same request may be sent again."""

    def __init__(
        self, message: str, *, retry_after: float | None = None, limit: tuple[float, float] | None = None
    ) -> None:
        """`retry_after`: seconds that the server asked to wait; `limit`: its requests a second and burst, if stated."""
        super().__init__(message)
        self.retry_after, self.limit = retry_after, limit


def kinds(family: type[BatchError]) -> frozenset[str]:
    """The kinds of the errors of a family."""
    families = [family]
    for one in families:
        families += one.__subclasses__()
    return frozenset(one.kind for one in families)


class RateLimited(RetryError, kind="rate-limit"):
    """429: too many requests."""


class ServerError(RetryError):
    """408 or 5xx: the server failed."""


class ConnectionFailed(RetryError, kind="connection"):
    """The connection failed where repeating the request is safe."""


class AnswerTooLong(ConnectionFailed):
    """The answer came, and is larger than any that is read."""


class Unreachable(ConnectionFailed):
    """No connection was made at all: nothing listens there, or the name doesn't resolve."""


class OutOfReach(RetryError):
    """Failures of the server for longer than one item waits: tried again by the next run."""


class Busy(RetryError):
    """Our own server's queue or disk is full; the request may succeed later."""


class CreateLost(BatchError, kind="lost-create", verdict=Verdict.LOOK_UP):
    """A create was sent and got no answer: it may have been accepted, and billed."""


class ResubmitError(BatchError, kind="prediction", verdict=Verdict.RESUBMIT):
    """The prediction gives no picture; another one may."""


class PredictionLost(ResubmitError, kind="prediction-lost"):
    """404 on the poll: the server no longer has the prediction; or it has deleted the output."""


class PredictionInterrupted(ResubmitError, kind="prediction-interrupted"):
    """Ended `aborted`, `canceled`, or `failed` with a transient code."""


class UploadExpired(ResubmitError, kind="upload-expired"):
    """The upload expired before its create was accepted; nothing was bought."""


class PredictionStuck(ResubmitError, kind="prediction-stuck"):
    """The prediction did not end within the deadline."""


class OutputBroken(ResubmitError, kind="output"):
    """The output isn't a picture, has no alpha, or has another shape than its input."""


class NoAlpha(OutputBroken):
    """The output is a whole picture without transparency: to fetch it again changes nothing."""


class Postponed(BatchError, kind="postponed", verdict=Verdict.LEAVE):
    """What is paid for, or may be, can't be had now, or the source's host is down; the item stays pending."""


class Stopping(BatchError, kind="stopping", verdict=Verdict.LEAVE):
    """The run stops before this item was bought; it stays pending for the next run."""


class Interrupted(BatchError, kind="interrupted"):
    """A signal asked the run to stop: nothing more is created, paid results are still collected."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


class WindowClosed(BatchError, kind="window", exit_code=5):
    """The time that the run was given is over: nothing more is created, and the next run goes on with what is left."""


class RouteFailed(BatchError, kind="weights"):
    """One way of downloading the weights failed; another may work."""
