"""Bytes kept for an hour under names nobody can guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.local_doubles import Hands, shelf

pytestmark = pytest.mark.anyio


@pytest.fixture
def hands() -> Hands:
    return Hands()


async def test_what_is_put_lies_under_its_name_until_it_is_dropped(hands: Hands, tmp_path: Path) -> None:
    kept = shelf(tmp_path / "s", hands)
    name = await kept.put(b"cat")
    path = kept.path(name)
    assert path is not None
    assert path.read_bytes() == b"cat"
    kept.drop(name)
    kept.drop(name)
    assert kept.path(name) is None
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "..", "../secret", "/etc/passwd"])
async def test_a_name_that_was_not_given_out_leads_nowhere(name: str, hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    kept = shelf(tmp_path / "s", hands)
    assert kept.path(name) is None
    kept.drop(name)
    assert (tmp_path / "secret").exists()


async def test_each_file_has_its_own_hour(hands: Hands, tmp_path: Path) -> None:
    kept = shelf(tmp_path / "s", hands)
    early = await kept.put(b"1")
    hands.now += 1
    late = await kept.put(b"2")
    hands.now += 3599
    kept.sweep()
    assert [path.name for path in (tmp_path / "s").iterdir()] == [late]
    assert kept.path(early) is None


async def test_the_oldest_go_when_the_room_is_used_up(hands: Hands, tmp_path: Path) -> None:
    kept = shelf(tmp_path / "s", hands, room=10)
    names = [await kept.put(b"12345") for _ in range(3)]
    assert [kept.path(name) is None for name in names] == [True, False, False]
    huge = await kept.put(b"x" * 11)  # stays, or nothing so large could ever be kept
    assert [path.name for path in (tmp_path / "s").iterdir()] == [huge]


async def test_a_failed_write_leaves_nothing_behind(hands: Hands, tmp_path: Path) -> None:
    kept = shelf(tmp_path / "s", hands)
    (tmp_path / "s").rmdir()
    with pytest.raises(FileNotFoundError):
        await kept.put(b"cat")
