"""What a picture is made with: the identity that tells a finished item from one to be done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from batch_removebg.finish.options import Finish
from batch_removebg.model import Item, ProxySpec


@dataclass(frozen=True)
class Recipe:
    """Everything but the source that decides how the output looks."""

    provider: str
    version: str
    inputs: Mapping[str, Any]
    """Further inputs of the model, and the field the picture goes into."""
    proxy: ProxySpec
    finish: Finish
    passes_urls: bool
    """URLs go to the provider as they are, and its cutout is the picture."""
    limits: tuple[int | bool, ...] = ()
    """What is refused: no part of how a picture looks, but of whether an item fails."""

    @cached_property
    def digest(self) -> str:
        """Of the whole recipe: another one means that saved pictures are made anew, from kept alphas where possible."""
        return _digest([self._bought, self.finish.look(), self.passes_urls])

    @cached_property
    def passed(self) -> str:
        """The same of URLs that go to the provider as they are, since its cutout is not finished but for its format."""
        return _digest([self._bought, self.finish.look(passed=True), self.passes_urls])

    def digest_of(self, item: Item) -> str:
        """The digest that the item's picture is made with."""
        return self.passed if item.path is None and self.passes_urls else self.digest

    @cached_property
    def tried(self) -> str:
        """Of the recipe and the limits: an item that failed under others is tried again."""
        return _digest([self.passed, *self.limits])

    def fingerprint(self, source: str) -> str:
        """Of what a prediction buys for `source` (a content digest or a URL): the alpha, whatever becomes of it."""
        # What `_digest([source, self._bought])` gives, without writing the second part anew for each source.
        return _digest_of(f"[{json.dumps(source)}, {self._bought_text}]")

    @cached_property
    def _bought_text(self) -> str:
        return json.dumps(self._bought, sort_keys=True)

    @cached_property
    def _bought(self) -> list[Any]:
        return [self.provider, self.version, dict(self.inputs), asdict(self.proxy)]


def _digest(value: Any) -> str:
    return _digest_of(json.dumps(value, sort_keys=True))


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
