"""Bytes kept for an hour under names nobody can guess."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from batch_removebg.errors import Busy
from batch_removebg.server import blob_store, protocol
from batch_removebg.server.blob_store import BlobStore, write
from tests.support.local_doubles import BEGIN, Hands

pytestmark = pytest.mark.anyio


@pytest.fixture
def hands() -> Hands:
    return Hands()


async def test_what_is_put_lies_under_its_name_until_it_is_dropped(hands: Hands, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "s", hands.read)
    blob = await store.put(b"cat")
    assert (blob.size, blob.created, blob.expires) == (3, BEGIN, BEGIN + 3600)
    assert store.get(blob.id) == blob
    assert blob.path.read_bytes() == b"cat"
    store.drop(blob.id)
    store.drop(blob.id)
    assert store.get(blob.id) is None
    assert not blob.path.exists()


async def test_only_uploads_are_listed_newest_first(hands: Hands, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "s", hands.read)
    first, _, second = await store.put(b"1", name="a"), await store.put(b"2"), await store.put(b"3", name="b")
    assert store.uploads() == [second, first]


@pytest.mark.parametrize("name", ["", "..", "../secret", "/etc/passwd"])
async def test_a_name_that_was_not_given_out_leads_nowhere(name: str, hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    store = BlobStore(tmp_path / "s", hands.read)
    assert store.get(name) is None
    store.drop(name)
    assert (tmp_path / "secret").exists()


async def test_each_file_has_its_own_hour(hands: Hands, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "s", hands.read)
    early = await store.put(b"1")
    hands.now += 1
    late = await store.put(b"2")
    hands.now += 3599
    store.sweep()
    assert [path.name for path in (tmp_path / "s").iterdir()] == [late.id]
    assert store.get(early.id) is None


async def test_the_oldest_go_when_the_room_is_used_up(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_store, "ROOM", 10)
    store = BlobStore(tmp_path / "s", hands.read)
    blobs = [await store.put(b"12345") for _ in range(3)]
    assert [store.get(blob.id) is None for blob in blobs] == [True, False, False]
    huge = await store.put(b"x" * 11)  # stays, or nothing so large could ever be kept
    assert [path.name for path in (tmp_path / "s").iterdir()] == [huge.id]


async def test_a_failed_write_leaves_nothing_behind(hands: Hands, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "s", hands.read)
    (tmp_path / "s").rmdir()
    with pytest.raises(Busy, match=r"^this server can't store the file: No such file or directory$") as caught:
        await store.put(b"cat")
    assert caught.value.retry_after == 30


async def test_a_file_that_is_not_kept_is_gone_at_the_end(hands: Hands, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "s", hands.read)
    async with store.incoming() as new:
        await write(new, b"cat" * 10_000)
        assert Path(new.name).exists()
    assert list((tmp_path / "s").iterdir()) == []


async def test_a_file_that_is_kept_has_what_was_written(hands: Hands, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "s", hands.read)
    async with store.incoming() as new:
        await write(new, b"ca")
        await write(new, b"t")
        blob = await store.keep(new, name="a")
    assert (blob.size, blob.path.read_bytes(), store.uploads()) == (3, b"cat", [blob])


async def test_a_disk_that_is_full_in_the_end_is_busy_and_the_file_goes(hands: Hands, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "s", hands.read)
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs a device that is full")
    async with store.incoming() as new:
        with full.open("wb") as device:  # noqa: ASYNC230  # that never blocks
            os.dup2(device.fileno(), new.fileno())
        await write(new, b"cat")  # goes into the buffer
        with pytest.raises(Busy, match="No space left on device"):
            await store.keep(new)
    assert list((tmp_path / "s").iterdir()) == []


async def test_the_oldest_go_when_there_are_too_many(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_store, "MOST", 2)
    store = BlobStore(tmp_path / "s", hands.read)
    blobs = [await store.put(b"") for _ in range(3)]
    assert [store.get(blob.id) is None for blob in blobs] == [True, False, False]


@pytest.mark.anyio
async def test_files_live_as_long_as_is_said_or_for_ever(tmp_path: Path) -> None:
    hands = Hands()
    for name, keep_for, there in (("short", 5.0, False), ("ever", math.inf, True)):
        store = BlobStore(tmp_path / name, hands.read, keep_for)
        blob = await store.put(b"a")
        hands.advance(1e6)
        store.sweep()
        assert (store.get(blob.id) is not None) is there
    assert protocol.timestamp(math.inf) is None
