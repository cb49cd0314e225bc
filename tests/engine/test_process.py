"""The network in its process: the same mattes, and what goes wrong there costs one picture at most."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

from batch_removebg.engine import cutout
from batch_removebg.engine.network import Network
from batch_removebg.engine.process import Kept, NetworkProcess
from batch_removebg.errors import PredictionFailed, SettingsError, SourceError, Stopping, WorkFailed
from batch_removebg.imaging.format import Limits
from batch_removebg.model import CreateRequest, Matte
from batch_removebg.providers.local import LocalProvider
from batch_removebg.resources import Cpu
from tests.support.local_doubles import MODEL, GivesUp, LeftHalf, picture

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")]
SMALL = picture(kind="BMP")


class Says(LeftHalf):
    """A network that tells its process, and how many have been loaded there."""

    loaded = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).loaded += 1
        self.used = f"{os.getpid()} {self.loaded}"


class Dies(LeftHalf):
    """A network whose runtime crashes on the first pictures that it sees, so many of them over all processes."""

    def __init__(self, counted: str, times: int) -> None:
        super().__init__()
        self._counted, self._times = Path(counted), times

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        with self._counted.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(self._counted.read_text().splitlines()) <= self._times:
            signal.raise_signal(signal.SIGSEGV)  # in this thread: it does not return
        return super().matte(rgb)


class Hangs(LeftHalf):
    """A network that never answers in its first process, once it has said that it works."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self._mark = Path(mark)
        self._first = not self._mark.exists()

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        if self._first:
            self._mark.write_text(str(os.getpid()))
            time.sleep(60)
        return super().matte(rgb)


def missing() -> Network:
    raise SettingsError("the weights are not here")


def crashes() -> Network:
    signal.raise_signal(signal.SIGSEGV)
    raise AssertionError


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def when(mark: Path) -> Cpu:
    """A Cpu for which a second is over at once, while the network hangs."""

    async def sleep(seconds: float) -> None:
        while not (mark.exists() and mark.read_text() and alive(int(mark.read_text()))):  # noqa: ASYNC110
            await anyio.sleep(0.005)

    return Cpu(sleep=sleep)


async def test_a_render_is_the_same_cutout_made_by_other_processes() -> None:
    cpu, engine = Cpu(threads=1), NetworkProcess(LeftHalf, Cpu())
    made = await cutout.render(cpu, engine, MODEL.proxy, Limits(), picture())
    assert made == cutout.cutout(LeftHalf(), Limits(), picture())
    with pytest.raises(SourceError, match="the image is empty"):
        await cutout.render(cpu, engine, MODEL.proxy, Limits(), b"")
    engine.close()


async def test_one_process_loads_the_network_once_for_all_who_ask_and_answers_each() -> None:
    engine = NetworkProcess(Says, Cpu())
    told: list[Matte] = []

    async def ask(width: int) -> None:
        matte = await engine.matte(picture(width, 32, kind="BMP"))
        assert matte.alpha.shape == (32, width)
        told.append(matte)

    async with anyio.create_task_group() as tasks:
        for width in range(40, 60):
            tasks.start_soon(ask, width)
    [used] = {matte.engine for matte in told}
    assert used == await engine.open()
    assert used is not None
    pid, loaded = used.split()
    assert (pid != str(os.getpid()), loaded) == (True, "1")
    engine.close()


@pytest.mark.parametrize(
    ("load", "error"),
    [
        (GivesUp, PredictionFailed("onnxruntime gave up: no memory")),
        (missing, SettingsError("the weights are not here")),
    ],
)
async def test_what_it_refuses_is_raised_here_and_the_process_goes_on(load: type[Network], error: Exception) -> None:
    engine = NetworkProcess(load, Cpu())
    for _ in range(2):
        with pytest.raises(type(error), match=str(error)):
            await engine.matte(SMALL)
    assert engine._process._worker is not None
    assert engine._process._worker.code is None
    engine.close()


async def test_a_process_that_ends_while_it_loads_the_network_stops_the_run_with_a_remedy() -> None:
    engine = NetworkProcess(crashes, Cpu())
    with pytest.raises(SettingsError, match=r"^the network made the process .* end \(SIGSEGV\); .*--class fast"):
        await engine.open()
    engine.close()


async def test_after_a_crash_another_process_takes_over_and_a_third_one_fails_the_picture(tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    engine = NetworkProcess(partial(Dies, str(counted), 3), Cpu())
    with pytest.raises(WorkFailed, match="made the process that worked on it end \\(SIGSEGV\\)"):
        await engine.matte(SMALL)
    assert (await engine.matte(SMALL)).alpha.mean() == 127.5
    assert len(set(counted.read_text().split())) == 4
    engine.close()


async def test_a_picture_on_which_it_hangs_fails_at_the_deadline_and_those_beside_it_do_not(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    engine = NetworkProcess(partial(Hangs, str(mark)), when(mark))
    with pytest.raises(WorkFailed, match="was given up after 120 seconds of work"):
        await engine.matte(SMALL)
    assert (await engine.matte(SMALL)).alpha.mean() == 127.5
    engine.close()


async def test_once_the_run_stops_it_gets_three_seconds_and_then_stays_closed(tmp_path: Path) -> None:
    mark, cpu = tmp_path / "mark", when(tmp_path / "mark")
    engine = NetworkProcess(partial(Hangs, str(mark)), cpu)
    cpu.hurry()
    with pytest.raises(Stopping):
        await engine.matte(SMALL)
    engine.close()
    with pytest.raises(Stopping):
        await engine.matte(SMALL)


async def test_who_waits_when_it_is_closed_is_told_so_and_the_process_is_gone(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    engine = NetworkProcess(partial(Hangs, str(mark)), Cpu())
    ended: list[str] = []

    async def ask() -> None:
        with pytest.raises(Stopping):
            await engine.matte(SMALL)
        ended.append("told")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        while not (mark.exists() and mark.read_text()):  # noqa: ASYNC110  # of another process
            await anyio.sleep(0.005)
        engine.close()
    assert ended == ["told"]
    assert not alive(int(mark.read_text()))


async def test_a_crash_is_no_prediction_that_failed_which_would_be_tried_again(tmp_path: Path) -> None:
    provider = LocalProvider(MODEL, NetworkProcess(partial(Dies, str(tmp_path / "counted"), 9), Cpu()))
    upload = await provider.upload(SMALL, filename="cat.bmp", content_type="image/bmp")
    with pytest.raises(WorkFailed):
        await provider.create(CreateRequest(item="cat", image=upload.url, output="cat.png", fingerprint="f"))
    await provider.aclose()


async def test_a_kept_network_is_loaded_once_for_runs_that_follow_each_other_and_hurries_with_the_one_that_has_it() -> (
    None
):
    kept, load, used = Kept(), partial(Says), list[str]()
    for cpu in (Cpu(), last := Cpu()):
        engine = kept(load, cpu)
        used.append(await engine.open())
        engine.close()
    assert len(set(used)) == 1
    last.hurry()
    assert await engine.open() == used[0]  # it is there
    kept.close()
    with pytest.raises(Stopping):
        await engine.open()
