"""How the simulated API behaves in a case, and the limit it keeps: values and small state machines, no sockets."""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket's numbers; no `per_minute` is no limit."""

    per_minute: float | None = None
    burst: int = 10


@dataclass(frozen=True, slots=True)
class RunTimes:
    """How long predictions run: log-normal, and a share of cold starts; no median: they end at once."""

    median: float | None = None
    sigma: float = 0.35
    cold_share: float = 0.0
    cold_seconds: float = 20.0

    def draw(self, random_: random.Random) -> float:
        """Seconds of one prediction."""
        if self.median is None:
            return 0.0
        if random_.random() < self.cold_share:
            return self.cold_seconds
        return self.median * math.exp(self.sigma * random_.gauss(0.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The settings of a case."""

    creates: Limit = Limit()
    changes: tuple[tuple[float, Limit], ...] = ()
    """Other limits for creates, from so many seconds after the first create on."""
    rejected_count: bool = False
    """Rejected creates take a token as well, as on the hosted API."""
    low_credit: bool = False
    """A 429 says what the hosted API says while there is little credit; else it has a plain body and `Retry-After`."""
    others: Limit = Limit(3000, 100)
    """For everything but creates and outputs."""
    run: RunTimes = RunTimes()
    prefer_wait: bool = True
    """Whether `Prefer: wait` is honoured, and said to be; else it is ignored."""
    interrupted: float = 0.0
    """Share of predictions that end failed, in a way that a new one may not."""
    file_seconds: float = 86_400.0
    """How long an uploaded file can be an input."""
    picture: int = 200_000
    """Bytes of an output, about; where the input was uploaded, the output is as large as that in pixels instead."""
    seed: int = 1

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Behaviour:
        given: dict[str, Any] = json.loads(text)
        limits = {name: Limit(**given.pop(name)) for name in ("creates", "others") if name in given}
        changes = tuple((after, Limit(**limit)) for after, limit in given.pop("changes", ()))
        return cls(**limits, changes=changes, run=RunTimes(**given.pop("run", {})), **given)


@dataclass(slots=True)
class Bucket:
    """Who may pass; the time is an argument."""

    limit: Limit
    rejected_count: bool = False
    _tokens: float = field(init=False)
    _at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._tokens = float(self.limit.burst)

    def take(self, now: float) -> float:
        """Take a token and return 0; or the seconds until there is one.

        Where rejected attempts count, the debt they make is a burst at most.
        """
        if self.limit.per_minute is None:
            return 0.0
        self._fill(now)
        if self._tokens >= 1 - 1e-9:
            self._tokens -= 1
            return 0.0
        if self.rejected_count:
            self._tokens = max(-float(self.limit.burst), self._tokens - 1)
        return (1 - self._tokens) * 60 / self.limit.per_minute

    def become(self, limit: Limit, now: float) -> None:
        """Another limit from now on; what was owed is forgiven."""
        self._fill(now)
        self.limit, self._tokens = limit, max(0.0, self._tokens)

    def _fill(self, now: float) -> None:
        passed = now - self._at if self._at is not None else 0.0
        self._tokens = min(float(self.limit.burst), self._tokens + passed * (self.limit.per_minute or 0.0) / 60)
        self._at = now


def refusal(limit: Limit, wait: float, *, low_credit: bool) -> tuple[bytes, bytes]:
    """Body and header lines of a 429."""
    seconds = math.ceil(wait)
    if not low_credit:
        return b'{"detail":"Request was throttled.","status":429}', b"Retry-After: %d\r\n" % seconds
    text = (
        f"Request was throttled. Your rate limit for creating predictions is reduced to {limit.per_minute:g} requests "
        f"per minute with a burst of {limit.burst} requests while you have less than $5.0 in credit. "
        f"Your rate limit resets in ~{seconds}s."
    )
    return json.dumps({"detail": text, "status": 429, "retry_after": seconds}).encode(), b""
