"""Which item is a row? By what its owner calls it, so that it stays the same one when its picture changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from batch_removebg.model import Item, UrlRow
from batch_removebg.net.urls import clean, scrubbed
from batch_removebg.storage.layout import DEFAULT_TEMPLATE
from batch_removebg.storage.naming import by_row, render


@dataclass(frozen=True, slots=True)
class Identity:
    """The rule of ids: the id column, else the output column, else the name by the template, else path or URL."""

    template: str = DEFAULT_TEMPLATE
    ignored: frozenset[str] = frozenset()  # parameters of URLs, in lower case, that don't tell pictures apart

    def of_all(self, rows: Sequence[Item | UrlRow]) -> Sequence[Item | UrlRow]:
        """The rows under ids of their own, as they may be shown; raises SettingsError as `render` does."""
        return [self._plain(row) if isinstance(row, UrlRow) else self.of(row) for row in rows]

    def _plain(self, row: UrlRow) -> UrlRow:
        """The same of a row of a plain table, which has an id, and is changed in place."""
        row.id = clean(row.id, self.ignored)
        if (source := clean(row.source, self.ignored)) != row.source:
            row.source, row.url = source, row.source
        if row.meta:
            row.meta = _shown(row.meta, self.ignored)
        return row

    def of(self, item: Item) -> Item:
        """The same of one item."""
        if item.path is not None and not ("?" in item.id or item.own_id or item.meta or item.suffix or item.output):
            return item
        first, source = clean(item.id, self.ignored), clean(item.source, self.ignored)
        meta = _shown(item.meta, self.ignored) if item.meta else item.meta
        own = first if item.own_id else item.output
        if own is None and meta and by_row(self.template):
            own = render(self.template, replace(item, id=first, meta=meta))
        if own in (None, "", "_"):  # then the picture's own address tells it apart, also from others of its row
            own, item = first, replace(item, suffix="")
        own = f"{own}{item.suffix}"
        return replace(
            item,
            id=own,
            source=source,
            url=item.url or (item.source if source != item.source else None),
            meta=meta,
            name=item.name or (first if own != first else None),
            was=tuple(dict.fromkeys(before for one in (*item.was, item.id) if (before := clean(one)) != own)),
        )


def numbered(item: Item, number: int) -> Item:
    """The item as the `number`-th with its id."""
    mark = f"-{number}"
    return replace(item, id=item.id + mark, name=item.name or item.id, suffix=item.suffix + mark)


def _shown(meta: Mapping[str, Any], ignored: frozenset[str]) -> Mapping[str, Any]:
    """A row's further columns without what lets somebody in."""
    changed = {name: shown for name, cell in meta.items() if (shown := _cell(cell, ignored)) != cell}
    return {**meta, **changed} if changed else meta


def _cell(cell: Any, ignored: frozenset[str]) -> Any:
    if isinstance(cell, dict | list):
        return msgspec.json.decode(scrubbed(msgspec.json.encode(cell).decode(), ignored))
    return scrubbed(cell, ignored) if isinstance(cell, str) else cell
