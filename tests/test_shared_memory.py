"""Messages of which the large parts pass by memory: the same on the other side, and by the pipe where there is none."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from batch_removebg.shared_memory import LEAST, Receiver, Sender, regions

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name")
ARRAY = np.arange(6 * LEAST, dtype=np.float32).reshape(3, -1)
PARTS = [bytes(LEAST), b"x" * (LEAST - 1), {"nested": b"yz" * LEAST}, bytearray(LEAST), np.zeros(9), ARRAY]


@pytest.fixture
def region() -> Iterator[int]:
    [file] = regions(1)
    with file:
        yield file.fileno()


def passed(region: int | None, *message: object) -> tuple[list[object], int]:
    """What arrives, and how many bytes of it by the pipe."""
    pipe = io.BytesIO()
    Sender(pipe, region).dump(message)
    pipe.seek(0)
    return list(Receiver(pipe).load()), len(pipe.getvalue())


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (one.dtype, one.flags.writeable) == (other.dtype, other.flags.writeable) and np.array_equal(one, other)
    return type(one) is type(other) and one == other


@linux
def test_what_is_large_passes_by_the_memory_and_arrives_as_it_would_by_the_pipe(region: int) -> None:
    came, size = passed(region, *PARTS)
    assert all(map(same, came, PARTS))
    assert LEAST * 2 < size < LEAST * 2 + 1000  # the bytearray, and what is one byte too small
    assert os.fstat(region).st_size == LEAST * 3 + ARRAY.nbytes
    assert all(map(same, came, passed(None, *PARTS)[0]))


@linux
@pytest.mark.parametrize(
    "array", [ARRAY.T, np.asfortranarray(ARRAY), ARRAY[:, ::2], np.frombuffer(bytes(ARRAY), np.uint8)]
)
def test_an_array_keeps_its_order_and_whether_it_may_be_written(region: int, array: NDArray[np.generic]) -> None:
    [came], _ = passed(region, array)
    assert same(came, array)


@linux
def test_where_the_memory_refuses_a_part_it_passes_by_the_pipe() -> None:
    read_only = os.open(os.devnull, os.O_RDONLY)
    came, size = passed(read_only, *PARTS)
    os.close(read_only)
    assert all(map(same, came, PARTS))
    assert size > ARRAY.nbytes


def test_where_the_system_has_no_such_memory_or_allows_none_there_are_no_regions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    assert regions(2) == []
    monkeypatch.delattr(os, "memfd_create")
    assert regions(2) == []
