"""Alphas that people touched up, by what they are for: they stand in for what was bought, whatever is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from batch_removebg.errors import OutputBroken, SpentPicture
from batch_removebg.hashing import sha256_hex
from batch_removebg.ledger.decisions import Decisions
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Matte
from batch_removebg.storage.atomic import make_folder, write_atomic
from batch_removebg.storage.layout import EDITS


@dataclass(frozen=True, slots=True)
class Edits:
    """Those of an OUT, at one moment."""

    folder: Path = Path()
    alphas: Mapping[str, str | None] = field(default_factory=dict)
    """The alpha's sha256 by content, as in `ItemState.content`; None where one was given up."""

    @classmethod
    def of(cls, decisions: Decisions) -> Self:
        """What decisions say of them."""
        alphas = {content: edited.alpha for content, edited in decisions.edited.items()}
        return cls(decisions.path.parent / EDITS, alphas)

    def stale(self, state: ItemState) -> bool:
        """Whether the pictures of a saved item follow another alpha than the one in force."""
        return state.edited != self.alphas.get(state.content or "", state.edited)

    def late(self, fold: IndexedFold) -> Iterator[tuple[str, ItemState]]:
        """The saved items, by id, whose pictures are stale."""
        for content in self.alphas:
            yield from ((key, state) for key, state in fold.of_content(content) if self.stale(state))

    def load(self, sha256: str) -> bytes:
        """The file of an alpha; raises SpentPicture where it isn't there as it was. Blocks."""
        path = self.folder / f"{sha256}.png"
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        if sha256_hex(data) != sha256:
            raise SpentPicture(f"was touched up, and {path} is gone or damaged: bring it back, or touch it up again")
        return data

    def matte(self, sha256: str) -> Matte:
        """The alpha (H×W of the upright source); raises as `load`. Blocks."""
        from batch_removebg.matting.matte import decode_matte

        try:
            return decode_matte(self.load(sha256))
        except OutputBroken as error:
            raise SpentPicture(f"was touched up, and {sha256}.png in {self.folder} is no alpha: {error}") from error

    def keep(self, data: bytes) -> str:
        """The sha256 of an alpha's file, which is durable then; raises DiskError. Blocks."""
        make_folder(self.folder)
        write_atomic(self.folder / f"{(sha256 := sha256_hex(data))}.png", data)
        return sha256
