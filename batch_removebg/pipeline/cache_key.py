"""What a picture is made with: a finished item with another digest has to be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from batch_removebg.finish.options import Finish
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Item, ProxySpec, UrlRow

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

    @cached_property
    def digest(self) -> str:
        """Of the whole recipe: under another one, saved pictures are made again, from kept alphas where possible."""
        return _digest([self._bought, self.finish.look(), self.passes_urls])

    @cached_property
    def passed(self) -> str:
        """The same for URLs that the API fetches itself: few fields of `finish` apply to its cutout."""
        return _digest([self._bought, self.finish.look(passed=True), self.passes_urls])

    def digest_of(self, item: Item | UrlRow) -> str:
        """The digest of the item's picture."""
        return self.passed if item.path is None and self.passes_urls else self.digest

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
        return [self.provider, self.version, dict(self.inputs), proxy]


def _digest(value: Any) -> str:
    return sha256_hex(json.dumps(value, sort_keys=True))[:_DIGITS]
