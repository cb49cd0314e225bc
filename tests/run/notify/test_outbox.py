"""Signatures of webhooks, and the events that wait."""

from __future__ import annotations

import base64
import errno
import os
from pathlib import Path

import pytest

from batch_removebg.run.notify.outbox import Outbox, signed

DAY = 86400.0


def test_the_example_of_standard_webhooks_has_its_signature() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330")


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox", "env:HOOK")


def test_events_wait_in_the_order_of_their_times_and_only_for_their_own_webhook(box: Outbox) -> None:
    later, first = box.put(b"later\nand more", 1e9 + 1), box.put(b"first", 1e9)
    Outbox(box.folder, "env:OTHER").put(b"other", 1e9)
    assert box.waiting(1e9) == [first, later]
    box.clear()
    assert box.waiting(1e9) == []
    assert len(list(box.folder.iterdir())) == 1


def test_what_waits_is_bounded_in_number_and_age(box: Outbox) -> None:
    events = [box.put(b"x", 1e9 + n) for n in range(103)]
    assert box.waiting(1e9 + 103) == events[3:]
    assert len(list(box.folder.iterdir())) == 100
    assert box.waiting(1e9 + 50 + 5 * DAY) == events[50:]
    assert len(list(box.folder.iterdir())) == 53


def test_files_of_others_and_broken_ones_are_left_or_removed_and_never_sent(box: Outbox) -> None:
    event = box.put(b"x", 1e9)
    (box.folder / "notes.txt").write_bytes(b"env:HOOK\nx")
    (box.folder / "msg_x_y").write_bytes(b"env:HOOK\nx")
    (box.folder / "msg_1000000000001_torn").write_bytes(b"env:HO\xff")
    assert box.waiting(1e9 + 1) == [event]
    assert not (box.folder / "msg_x_y").exists()


def test_an_event_that_can_not_wait_is_given_to_be_sent_all_the_same(
    box: Outbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere = Outbox(tmp_path / "gone" / "outbox", "env:HOOK")
    assert nowhere.put(b"x", 1e9)[1] == b"x"
    assert not (tmp_path / "gone").exists()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert box.put(b"x", 1e9)[1] == b"x"
    assert list(box.folder.iterdir()) == []
