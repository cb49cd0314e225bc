"""Protection against server-side request forgery: foreign URLs may lead to public addresses only.

Judged is the address that is about to be connected to, once, where its socket is made. However a host is spelled,
resolved or redirected to, and whatever other parsers take it for, there is no other way to a connection.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

_CARRY_IPV4 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
"""NAT64 (RFC 6052, RFC 8215) and the IPv4-compatible addresses of RFC 4291: the last 32 bits are an IPv4 address."""


class NotPublic(PermissionError):
    """The address isn't on the public internet."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, f"{address} is not on the public internet; --allow-private permits such hosts")


def is_public(text: str) -> bool:
    """Whether an IP address is on the public internet: not private, link-local, loopback, multicast or reserved.

    An IPv4 address embedded in an IPv6 one (mapped, compatible, 6to4, Teredo, NAT64) must be public as well.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return all(one.is_global and not one.is_multicast for one in (address, *_embedded(address)))


def is_near(host: str) -> bool:
    """Whether a host is this machine or in a private network by its name, so that it may do without https."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _CARRY_IPV4):
        found.append(IPv4Address(address.packed[-4:]))
    return [one for one in found if one is not None]


def public_socket(resolved: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """A socket for a resolved address as `getaddrinfo` gives it; raises NotPublic. aiohttp's `socket_factory`."""
    family, kind, protocol, _, where = resolved
    if not is_public(str(where[0])):
        raise NotPublic(str(where[0]))
    return socket.socket(family, kind, protocol)
