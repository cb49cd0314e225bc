"""Protection against server-side request forgery: foreign URLs may lead to public addresses only.

The addresses that were checked are the ones that are connected to, so a name that resolves differently the second time
(DNS rebinding) gains nothing. Every redirect is checked again.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batch_removebg.errors import SourceError

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether an IP address is on the public internet: not private, link-local, loopback, multicast or reserved.

    An IPv4 address embedded in an IPv6 one (mapped, 6to4, Teredo, NAT64) must be public as well.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return all(one.is_global and not one.is_multicast for one in (address, *_embedded(address)))


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(address.packed[-4:]))
    return [one for one in found if one is not None]


def check(url: str) -> None:
    """Raise SourceError for a URL whose host is a literal address that isn't public."""
    host = urlsplit(url).hostname or ""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return  # the resolver's to check, which also turns short and octal spellings into addresses
    if not is_public(host):
        raise SourceError(_refusal(host))


def _refusal(host: str) -> str:
    return f"{host} is not on the public internet; --allow-private permits such addresses"


def public_resolver() -> AbstractResolver:
    """A resolver for aiohttp that returns public addresses only."""
    from aiohttp.resolver import ThreadedResolver

    class PublicResolver(ThreadedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            public = [one for one in found if is_public(one["host"])]
            if not public:
                raise SourceError(_refusal(host))
            return public

    return PublicResolver()
