"""Pictures that are finished already under another item's name: the same URL twice in a manifest costs one prediction.

Where the source's pixels are at hand its alpha is kept (see `alphas.py`); of a URL that was passed through to the API
there is the finished picture alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batch_removebg.ledger.state import ItemState


@dataclass(frozen=True, slots=True)
class Twin:
    """A finished picture of the same source."""

    data: bytes
    """The file, as whole as its ledger line says."""
    width: int
    height: int
    prediction_id: str | None
    attempts: int


class Twins:
    """Finds finished pictures by what they were bought for."""

    def __init__(self, made: Callable[[str], ItemState | None], out: Path, recipe: str) -> None:
        """`made` gives the state of a saved item by its fingerprint; `recipe` is the digest a twin must have."""
        self._made = made
        self._out = out
        self._recipe = recipe

    def find(self, fingerprint: str) -> ItemState | None:
        """The saved item that may be a twin, by the ledger alone."""
        state = self._made(fingerprint)
        return state if state is not None and state.recipe == self._recipe else None

    def load(self, state: ItemState) -> Twin | None:
        """The twin that `find` found, or None where its file is not what it was; blocks."""
        try:
            data = (self._out / (state.output or "")).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != state.sha256:
            return None
        return Twin(data, state.width or 0, state.height or 0, state.prediction_id, state.attempts)
