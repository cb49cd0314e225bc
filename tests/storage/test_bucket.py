"""What results in a bucket need of a store, held against several: the same tests for each.

Azure's emulator: `npm install azurite`, then `npx azurite-blob --inMemoryPersistence --skipApiVersionCheck
--disableTelemetry`, then `BATCH_TEST_AZURITE=http://127.0.0.1:10000`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from batch_removebg.clock import Clock
from batch_removebg.errors import LockedError, SourceError, Stopping, Taken, WindowClosed
from batch_removebg.stop import Gate
from batch_removebg.storage.bucket import Bucket
from batch_removebg.storage.lease import Held, Lease
from batch_removebg.storage.objects import Store, opened
from batch_removebg.storage.segments import Segments
from tests.support.doubles import FakeClock
from tests.support.s3 import S3
from tests.support.stores import InMemory

pytestmark = pytest.mark.anyio
AZURITE = os.environ.get("BATCH_TEST_AZURITE", "")
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's, the same for everybody."""
Where = tuple[Store, str]


@pytest.fixture(params=["memory", "s3", "moto", "azurite"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Where]:
    """A store, and a prefix in it that nobody else uses."""
    prefix = f"{uuid4().hex}/"
    if request.param == "memory":
        yield InMemory(), prefix
    elif request.param == "s3":
        with S3(page=3).running() as server:
            for name, value in server.env().items():
                monkeypatch.setenv(name, value)
            yield opened("s3://shop/")[0], prefix
    elif request.param == "moto":
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        _, port = server.get_host_and_port()
        for name, value in {**S3(url=f"http://127.0.0.1:{port}").env()}.items():
            monkeypatch.setenv(name, value)
        put = urllib.request.Request(f"http://127.0.0.1:{port}/shop", method="PUT")
        urllib.request.urlopen(put).close()
        yield opened("s3://shop/")[0], prefix
        server.stop()
    else:
        if not AZURITE:
            pytest.skip("start `npx azurite-blob …`, and set BATCH_TEST_AZURITE, as this file's first lines say")
        _container("shop")
        monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
        monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", AZURITE)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
        yield opened("az://shop/")[0], prefix


def _container(name: str) -> None:
    date, version = formatdate(usegmt=True), "2021-12-02"
    text = f"PUT{12 * chr(10)}x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    sign = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey {ACCOUNT}:{sign}"}
    put = urllib.request.Request(f"{AZURITE}/{ACCOUNT}/{name}?restype=container", method="PUT", headers=headers)
    with suppress(urllib.error.HTTPError):  # it is there
        urllib.request.urlopen(put).close()


async def begun(where: Where) -> Bucket:
    pictures = Bucket(*where)
    await anyio.to_thread.run_sync(pictures.begin, Gate(Clock()))
    return pictures


async def test_a_picture_tells_what_it_is_and_is_known_to_the_next_run(where: Where) -> None:
    store, prefix = where
    digest = await (await begun(where)).put("sub/ä b.png", b"picture", "recipe")
    there = await store.head(f"{prefix}sub/ä b.png")
    assert there is not None
    about = {name.lower(): value for name, value in there.metadata.items()}
    assert digest == hashlib.sha256(b"picture").hexdigest()
    assert (there.size, about["content-type"], about["sha256"], about["recipe"]) == (7, "image/png", digest, "recipe")
    await store.put(f"{prefix}theirs.png", b"theirs")
    again = await begun(where)
    look = anyio.to_thread.run_sync
    assert await look(again.size, "sub/ä b.png") == 7
    names = "sub/ä b.png", "theirs.png", "a.png"
    assert [await look(again.taken, each) for each in names] == [False, True, False]
    assert await look(again.read, "sub/ä b.png") == b"picture"
    with pytest.raises(FileNotFoundError):
        await look(again.size, "a.png")


async def test_ours_is_replaced_and_nobody_elses_is(where: Where) -> None:
    store, prefix = where
    pictures = await begun(where)
    for picture in (b"first", b"first", b"second"):
        await pictures.put("a.png", picture)
        assert (await store.get(f"{prefix}a.png", 99))[0] == picture
    await store.put(f"{prefix}b.jpg", b"of the shop")
    with pytest.raises(SourceError, match=r"b\.jpg already lies in OUT, but this program did not write it"):
        await pictures.put("b.jpg", b"ours")
    assert (await store.get(f"{prefix}b.jpg", 99))[0] == b"of the shop"


async def test_many_names_are_known_by_one_listing_at_sixteen_bytes_each(where: Where) -> None:
    store, prefix = where
    for number in range(8):
        await store.put(f"{prefix}{number}.png", bytes(number))
    await store.put(f"{prefix}.batch-removebg/results.json", b"{}")
    pictures = await begun(where)
    look = anyio.to_thread.run_sync
    assert [await look(pictures.size, f"{number}.png") for number in range(8)] == [*range(8)]
    assert not await look(pictures.taken, ".batch-removebg/results.json")
    assert sum(part.nbytes for part in pictures._there) == 8 * 16


async def test_conditions_hold(where: Where) -> None:
    store, prefix = where
    first = await store.put(f"{prefix}a", b"1", over=None)
    second = await store.put(f"{prefix}a", b"2", over=first)
    for over in (None, first):
        with pytest.raises(Taken):
            await store.put(f"{prefix}a", b"3", over=over)
    assert second != first
    assert (await store.get(f"{prefix}a", 9))[0] == b"2"


async def test_of_two_drivers_one_has_the_lease_and_the_next_one_its_epoch(where: Where) -> None:
    store, prefix = where
    clock = FakeClock(idle=0.2)
    ann, bob, late = (
        Lease(store, f"{prefix}lease.json", Held(name, f"process 1 on {name}", seconds=60), clock.clock)
        for name in ("a", "b", "c")
    )
    await ann.take(lambda text: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ann.keep)
        with pytest.raises(LockedError, match="process 1 on a"):
            await bob.take(lambda text: None)
        tasks.cancel_scope.cancel()
    await ann.give_up()
    await late.take(lambda text: None)
    assert (ann.me.epoch, late.me.epoch) == (1, 2)


async def test_the_ledger_goes_there_and_comes_back(where: Where, tmp_path: Path) -> None:
    store, prefix = where
    clock = FakeClock()
    here, there = (Segments(store, f"{prefix}ledger/", tmp_path / name, clock.clock) for name in ("here", "there"))
    await here.fetch(1)
    for number in range(5):
        with (tmp_path / "here").open("a") as file:
            file.write(f"{number}\n")
        await here.copied()
    assert await there.fetch(2) == 10
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()


async def test_a_put_that_storage_is_away_for_waits_until_it_is_back_or_the_run_ends() -> None:
    clock, store = FakeClock(), InMemory()
    gate = Gate(clock.clock)
    pictures = Bucket(store, "cutouts/")
    pictures.begin(gate)
    store.away = True

    async def back() -> None:
        await clock.sleep(60)
        store.away = False

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(back)
        await pictures.put("a.png", b"a")
    store.away = True
    gate.close(WindowClosed("its time is over"))
    with pytest.raises(Stopping):
        await pictures.put("b.png", b"b")
