"""What a picture is made with: a finished item with another digest has to be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from batch_removebg.finish.options import Finish
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Item, ProxySpec, UrlRow
from batch_removebg.storage.objects import is_object

_DIGITS = 32


@dataclass(frozen=True)
class Recipe:
    """Everything but the source that decides how the output looks."""

    provider: str
    version: str
    inputs: Mapping[str, Any]  # the model's other inputs, and the name of its field for the picture
    proxy: ProxySpec
    finish: Finish
    passes_urls: bool  # the API fetches URLs itself, and its cutout is the picture
    limits: tuple[int | bool, ...] = ()  # bounds of sources: they decide whether an item fails, not how a picture looks
    others: tuple[Finish, ...] = ()  # further pictures of each item, for other presets
    redo: Mapping[str, Any] = field(
        default_factory=dict
    )  # options in the place of the run's own, as the ledger has them

    @property
    def finishes(self) -> tuple[Finish, ...]:
        """One for each picture of an item."""
        return self.finish, *self.others

    @cached_property
    def digest(self) -> str:
        """Of the whole recipe: under another one, saved pictures are made again, from kept alphas where possible."""
        return _whole(self._digests[False])

    @cached_property
    def passed(self) -> str:
        """The same for URLs that the API fetches itself: few fields of `finish` apply to its cutout."""
        return _whole(self._digests[True])

    def scaled(self, factors: Sequence[tuple[float | None, float]]) -> Recipe:
        """The same with a factor for each picture, as others of a group have, and the largest that isn't enlarged."""
        finish, *others = (
            replace(finish, geometry=replace(finish.geometry, scale=scale, unenlarged=most))
            for finish, (scale, most) in zip(self.finishes, factors, strict=True)
        )
        return replace(self, finish=finish, others=tuple(others))

    @property
    def copied(self) -> str:
        """Of a URL's picture that a copy may be made of as it is; empty where more is on record of pictures."""
        return "" if self.finish.preset or self.finish.laid_out else self.passed

    def digest_of(self, item: Item | UrlRow) -> str:
        """The digest of the item's pictures together."""
        return self.passed if self.passes(item) else self.digest

    def passes(self, item: Item | UrlRow) -> bool:
        """Whether the API fetches the item itself; what is in a bucket it can't."""
        return item.path is None and self.passes_urls and not is_object(item.source)

    def digests_of(self, item: Item | UrlRow) -> tuple[str, ...]:
        """The digest of each of the item's pictures."""
        return self._digests[self.passes(item)]

    @cached_property
    def _digests(self) -> Mapping[bool, tuple[str, ...]]:
        """Of each picture, by whether the API fetches the URL itself."""

        def digest(finish: Finish, *, passed: bool) -> str:
            return _digest([self._bought, finish.look(passed=passed), self.passes_urls])

        return {way: tuple(digest(each, passed=way) for each in self.finishes) for way in (False, True)}

    @cached_property
    def tried(self) -> str:
        """Of recipe and limits: an item that failed under others is tried again."""
        return _digest([self.passed, *self.limits])

    def fingerprint(self, source: str) -> str:
        """Of the alpha that a prediction buys for `source` (a content digest or a URL), whatever is made from it."""
        return _digest([source, self._bought])

    @cached_property
    def _bought(self) -> list[Any]:
        proxy = asdict(self.proxy)
        del proxy["more"]
        if proxy["zoom"] is None:  # as it was before there was any
            del proxy["zoom"]
        return [self.provider, self.version, dict(self.inputs), proxy]


def _whole(digests: tuple[str, ...]) -> str:
    return digests[0] if len(digests) == 1 else _digest(digests)


def _digest(value: Any) -> str:
    return sha256_hex(json.dumps(value, sort_keys=True))[:_DIGITS]
