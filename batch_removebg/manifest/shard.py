"""One of several runs that divide the rows of a manifest among them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from batch_removebg.hashing import hash64

_FOLDER = re.compile(r"shard-(\d{3,})-of-(\d{3,})")


class Shard(NamedTuple):
    """The `number`-th of `of` shards, from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def folder(self) -> str:
        """The name of its OUT, in the folder that the shards have in common."""
        return f"shard-{self.number:03}-of-{self.of:03}"

    @classmethod
    def named(cls, folder: str) -> Self | None:
        """The shard whose OUT has that name; None where it is no shard's."""
        found = _FOLDER.fullmatch(folder)
        return cls(*map(int, found.groups())) if found else None

    def has(self, source: str) -> bool:
        """Whether what is read from there is the shard's: one source is of one shard, whatever the machine."""
        return hash64(source) % self.of == self.number - 1

    def share(self, count: int) -> int:
        """Its part of so many; the parts of all shards add up to them."""
        return count // self.of + (self.number <= count % self.of)


@dataclass(slots=True)
class Tally:
    """How many items there are, and a digest of their ids, whatever order they come in."""

    items: int = 0
    digest: int = 0

    def add(self, item: str) -> None:
        """Count the item with this id."""
        self.items += 1
        self.digest = (self.digest + hash64(item)) % 2**64

    def told(self) -> Mapping[str, Any]:
        """The same for the ledger."""
        return {"items": self.items, "digest": f"{self.digest:016x}"}
