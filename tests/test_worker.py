"""Processes for work on pictures: used again, not disturbed, and gone with those who made them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from batch_removebg import worker
from batch_removebg.errors import SourceError
from batch_removebg.shared_memory import KEPT
from batch_removebg.worker import LEFT, Shared, Worker

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name")
unix = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")


@pytest.fixture
def one() -> Iterator[Worker]:
    worker._waiting.clear()
    yield Worker()
    worker._waiting.clear()


def refuse() -> None:
    raise SourceError("is empty (0 bytes)")


def fault() -> None:
    raise KeyError("a bug")


def chatter(*words: str) -> str:
    print(*words, flush=True)
    os.write(1, b"more of it\n")
    return words[0]


def signalled() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    return os.getpid()


def unpicklable() -> object:
    return lambda: None


def asleep(pids: str) -> None:
    Path(pids).write_text(str(os.getpid()))
    time.sleep(60)


def test_a_function_runs_in_another_process_and_its_result_comes_back(one: Worker) -> None:
    worked, pid = one.do(os.getpid, ())  # type: ignore[misc]
    assert worked
    assert pid != os.getpid()


def test_a_refusal_comes_back_as_it_is_and_a_bug_with_its_traceback(one: Worker) -> None:
    worked, error = one.do(refuse, ())  # type: ignore[misc]
    assert (worked, type(error), str(error), hasattr(error, "__notes__")) == (False, SourceError, str(error), False)
    worked, bug = one.do(fault, ())  # type: ignore[misc]
    assert (worked, repr(bug)) == (False, "KeyError('a bug')")
    assert 'raise KeyError("a bug")' in bug.__notes__[0]


def test_what_is_printed_does_not_get_between_the_answers(one: Worker) -> None:
    assert one.do(chatter, ("loud",)) == (True, "loud")
    assert one.do(abs, (-1,)) == (True, 1)


@unix
def test_signals_to_the_group_leave_it_to_its_parent(one: Worker) -> None:
    assert one.do(signalled, ()) == one.do(os.getpid, ())


def test_a_process_is_used_again_and_replaced_once_it_has_ended(one: Worker) -> None:
    one.give_back()
    assert Worker.take() is one
    one.give_back()
    one.kill()
    one._process.wait()
    assert Worker.take() is not one


def test_it_ends_when_nothing_has_come_for_a_while(one: Worker) -> None:
    assert one.do(exec, ("import batch_removebg.worker, __main__; __main__._IDLE = 0.01",)) == (True, None)
    assert one._process.wait(20) == LEFT
    assert one.do(abs, (-1,)) == LEFT


def test_what_cannot_be_answered_ends_it_as_a_bug(one: Worker) -> None:
    assert one.do(unpicklable, ()) == 1
    assert Worker().do(pickle.Unpickler, ("no", "file")) != 1  # a bug of the function is no bug of the process


def test_what_nobody_holds_is_ended_at_once(one: Worker) -> None:
    other = Worker()
    process = other._process
    del other
    assert process.returncode is not None


@unix
def test_an_answer_that_nobody_takes_any_more_ends_it_without_a_word() -> None:
    command = [sys.executable, "-m", "batch_removebg.worker"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        pickle.dump((0, None, abs, (1,)), process.stdin)
        process.stdin.flush()
        said = process.stderr.read()
    assert (process.returncode, said) == (LEFT, b"")


@unix
def test_it_ends_with_a_killed_parent_in_the_midst_of_its_work(tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    code = f"from tests.test_worker import Worker, asleep; Worker().do(asleep, ({str(pids)!r},))"
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    while not (pids.exists() and pids.read_text()):
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    pid = int(pids.read_text())
    for _ in range(1000):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.01)
    raise AssertionError("it works on for nobody")


def test_the_script_that_calls_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "print('once', flush=True)\nfrom batch_removebg.worker import Worker\nprint(Worker().do(abs, (-1,)))"
    )
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True, env=found).stdout
    assert said == "once\n(True, 1)\n"


@unix
def test_a_fork_neither_uses_nor_ends_it(one: Worker) -> None:
    one.give_back()
    if not (child := os.fork()):
        other = Worker.take()
        os._exit(0 if other is not one and not worker._waiting else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert one.do(abs, (-1,)) == (True, 1)


def held() -> tuple[list[str], list[int]]:
    """Names and bytes of the files without a name that the process has."""
    files = [file for file in Path("/proc/self/fd").iterdir() if file.exists() and "memfd:" in str(file.readlink())]
    return [file.name for file in files], [file.stat().st_blocks * 512 for file in files]


def doubled(part: bytes, times: int) -> bytes:
    return part * times


def test_a_result_stays_as_it_is_while_others_come(one: Worker) -> None:
    first, second = (one.do(np.full, (1 << 20, value, np.uint8))[1] for value in (1, 2))  # type: ignore[index]
    assert np.array_equal(first, np.full(1 << 20, 1))
    assert np.array_equal(second, np.full(1 << 20, 2))


@linux
def test_memory_is_given_back_after_a_huge_picture(one: Worker) -> None:
    [region] = one._regions
    for part, times in ((bytes(3 * KEPT), 0), (bytes(KEPT // 8), 24)):
        assert one.do(doubled, (part, times)) == (True, part * times)
        assert KEPT // 8 <= os.fstat(region.fileno()).st_blocks * 512 <= os.fstat(region.fileno()).st_size <= KEPT


@linux
def test_a_process_holds_its_own_memory_alone_and_a_killed_one_leaves_none(one: Worker) -> None:
    other = Worker()
    assert other.do(doubled, (bytes(1 << 20), 1)) == (True, bytes(1 << 20))
    mine, theirs = one.do(held, ()), other.do(held, ())
    assert mine == (True, ([str(one._regions[0].fileno())], [0]))
    assert theirs == (True, ([str(other._regions[0].fileno())], [1 << 20]))
    other.kill()
    assert other.do(abs, (-1,)) == -signal.SIGKILL
    assert other._regions[0].closed
    assert Worker().do(held, ())[1][1] == [0]  # type: ignore[index]


def test_each_of_several_calls_gets_its_own_answer_also_where_there_are_more_than_regions() -> None:
    shared, parts = Shared(3), [bytes([number]) * (number << 16) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda part: shared.do(doubled, (part, 2)), parts))
    assert answers == [(True, part * 2) for part in parts]
    shared.close()
    assert all(region.closed for region in shared._regions)
