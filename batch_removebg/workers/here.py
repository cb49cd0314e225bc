"""Workers on this machine: threads and processes, which are handed bytes."""

# ruff: noqa: D102  # the methods are Workers', and explained there

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Item, Matte, ProxySpec
from batch_removebg.net.fetch import Validators
from batch_removebg.resources import Cpu, patience
from batch_removebg.storage.spool import Held, loaded

from .base import Alpha, Find, Read
from .reading import Reader

if TYPE_CHECKING:
    from batch_removebg.finish.options import Finish, Finished
    from batch_removebg.imaging.decode import Proxy
    from batch_removebg.imaging.format import Limits
    from batch_removebg.imaging.probe import Measured


@dataclass(frozen=True, slots=True)
class Here:
    """Workers of which `cpu` has as many as there are cores."""

    cpu: Cpu
    reader: Reader
    limits: Limits

    async def read(self, item: Item, known: Validators) -> Read:
        found = await self.reader.read(item, known)
        return Read(found.body, found.validators, found.unchanged)

    async def sha256(self, source: Held) -> str:
        return await self.cpu.run(sha256_hex, loaded(source))

    async def measured(self, source: Held, forms: Sequence[str]) -> Measured:
        from batch_removebg.imaging import probe

        return await self.cpu.isolated(patience(0), probe.measure, source, self.limits, forms)

    async def proxy(self, seconds: float, source: Held, spec: ProxySpec, fingerprint: str) -> Proxy:
        from batch_removebg.imaging.decode import proxy

        return await self.cpu.isolated(seconds, proxy, source, spec, self.limits)

    async def bought(self, seconds: float, output: Held, fingerprint: str, width: int, height: int) -> Matte:
        from batch_removebg.matting.matte import matte_of

        read = partial(matte_of, width=width, height=height, limits=self.limits)
        return await self.cpu.isolated(seconds, read, output)

    async def alpha(self, find: Find) -> Matte | None:
        return await self.cpu.run(find)

    async def finished(self, seconds: float, source: Held, alpha: Alpha, wanted: Sequence[Finish]) -> list[Finished]:
        from batch_removebg.finish import finish

        return await self.cpu.isolated(seconds, finish.finish, source, alpha, wanted, self.limits)

    def most(self) -> float:
        return math.inf  # threads and memory bound what is done

    def let_go(self, source: Held) -> None:
        pass

    def hurry(self) -> None:
        self.cpu.hurry()
