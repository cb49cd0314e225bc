"""What listeners hear."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from batch_removebg.events import Event, Kind, ignore


def test_an_event_is_a_value() -> None:
    assert Event(Kind.SAVED, "shoe", text="shoe.png") == Event(Kind.SAVED, item="shoe", text="shoe.png", count=1)
    with pytest.raises(FrozenInstanceError):
        Event(Kind.SAVED).item = "hat"  # type: ignore[misc]  # that is the point


def test_the_words_of_events_are_those_scripts_read() -> None:
    assert [kind.value for kind in Kind] == [
        "begun", "total", "found", "skipped", "started", "saved", "failed", "pending", "waiting", "warning", "note",
        "stopping",
    ]  # fmt: skip


def test_nobody_has_to_listen() -> None:
    ignore(Event(Kind.SAVED))
