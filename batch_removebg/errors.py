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
    └── RouteFailed            one way of downloading weights failed; another may work

`verdict` says what to do next; `kind` is the word in the ledger, the results and the summary.
"""

from __future__ import annotations

import enum
import shlex
import signal
from pathlib import Path
from typing import ClassVar


class Verdict(enum.Enum):
    """What the caller of a failed step has to do."""

    RETRY = "retry"
    """Send the same request again; it was not accepted, or repeating it is safe."""
    LOOK_UP = "look up"
    """The request may have been accepted; find out before sending it again."""
    RESUBMIT = "resubmit"
    """The prediction is lost; create another, within the content's budget."""
    FAIL = "fail"
    """Record this item as failed; the others go on."""
    LEAVE = "leave"
    """Leave this item pending; the next run goes on with it."""
    ABORT = "abort"
    """Stop creating for the whole run; still collect paid results."""


class BatchError(Exception):
    """Base of every error that this package raises on purpose; its text is meant for users."""

    verdict: ClassVar[Verdict] = Verdict.ABORT
    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    of_content: ClassVar[bool] = False
    """Whether every other item with the same content would fail in the same way."""
    attempts: int = 0
    """Predictions bought for the item before the error."""

    def __init_subclass__(cls, *, kind: str | None = None) -> None:
        """`kind`: by default that of the class above."""
        if kind is not None:
            cls.kind = kind


class UsageError(BatchError, kind="usage"):
    """The command can't be carried out as given; nothing was bought."""

    exit_code = 2


class SettingsError(UsageError, kind="settings"):
    """A flag, a setting or an environment variable is missing or invalid."""


class DeviceAbsent(SettingsError):
    """The requested device or precision isn't available on this machine; the text says what is missing."""


class WeightsMissing(SettingsError):
    """The weights aren't on this machine and couldn't be downloaded; the text says how to supply them."""


class ManifestError(UsageError, kind="manifest"):
    """The manifest can't be read or contradicts itself; the text names file and line."""


class LockedError(BatchError, kind="locked"):
    """Another run is writing to this OUT."""

    exit_code = 11


class AbortError(BatchError, kind="aborted"):
    """The run can't go on: nothing more is created, paid results are still collected."""

    exit_code = 4


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


class IndexDamaged(LedgerError):
    """The ledger's index is damaged; the next run rebuilds it."""

    def __init__(self, what: object) -> None:
        super().__init__(f"the index of the ledger can't be read ({what}); run the same command again to rebuild it")


class ItemError(BatchError, kind="item"):
    """One item can't be processed; trying it again unchanged would not help.

    The text has no subject ("is empty"): wherever it is shown, the item's name precedes it.
    """

    verdict = Verdict.FAIL


class SourceError(ItemError, kind="source"):
    """The source can't be read, or isn't a picture that this program can decode."""


class WorkFailed(SourceError, kind="crash"):
    """Work on the picture crashed its process, or took longer than any picture should."""

    of_content = True


class InputRejected(ItemError, kind="rejected"):
    """The server refuses this input for good (422 input validation, 413, other 4xx)."""

    of_content = True


class PredictionFailed(ItemError, kind="prediction"):
    """The model ran and refuses this picture for good."""

    of_content = True


class CreateUnaccounted(ItemError, kind="lost-create"):
    """The create may have been accepted, can't be looked up, and may not be sent again."""

    of_content = True


class RetryError(BatchError, kind="server"):
    """A transient failure: the same request may be sent again."""

    verdict = Verdict.RETRY

    def __init__(
        self, message: str, *, retry_after: float | None = None, limit: tuple[float, float] | None = None
    ) -> None:
        """`retry_after`: seconds that the server asked to wait; `limit`: its requests a second and burst, if stated."""
        super().__init__(message)
        self.retry_after, self.limit = retry_after, limit


class RateLimited(RetryError, kind="rate-limit"):
    """429: too many requests."""


class ServerError(RetryError):
    """408 or 5xx: the server failed."""


class ConnectionFailed(RetryError, kind="connection"):
    """The connection failed where repeating the request is safe."""


class Unreachable(ConnectionFailed):
    """No connection was made at all: nothing listens there, or the name doesn't resolve."""


class OutOfReach(RetryError):
    """Failures of the server for longer than one item waits: tried again by the next run."""


class Busy(RetryError):
    """Our own server's queue or disk is full; the request may succeed later."""


class CreateLost(BatchError, kind="lost-create"):
    """A create was sent and got no answer: it may have been accepted, and billed."""

    verdict = Verdict.LOOK_UP


class ResubmitError(BatchError, kind="prediction"):
    """The prediction gives no picture; another one may."""

    verdict = Verdict.RESUBMIT


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


class Postponed(BatchError, kind="postponed"):
    """A prediction is paid for, or may be, and can't be had now; the item stays pending for the next run."""

    verdict = Verdict.LEAVE


class Stopping(BatchError, kind="stopping"):
    """The run stops before this item was bought; it stays pending for the next run."""

    verdict = Verdict.LEAVE


class Interrupted(BatchError, kind="interrupted"):
    """A signal asked the run to stop: nothing more is created, paid results are still collected."""

    def __init__(self, number: int) -> None:
        """`number`: of the signal."""
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


class RouteFailed(BatchError, kind="weights"):
    """One way of downloading the weights failed; another may work."""
