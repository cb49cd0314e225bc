"""Everything that can go wrong, and what to do about it.

    BatchError
    ├── UsageError             stop before anything is bought; exit 2
    │   ├── SettingsError          a flag, a setting, the environment
    │   │   ├── DeviceAbsent           a device or precision that this machine doesn't have
    │   │   └── WeightsMissing         the network's weights can't be downloaded
    │   └── ManifestError          names file and line
    ├── LockedError            another run holds OUT; exit 11
    ├── AbortError             ABORT: stop creating, bring home what is paid for; exit 4
    │   ├── KeyRejected            401, 403
    │   ├── OutOfCredit            402, a gateway's quota
    │   ├── VersionRejected        422 "Invalid version or not permitted"
    │   ├── NotAnApi               HTML or a redirect where the API should answer
    │   │   └── PageInstead            HTML with status 200: a create may have been accepted all the same
    │   ├── BudgetReached          --max-predictions
    │   ├── ServerDown             nothing but errors for longer than a run waits
    │   ├── DiskError              OUT can't be written
    │   └── LedgerError            the ledger can't be read or written
    │       └── IndexDamaged           its index can't: it is thrown away and made anew
    ├── ItemError              FAIL: this item ends failed, the others go on
    │   ├── SourceError            the source can't be read, or is no picture
    │   ├── InputRejected          the server refuses this input for good
    │   ├── PredictionFailed       the model refuses this picture for good
    │   ├── OutputError            what came back can't be used, after all tries
    │   └── CreateUnaccounted      a create that may have been accepted, and can't be looked for
    ├── RetryError             RETRY: the same request again, after `retry_after` or a back-off
    │   ├── RateLimited            429
    │   ├── ServerError            408, 5xx
    │   ├── ConnectionFailed       the connection broke where repeating does no harm
    │   │   └── Unreachable            no connection came about at all
    │   └── Busy                   our own server's queue or disk is full
    ├── CreateLost             LOOK_UP: the create may have been accepted; never sent again blindly
    ├── ResubmitError          RESUBMIT: this prediction is spent, buy another within the budget
    │   ├── PredictionLost         404 on the poll, or its data is gone
    │   ├── PredictionInterrupted  failed with a transient code, aborted, canceled
    │   ├── UploadExpired          the server has forgotten the input before the create could go
    │   ├── PredictionStuck        no end within the deadline
    │   └── OutputBroken           not a picture, no alpha, wrong size
    ├── Stopping               the run is being stopped; the item stays pending
    ├── Interrupted            a signal asked the run to stop; exit 128 + its number
    └── RouteFailed            one way of downloading weights failed; another may work

A class states its remedy in `verdict`; `kind` is the word that ledger, results and summary use.
"""

from __future__ import annotations

import enum
import signal
from typing import ClassVar


class Verdict(enum.Enum):
    """What the caller of a failed step does next."""

    RETRY = "retry"
    """Send the same request again; it was not accepted, or repeating it does no harm."""
    LOOK_UP = "look up"
    """The request may have been accepted: find out before sending it again."""
    RESUBMIT = "resubmit"
    """The prediction is spent: create a new one, within the content's budget."""
    FAIL = "fail"
    """This item ends failed; the others go on."""
    ABORT = "abort"
    """Stop creating for the whole run; bring home what is in flight."""


class BatchError(Exception):
    """Base of every error this package raises on purpose; its text is fit for a user."""

    verdict: ClassVar[Verdict] = Verdict.ABORT
    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    of_content: ClassVar[bool] = False
    """Of an item that fails: whether every other one with the same content would fail likewise."""
    attempts: int = 0
    """Predictions bought for the item before it came to this."""


class UsageError(BatchError):
    """The command can't be carried out as given; nothing was bought."""

    kind = "usage"
    exit_code = 2


class SettingsError(UsageError):
    """A flag, a setting or an environment variable is missing or makes no sense."""

    kind = "settings"


class DeviceAbsent(SettingsError):
    """The device or precision that was asked for can't be had here; the text says what is missing."""


class WeightsMissing(SettingsError):
    """The weights are not on this machine and could not be brought; the text says how to supply them."""


class ManifestError(UsageError):
    """The manifest is unreadable or contradicts itself; the text names file and line."""

    kind = "manifest"


class LockedError(BatchError):
    """Another run is writing to this OUT."""

    kind = "locked"
    exit_code = 11


class AbortError(BatchError):
    """The run can't go on: nothing more is created, what is in flight is brought home."""

    kind = "aborted"
    exit_code = 4


class KeyRejected(AbortError):
    """The server does not accept the key."""

    kind = "key"


class OutOfCredit(AbortError):
    """The account has no money left."""

    kind = "credit"


class VersionRejected(AbortError):
    """The model version does not exist or is not open to this account."""

    kind = "version"


class NotAnApi(AbortError):
    """Something answers at the base URL, but it is not a predictions API."""

    kind = "base-url"


class PageInstead(NotAnApi):
    """A web page with status 200: no API's answer, and yet a create behind it may have been accepted."""


class BudgetReached(AbortError):
    """The run has bought as many predictions as it was allowed to."""

    kind = "budget"


class ServerDown(AbortError):
    """The server has given nothing but errors for longer than the run is willing to wait."""

    kind = "server-down"


class DiskError(AbortError):
    """OUT can't be written."""

    kind = "disk"


class LedgerError(AbortError):
    """The ledger can't be read or written."""

    kind = "ledger"


class IndexDamaged(LedgerError):
    """The index is not what was written: it goes, and the next run makes it anew."""

    def __init__(self, what: object) -> None:
        super().__init__(
            f"the index of the ledger can't be read ({what}); run the same command again, which makes it anew"
        )


class ItemError(BatchError):
    """One item can't be done; trying it again unchanged would not help.

    Its text leaves the item out ("is empty"): wherever it is shown, the item stands before it.
    """

    verdict = Verdict.FAIL
    kind = "item"


class SourceError(ItemError):
    """The source can't be read, or is not a picture this program can decode."""

    kind = "source"


class InputRejected(ItemError):
    """The server refuses this input for good (422 input validation, 413, other 4xx)."""

    kind = "rejected"
    of_content = True


class PredictionFailed(ItemError):
    """The model ran and refuses this picture for good."""

    kind = "prediction"
    of_content = True


class OutputError(ItemError):
    """What came back could not be used, after all tries."""

    kind = "output"


class CreateUnaccounted(ItemError):
    """The create may have been accepted, can't be looked for, and may not be sent again."""

    kind = "lost-create"
    of_content = True


class RetryError(BatchError):
    """A passing trouble: the same request may be sent again."""

    verdict = Verdict.RETRY
    kind = "server"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """`retry_after`: seconds the server asked to wait, where it did."""
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(RetryError):
    """429: too many requests."""

    kind = "rate-limit"

    def __init__(
        self, message: str, *, retry_after: float | None = None, limit: tuple[float, float] | None = None
    ) -> None:
        """`limit`: requests a second and burst, where the server spelled them out."""
        super().__init__(message, retry_after=retry_after)
        self.limit = limit


class ServerError(RetryError):
    """408 or 5xx: the server is in trouble."""


class ConnectionFailed(RetryError):
    """No connection, or it broke where repeating the request does no harm."""

    kind = "connection"


class Unreachable(ConnectionFailed):
    """No connection came about at all: nothing listens there, or the name does not resolve."""


class Busy(RetryError):
    """Our own server's queue or disk is full; the request may succeed later."""


class CreateLost(BatchError):
    """A create was sent and its answer never came: it may have been accepted, and billed."""

    verdict = Verdict.LOOK_UP
    kind = "lost-create"


class ResubmitError(BatchError):
    """The prediction will give no picture; a new one may."""

    verdict = Verdict.RESUBMIT
    kind = "prediction"


class PredictionLost(ResubmitError):
    """The server no longer has the prediction, or has wiped its output."""

    kind = "prediction-lost"


class PredictionInterrupted(ResubmitError):
    """Ended `failed` with a code that a new attempt may not meet, or `aborted`, or `canceled`."""

    kind = "prediction-interrupted"


class UploadExpired(ResubmitError):
    """What was uploaded is no longer held by the server at the moment of its create; nothing was bought."""

    kind = "upload-expired"


class PredictionStuck(ResubmitError):
    """Did not end within the deadline."""

    kind = "prediction-stuck"


class OutputBroken(ResubmitError):
    """The output is not a picture, has no alpha, or has another shape than its input."""

    kind = "output"


class Stopping(BatchError):
    """The run stops before this item was bought; it stays pending for the next run."""

    kind = "stopping"


class Interrupted(BatchError):
    """A signal asked the run to stop: nothing more is created, what is in flight is brought home."""

    kind = "interrupted"

    def __init__(self, number: int) -> None:
        """`number`: the signal's."""
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


class RouteFailed(BatchError):
    """One way of bringing the weights did not work; another may."""

    kind = "weights"
