"""Without a key the server answers programs of this machine, and no page of a stranger.

A page in a browser here can reach it under a name of its own (DNS rebinding), and send requests whose answers it can't
read (forms, images). Browsers say so: in Host, Origin and Sec-Fetch-Site.
"""

from __future__ import annotations

import ipaddress
import re

from multidict import CIMultiDictProxy

from .protocol import Refusal

_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d{0,5})?", re.ASCII | re.IGNORECASE)


def check(headers: CIMultiDictProxy[str], *, keyless: bool) -> None:
    """Raise Refusal for a request without one valid Host (400) and, where no key is asked, for a stranger's (403)."""
    hosts = headers.getall("Host", [])
    if len(hosts) != 1 or not _AUTHORITY.fullmatch(hosts[0]):
        raise Refusal(400, "Bad request", "the request needs one Host header, with a name or an address")
    if not keyless:
        return
    if not _is_here(hosts[0]):
        raise Refusal(403, "Forbidden", f"{hosts[0]} is no name of this machine; ask for localhost or 127.0.0.1")
    foreign = [origin for origin in headers.getall("Origin", []) if not _is_here(re.sub("^https?://", "", origin))]
    if foreign or any(site.lower() == "cross-site" for site in headers.getall("Sec-Fetch-Site", [])):
        raise Refusal(403, "Forbidden", f"pages of other sites are not answered ({', '.join(foreign) or 'cross-site'})")


def _is_here(authority: str) -> bool:
    found = _AUTHORITY.fullmatch(authority)
    return found is not None and is_loopback(found[1] or found[2])


def is_loopback(host: str) -> bool:
    """Whether a name or an address leads to this machine, wherever it is asked for."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"
