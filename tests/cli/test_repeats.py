"""A repeated warning is said once with a count, and once when it is over."""

from __future__ import annotations

from batch_removebg.cli.repeats import Repeats


def test_a_warning_is_said_once_and_counted_until_none_came_for_a_minute() -> None:
    said: list[str] = []
    now = 0.0
    repeats = Repeats(said.append, lambda: now)
    for now in (0.0, 30.0, 80.0):
        repeats.warn(f"no answer from https://api.example/v{now}; the run pauses for {now} s")
    repeats.warn("the profile was left out", "a.jpg")
    assert said == [
        "no answer from https://api.example/v0.0; the run pauses for 0.0 s",
        "a.jpg: the profile was left out",
    ]
    now = 139.0
    repeats.settle()
    assert len(said) == 2
    now = 140.0
    repeats.settle()
    over = "2 more like this, and none for a minute: no answer from https://api.example/v0.0; the run pauses for 0.0 s"
    assert said[2:] == [over]
    repeats.warn("the profile was left out", "b.jpg")
    repeats.warn("the profile was left out", "c.jpg")
    repeats.settle(ended=True)
    assert said[3:] == ["b.jpg: the profile was left out", "1 more like this: the profile was left out"]
