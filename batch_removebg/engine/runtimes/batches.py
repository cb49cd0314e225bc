"""Batches: calls that wait for a device at the same moment go to it as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]


class Batches:
    """A function of N inputs stacked, for threads with one each; a batch fills while those before it run.

    So none waits for others longer than for one batch, and a device that is idle is given what there is. N is always
    the same: for another, a graphics card looks for the best way to compute anew, which takes as long as 500 pictures.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], places: Sequence[Tensor]) -> None:
        """`run`: N×… → N×…; N is halved where as many fail together, and none alone.

        `places`: N×…, where inputs are stacked; as many batches are on their way at a time.
        """
        self._run, self._places, self._most = run, [*places], len(places[0])
        self._waiting: list[tuple[Tensor, Future[Tensor]]] = []
        self._adding, self._running = threading.Lock(), threading.Semaphore(len(places))

    def __call__(self, tensor: Tensor) -> Tensor:
        """The output 1×… for an input 1×…; raises what `run` raises for it alone."""
        mine: Future[Tensor] = Future()
        with self._adding:
            self._waiting.append((tensor, mine))
        with self._running:
            while not mine.done():
                with self._adding:
                    batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                if not batch:  # mine is on its way
                    break
                self._settle(batch)
        return mine.result()

    def _settle(self, batch: list[tuple[Tensor, Future[Tensor]]]) -> None:
        place = self._places.pop()
        try:
            inputs = place[: max(self._most, len(batch))]  # those that aren't filled are computed for nobody
            np.concatenate([tensor for tensor, _ in batch], out=inputs[: len(batch)])
            outputs = self._run(inputs)
        except Exception:  # noqa: BLE001  # raised again, by those that fail alone
            failed = [self._fails(*each) for each in batch]
            if not any(failed) and len(inputs) > 1:
                self._most = max(1, len(inputs) // 2)  # together they are too much, or more than it takes
            return
        finally:
            self._places.append(place)
        for (_, one), output in zip(batch, outputs, strict=False):
            one.set_result(output[np.newaxis])

    def _fails(self, tensor: Tensor, one: Future[Tensor]) -> bool:
        try:
            one.set_result(self._run(tensor))
        except Exception as error:  # noqa: BLE001  # whatever it is, somebody waits for it
            one.set_exception(error)
        return bool(one.exception())
