"""How the pipeline asks for work on pixels, wherever that is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batch_removebg.errors import OutputBroken
from batch_removebg.model import Item, Matte, ProxySpec, Reference
from batch_removebg.net.fetch import UNKNOWN, Validators
from batch_removebg.storage.alpha_cache import AlphaCache
from batch_removebg.storage.spool import Held

if TYPE_CHECKING:
    from batch_removebg.finish.options import Finish, Finished
    from batch_removebg.imaging.decode import Proxy
    from batch_removebg.imaging.probe import Measured

Alpha = Matte | Reference
Find = Callable[[], Matte | None]  # can be pickled; blocks


@dataclass(frozen=True, slots=True)
class Read:
    """A source, and what to ask for changes with."""

    body: Held
    validators: Validators = UNKNOWN
    unchanged: bool = False  # it is what it was when the validators were given, and the body is empty


class Workers(Protocol):
    """Reads sources and makes pictures of them. What one method gives, bytes or a reference, the others take.

    All raise WorkFailed where the work crashes or takes too long, and Stopping at the end of the run.
    """

    async def read(self, item: Item, known: Validators) -> Read:
        """The item's file or URL, asked for once; raises SourceError, RetryError."""

    async def sha256(self, source: Held) -> str:
        """Of its bytes, in hex."""

    async def measured(self, source: Held, forms: Sequence[str]) -> Measured:
        """Its measures; see `probe.measure`."""

    async def proxy(self, seconds: float, source: Held, spec: ProxySpec, fingerprint: str) -> Proxy:
        """What the provider is shown of it; see `decode.proxy`. `fingerprint`: of the alpha that is bought for it."""

    async def bought(self, seconds: float, output: Held, fingerprint: str, width: int, height: int) -> Alpha:
        """The alpha in a provider's output; see `matte_of`."""

    async def alpha(self, find: Find) -> Alpha | None:
        """The alpha that `find` gives, if any; raises what it raises."""

    async def finished(self, seconds: float, source: Held, alpha: Alpha, wanted: Sequence[Finish]) -> list[Finished]:
        """The pictures; see `finish.finish`."""

    def most(self) -> float:
        """How many items on their way to an alpha keep them all busy: with more, the first pictures only come later."""

    def let_go(self, source: Held) -> None:
        """Drop a source, which can be read again."""

    def hurry(self) -> None:
        """As `Cpu.hurry`."""


def kept_alpha(alphas: AlphaCache, fingerprint: str, doubtful: Callable[[Matte], bool] | None = None) -> Matte | None:
    """The alpha that was bought; None where it is damaged or gone, or doubtful and to be made again. Blocks."""
    from batch_removebg.matting.matte import decode_matte

    data = alphas.load(fingerprint)
    try:
        matte = decode_matte(data) if data is not None else None
    except OutputBroken:
        return None
    return None if matte is not None and doubtful is not None and doubtful(matte) else matte
