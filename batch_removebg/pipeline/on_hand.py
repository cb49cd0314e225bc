"""What earlier predictions left: alphas and, of URLs that the API fetched itself, finished pictures.

Where the source's pixels were at hand, its alpha is kept. Of a URL that the API fetched itself the cutout is: the
finished file is that, or it lies among the alphas, behind its digest. Another item with the same URL gets a copy, and
another format is made from the cutout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

from batch_removebg.finish.options import Finished
from batch_removebg.hashing import sha256_hex
from batch_removebg.imaging.format import loses_nothing
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Matte
from batch_removebg.storage import layout
from batch_removebg.storage.alpha_cache import AlphaCache
from batch_removebg.storage.outputs import Folder, Outputs
from batch_removebg.workers.base import Alpha, Find, kept_alpha

from .edits import Edits
from .work import Cutout, Predicted, Prepared

_DIGEST = sha256().digest_size
_ENOUGH = 8  # items with one picture that are looked at


class OnHand:
    """Looks up, by fingerprint, what was bought before; `passed` is for URLs that the API fetched itself."""

    def __init__(
        self,
        out: Path,
        saved_for: Callable[[str], Iterable[ItemState]],
        recipe: str,
        *,
        buy_again: bool = False,
        doubtful: Callable[[Matte], bool] | None = None,
        edits: Edits = Edits(),
        outputs: Outputs | None = None,
    ) -> None:
        """`saved_for`: the items that a fingerprint was bought for; `recipe`: the digest of a picture to be copied.

        `buy_again`: nothing is made from a picture with another one. `doubtful`: whether an alpha is to be made again.
        `edits`: alphas that stand in for those that were bought. `outputs`: where the pictures are, unless in `out`.
        """
        self.alphas = AlphaCache(out / layout.ALPHAS)
        self.edits = edits
        self.outputs = outputs or Folder(out)
        self._saved_for = saved_for
        self._recipe, self._buy_again, self._doubtful = recipe, buy_again, doubtful

    def has(self, fingerprint: str, *, passed: bool) -> bool:
        """Whether there is something on record; it may turn out to be damaged."""
        if not passed:
            return self.alphas.has(fingerprint)
        return bool(self._states(fingerprint)) or (not self._anew(fingerprint) and self.alphas.has(fingerprint))

    def edited(self, prepared: Prepared) -> str | None:
        """The touched-up alpha that the item's pictures are made with."""
        return self.edits.alphas.get(prepared.content)

    def serves(self, fingerprint: str) -> bool:
        """Whether an alpha is kept that needs no other. Blocks."""
        return self.alphas.has(fingerprint) and (self._doubtful is None or self.matte(fingerprint) is not None)

    def copy(self, prepared: Prepared) -> Predicted | None:
        """The item with what is on hand for it; None where that is damaged or gone. Blocks.

        Raises SpentPicture where its alpha was touched up, and that is damaged or gone.
        """
        if prepared.sha256 is not None:
            return self.with_alpha(prepared, self.finder(prepared)())
        output, state = self.passed(prepared.fingerprint)
        if output is None:
            return None
        return Predicted(prepared, output, state.prediction_id, state.attempts, reused=True)

    def finder(self, prepared: Prepared) -> Find:
        """What finds the item's alpha; raises as `copy`."""
        edited = self.edited(prepared)
        if edited is not None:
            return partial(Edits(self.edits.folder).matte, edited)
        return partial(kept_alpha, self.alphas, prepared.fingerprint, self._doubtful)

    def with_alpha(self, prepared: Prepared, alpha: Alpha | None) -> Predicted | None:
        """The item with the alpha that was found, if any."""
        if alpha is None:
            return None
        state = prepared.todo.state
        return Predicted(prepared, alpha, state.prediction_id, state.attempts, reused=True)

    def matte(self, fingerprint: str) -> Matte | None:
        """See `kept_alpha`."""
        return kept_alpha(self.alphas, fingerprint, self._doubtful)

    def passed(self, fingerprint: str) -> tuple[Finished | Cutout | None, ItemState]:
        """Of a URL the wanted picture, or what it can be made from, and the item that it was bought for. Blocks."""
        states, edited = self._states(fingerprint), self.edits.alphas.get(fingerprint)
        there = [(data, state) for state in states if (data := self._file(state)) is not None]
        if there and (there[0][1].recipe, there[0][1].edited) == (self._recipe, edited):
            data, state = there[0]
            return Finished(data, state.width or 0, state.height or 0), state
        kept = self.alphas.load(fingerprint) or b""
        if not self._anew(fingerprint) and sha256(bought := kept[_DIGEST:]).digest() == kept[:_DIGEST]:
            return Cutout(bought), states[0] if states else ItemState()
        best = [(Cutout(data, lossy=bool(state.outputs) or not loses_nothing(data)), state) for data, state in there]
        best = [(cutout, state) for cutout, state in best if state.edited is None]
        return min(best, key=lambda found: found[0].lossy, default=(None, ItemState()))

    def keep(self, fingerprint: str, output: Matte | bytes) -> None:
        """Keep a bought alpha, or a cutout whose picture is another file; raises DiskError. Blocks."""
        from batch_removebg.matting.matte import encode_matte

        data = encode_matte(output) if isinstance(output, Matte) else sha256(output).digest() + output
        self.alphas.keep(fingerprint, data)

    def spare(self, state: ItemState) -> None:
        """Keep what was bought for an item where only its file has it, which is to be replaced; as `keep`."""
        bought = state.fingerprint if state.is_made else None
        data = self._file(state) if bought is not None and not self.alphas.has(bought) else None
        if bought and data is not None and not (state.outputs or state.edited) and loses_nothing(data):
            self.keep(bought, data)

    def _states(self, fingerprint: str) -> list[ItemState]:
        """Those whose pictures may serve, those that are wanted first."""
        states = islice(self._saved_for(fingerprint), _ENOUGH)
        may = (state for state in states if state.recipe == self._recipe or not self._anew(fingerprint))
        edited = self.edits.alphas.get(fingerprint)
        return sorted(may, key=lambda state: (state.edited != edited, state.recipe != self._recipe))

    def _anew(self, fingerprint: str) -> bool:
        """Whether it is bought again for another picture."""
        return self._buy_again and self.edits.alphas.get(fingerprint) is None

    def _file(self, state: ItemState) -> bytes | None:
        name = state.output or ""
        for there in dict.fromkeys((state.place(name), name)):  # one that was accepted may be on its way
            with suppress(OSError):
                data = self.outputs.read(there)
                if sha256_hex(data) == state.sha256:
                    return data
        return None
