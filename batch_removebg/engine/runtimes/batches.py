"""Batches: calls that wait for a device at the same moment go to it as one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]


class Batches:
    """A function of N inputs stacked, for threads with one each; a batch fills while the one before it runs.

    So none waits for others longer than for one batch, and a device that is idle is given what there is.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], most: int) -> None:
        """`run`: N×… → N×…; `most`: the largest N, halved where as many fail together, and none alone."""
        self._run, self._most = run, most
        self._waiting: list[tuple[Tensor, Future[Tensor]]] = []
        self._adding, self._running = threading.Lock(), threading.Lock()

    def __call__(self, tensor: Tensor) -> Tensor:
        """The output 1×… for an input 1×…; raises what `run` raises for it alone."""
        mine: Future[Tensor] = Future()
        with self._adding:
            self._waiting.append((tensor, mine))
        while not mine.done():
            with self._running:
                with self._adding:
                    batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                if batch:
                    self._settle(batch)
        return mine.result()

    def _settle(self, batch: list[tuple[Tensor, Future[Tensor]]]) -> None:
        try:
            together = np.concatenate([tensor for tensor, _ in batch]) if len(batch) > 1 else batch[0][0]
            outputs = np.split(self._run(together), len(batch))
        except Exception as error:  # noqa: BLE001  # whatever it is, somebody waits for it
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for each in batch:
                self._settle([each])
            if not any(one.exception() for _, one in batch):  # together they are too much, or more than it takes
                self._most = len(batch) // 2
            return
        for (_, one), output in zip(batch, outputs, strict=True):
            one.set_result(output)
