"""The time that a run has: when it has to have ended, and when it buys its last prediction so that all come home."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

from anyio import CancelScope

from batch_removebg.clock import Clock
from batch_removebg.errors import SettingsError, WindowClosed
from batch_removebg.pipeline.context import Context
from batch_removebg.providers.polling import RunTimes

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SET_BACK = 3600.0
"""Seconds that a clock which is set back may add to `--until`: small corrections are followed, but one that was hours
ahead doesn't make a night's run last into the day. To end early costs nothing, since the next run goes on."""
_LOOK = 5.0  # seconds between two looks at the clocks, which may jump
_ALL, _SPARE, _LANDING = 0.95, 1.5, 5.0
"""Quantile of the times from create to picture, what it is multiplied by, and seconds that are added."""
UNKNOWN, _OWN = 30.0, 10.0  # seconds that are set aside before it was ever known, by an API and by the engine here


def seconds(text: str) -> float:
    """Seconds of `4h`, `90m`, `1h30m` or `3600`; raises SettingsError."""
    found = re.fullmatch("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in "dhm") + "(?:([0-9]{1,9})s?)?", text)
    total = (
        sum(int(count or 0) * _UNITS[unit] for count, unit in zip(found.groups(), _UNITS, strict=True)) if found else 0
    )
    if not total:
        raise SettingsError(f"{text}: give a time such as 4h, 90m, 1h30m or 3600 (seconds)")
    return total


def spoken(time_left: float) -> str:
    """Seconds as people say them, such as `3 h 12 min`."""
    minutes, rest = divmod(max(0, round(time_left)), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes >= 2 else f"{60 * minutes + rest} s"


def deadline(now: float, until: str, zone: tzinfo | None = None) -> float:
    """The next moment, in seconds since 1970, at which clocks in the zone show `until`; None: those of this machine.

    A time that clocks leave out is the moment at which they do so, and of one that they show twice each counts. A whole
    date and time, as `fixed` gives it, stands for itself. Raises SettingsError.
    """
    try:
        if "T" in until:
            given = datetime.fromisoformat(until)
            return (given if given.tzinfo is not None else given.replace(tzinfo=zone)).timestamp()
        if not re.fullmatch("[0-9]{2}:[0-9]{2}(:[0-9]{2})?", until):
            raise ValueError
        shown = time.fromisoformat(until)
    except ValueError as error:
        raise SettingsError(f"{until}: give a time of the clock here, such as 06:00") from error
    today = datetime.fromtimestamp(now, zone).date()
    days = (datetime.combine(today + timedelta(ahead), shown, zone) for ahead in range(3))
    return next(moment for day in days for moment in _moments(day) if moment > now)


def check(until: str, now: float) -> None:
    """Raise SettingsError where that is a date and time that is past; what a loop has `fixed` may well be."""
    if (moment := deadline(now, until)) <= now:
        end, here = (datetime.fromtimestamp(at).astimezone().isoformat(" ", "minutes") for at in (moment, now))
        raise SettingsError(f"--until {until}: {end} is past, since it is {here}; give a time that is to come")


def _moments(shown: datetime) -> tuple[float, ...]:
    """When clocks show that, in seconds since 1970."""
    first, second = shown.timestamp(), shown.replace(fold=1).timestamp()
    if first <= second:
        return first, second
    around, wanted = range(int(second), int(first) + 1), shown.replace(tzinfo=None)
    there = bisect_left(
        around, True, key=lambda at: datetime.fromtimestamp(at, shown.tzinfo).replace(tzinfo=None) >= wanted
    )
    return (float(around[there]),)


def fixed(until: str, now: float) -> str:
    """The same as a whole date and time, which stays what it is for the runs after that."""
    return datetime.fromtimestamp(deadline(now, until)).astimezone().isoformat()


def usual(flights: RunTimes) -> float | None:
    """Seconds from create to picture by which nearly all items are home; None while too few are known."""
    found = flights.quantile(_ALL)
    return found and round(found, 3)


def last_purchase(deadline: float, flight: float | None, *, unknown: float) -> float:
    """The moment after which nothing is bought any more, so that what is in flight comes home by the deadline.

    `flight`: what is `usual`; `unknown`: what is set aside where that isn't known.
    """
    return deadline - (unknown if flight is None else _SPARE * max(0.0, flight) + _LANDING)


@dataclass(frozen=True, slots=True)
class Window:
    """The time that a run has, by the clocks on the wall, which may jump, and by one that doesn't."""

    ends: tuple[tuple[Callable[[], float], float, str], ...]  # each clock, the moment on it, and the flag behind it

    def left(self) -> tuple[float, str]:
        """Seconds that are left, and the flag that says so."""
        return min((moment - now(), flag) for now, moment, flag in self.ends)

    def told(self, clock: Clock, zone: tzinfo | None = None) -> str:
        """What a run says of it as it begins: `until 06:00, in 3 h 12 min; clocks change before that`."""
        left = self.left()[0]
        now, end = (datetime.fromtimestamp(clock.wall() + ahead, zone).astimezone(zone) for ahead in (0, left))
        changed = "" if now.utcoffset() == end.utcoffset() else "; clocks change before that"
        return f"until {end:%H:%M}, in {spoken(left)}{changed}"


def window(until: str | None, max_runtime: str | None, clock: Clock, zone: tzinfo | None = None) -> Window | None:
    """The time that a run has which begins now; None: any. Raises SettingsError."""
    ends: list[tuple[Callable[[], float], float, str]] = []
    if until is not None:
        end = deadline(clock.wall(), until, zone)
        flag = f"--until {datetime.fromtimestamp(end, zone):%H:%M}"
        ends.append((clock.wall, end, flag))
        ends.append((clock.monotonic, clock.monotonic() + end - clock.wall() + _SET_BACK, flag))
    if max_runtime is not None:
        ends.append((clock.monotonic, clock.monotonic() + seconds(max_runtime), f"--max-runtime {max_runtime}"))
    return Window(tuple(ends)) if ends else None


async def keep(window: Window, context: Context, run: CancelScope, flights: RunTimes) -> None:
    """Let the run buy as long as that can come home in time, and end it when there is none left."""
    clock, unknown = context.clock, UNKNOWN if context.provider.capabilities.billed else _OWN
    before = context.ledger.fold.run.flight  # of earlier runs
    while (rest := last_purchase(window.left()[0], usual(flights) or before, unknown=unknown)) > 0.001:
        await clock.sleep(min(rest, _LOOK))
    left, flag = window.left()
    context.gate.close(
        WindowClosed(f"{flag}: what begins now would not be done by then ({left - rest:.0f} s are set aside)")
    )
    while (rest := window.left()[0]) > 0.001:
        await clock.sleep(min(rest, _LOOK))
    run.cancel()
