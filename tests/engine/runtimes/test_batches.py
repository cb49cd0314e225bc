"""Calls that wait at the same moment go as one; what one of them does wrong is its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from batch_removebg.engine import devices
from batch_removebg.engine.runtimes.batches import Batches

Tensor = NDArray[np.float32]
PATIENCE = 20.0


class Card:
    """Doubles its input once it is let go, and notes how many it was given; the first call holds the others up."""

    def __init__(self, most: int = 99, poison: float | None = None) -> None:
        self.given: list[int] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._most, self._poison = most, poison

    def __call__(self, tensor: Tensor) -> Tensor:
        self.given.append(len(tensor))
        self.begun.set()
        assert self.go_on.wait(PATIENCE)
        if len(tensor) > self._most or self._poison in tensor:
            raise ValueError(f"{len(tensor)} are refused")
        return tensor * 2


def outputs(card: Card, count: int, most: int) -> list[float | str]:
    """What so many calls at once get, the first of which was alone."""
    batches = Batches(card, [np.zeros((most, 3), np.float32)])

    def one(value: int) -> float | str:
        try:
            return float(batches(np.full((1, 3), value, np.float32))[0, 2])
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(count) as pool:
        first = pool.submit(one, 0)
        assert card.begun.wait(PATIENCE)
        others = [pool.submit(one, value) for value in range(1, count)]
        while len(batches._waiting) < count - 1:
            threading.Event().wait(0.001)
        card.go_on.set()
        return [each.result(PATIENCE) for each in (first, *others)]


def test_calls_that_came_while_the_device_was_busy_go_together_and_each_gets_its_own() -> None:
    card = Card()
    assert outputs(card, 6, most=16) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert card.given == [16, 16]


def test_every_batch_has_the_size_that_the_device_takes() -> None:
    card = Card()
    assert sorted(map(float, outputs(card, 8, most=3))) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]
    assert card.given == [3, 3, 3, 3]


def test_a_picture_that_fails_in_a_batch_fails_alone_and_later_batches_stay_as_large() -> None:
    card = Card(poison=3.0)
    found = outputs(card, 12, most=4)
    assert found == ["1 are refused" if value == 3 else 2.0 * value for value in range(12)]
    assert card.given == [4, 4, 1, 1, 1, 1, 4, 4]


def test_a_device_that_has_no_memory_for_a_batch_gets_smaller_ones() -> None:
    card = Card(most=4)
    assert outputs(card, 17, most=8) == [float(2 * value) for value in range(17)]
    assert card.given == [8, 1, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("device", "size", "most"),
    [
        ("cpu", 320, 1),
        ("openvino", 1024, 1),
        ("cuda", 320, 8),
        ("cuda", 512, 8),
        ("cuda", 1024, 2),
        ("cuda", 4096, 1),
    ],
)
def test_a_card_gets_as_many_as_its_memory_takes(device: devices.Device, size: int, most: int) -> None:
    assert devices.at_once(device, size) == most


def test_a_second_batch_is_on_its_way_while_the_first_runs_and_each_gets_its_own() -> None:
    both = threading.Barrier(2)

    def card(tensor: Tensor) -> Tensor:
        both.wait(PATIENCE)  # broken where only one comes
        return tensor * 2

    batches = Batches(card, [np.zeros((1, 3), np.float32) for _ in range(2)])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda value: float(batches(np.full((1, 3), value, np.float32))[0, 0]), range(8)))
    assert found == [2.0 * value for value in range(8)]
