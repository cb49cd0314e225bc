"""Headers that the user gives for the hosts of sources: each goes to its own host only, and is never written down."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batch_removebg.errors import SettingsError

if TYPE_CHECKING:
    from yarl import URL

_GIVEN = re.compile(
    r"(?:((?:\[[\da-fA-F:.]+\]|[^\s=:]+)(?::\d+)?)=)?([\w!#$%&'*+.^`|~-]+):\s*([ -~\xa0-\xff]*)", re.ASCII
)
_MISPLACED = re.compile(r"https?|localhost|.*\..*", re.IGNORECASE)  # a name that is a host's where a `=` comes later
_OURS = {"host", "connection", "content-length", "transfer-encoding", "proxy-authorization"}
Header = tuple[str, str, str]
"""Host, perhaps with a port (empty: that of the URL itself), name and value."""


def parse(given: str) -> Header:
    """A header of `NAME: VALUE` or `HOST=NAME: VALUE`; raises SettingsError, without the value."""
    found = _GIVEN.fullmatch(given.strip())
    if found is not None and found[2].lower() in _OURS:
        raise SettingsError(f"{found[2]} is none to give: it is the request's own; leave it off")
    if found is None or (not found[1] and "=" in found[3] and _MISPLACED.fullmatch(found[2])):
        raise SettingsError(
            "write 'NAME: VALUE' or 'HOST[:PORT]=NAME: VALUE', such as 'Referer: https://shop.example/'"
        )
    return re.sub(r"[\[\]]", "", found[1] or "").lower().lstrip("*.").rstrip("."), found[2], found[3]


def meant_for(target: URL, first: URL, headers: Sequence[Header]) -> dict[str, str]:
    """Those for `target` on the way from the URL `first`: no host gets another's, and none goes in clear after TLS."""
    if first.scheme == "https" != target.scheme:
        return {}
    host = (target.host or "").rstrip(".")
    same = (first.host, first.port if first.scheme == target.scheme else target.port) == (target.host, target.port)
    names = f".{host} .{host}:{target.port} "
    return {name: value for of, name, value in headers if (f".{of} " in names if of else same)}
