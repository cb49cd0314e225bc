"""What earlier predictions left: alphas and, of URLs that the API fetched itself, finished pictures.

Where the source's pixels were at hand, its alpha is kept. Otherwise only the finished picture exists, and another item
with the same URL gets a copy of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from batch_removebg.errors import OutputBroken
from batch_removebg.finish.options import Finished
from batch_removebg.hashing import sha256_hex
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Matte
from batch_removebg.storage import layout
from batch_removebg.storage.alpha_cache import AlphaCache

from .work import Predicted, Prepared


class OnHand:
    """Looks up, by fingerprint, what was bought before; `passed` is for URLs that the API fetched itself."""

    def __init__(self, out: Path, saved_for: Callable[[str], ItemState | None], recipe: str) -> None:
        """`saved_for`: the item that a fingerprint was bought for; `recipe`: the digest its picture must have."""
        self.alphas = AlphaCache(out / layout.ALPHAS)
        self._out = out
        self._saved_for = saved_for
        self._recipe = recipe

    def has(self, fingerprint: str, *, passed: bool) -> bool:
        """Whether there is something on record; it may turn out to be damaged."""
        return self._saved(fingerprint) is not None if passed else self.alphas.has(fingerprint)

    def whole(self, fingerprint: str, *, passed: bool) -> bool:
        """The same, with the picture's bytes compared to the ledger. Blocks."""
        return self._picture(self._saved(fingerprint)) is not None if passed else self.alphas.has(fingerprint)

    def copy(self, prepared: Prepared) -> Predicted | None:
        """The item with what is on hand for it; None where that is damaged or gone. Blocks."""
        passed = prepared.sha256 is None
        state = self._saved(prepared.fingerprint) if passed else prepared.todo.state
        output = self._picture(state) if passed else self._matte(prepared.fingerprint)
        if state is None or output is None:
            return None
        return Predicted(prepared, output, state.prediction_id, state.attempts, reused=True)

    def _saved(self, fingerprint: str) -> ItemState | None:
        state = self._saved_for(fingerprint)
        return state if state is not None and state.recipe == self._recipe else None

    def _picture(self, state: ItemState | None) -> Finished | None:
        if state is None:
            return None
        try:
            data = (self._out / (state.output or "")).read_bytes()
        except OSError:
            return None
        whole = sha256_hex(data) == state.sha256
        return Finished(data, state.width or 0, state.height or 0) if whole else None

    def _matte(self, fingerprint: str) -> Matte | None:
        from batch_removebg.matting.matte import decode_matte

        data = self.alphas.load(fingerprint)
        try:
            return decode_matte(data) if data is not None else None
        except OutputBroken:
            return None
