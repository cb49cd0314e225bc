"""Proxies of the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in capitals or not.

What a name means behind a proxy, this machine can't see. So a host that is an address, or a name which this machine
knows, must be public before the proxy is asked for it. One that it doesn't know is left to the proxy, unless it has no
dot or a private ending such as `.internal`. The proxy's own address may be private.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from contextvars import ContextVar
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

from batch_removebg.errors import SettingsError

from . import ssrf

if TYPE_CHECKING:
    from yarl import URL

_to_proxy = ContextVar("_to_proxy", default=False)  # what is connected to now is the proxy itself


def proxy_of(target: URL) -> URL | None:
    """The proxy for a URL, with user and password where it has them; raises SettingsError for one that isn't HTTP."""
    from yarl import URL

    proxies, host = getproxies(), target.host or ""
    name = target.scheme if proxies.get(target.scheme) else "all"
    said = proxies.get(name)
    if not said or proxy_bypass(f"{host}:{target.port}") or _in_network(host, proxies.get("no", "")):
        return None
    with suppress(ValueError):
        proxy = URL(said if "://" in said else f"http://{said}")
        if proxy.scheme in ("http", "https") and proxy.host:
            return proxy
    raise SettingsError(f"{name.upper()}_PROXY names no HTTP proxy; give one such as http://HOST:3128, or unset it")


def _in_network(host: str, listed: str) -> bool:
    """Whether NO_PROXY lists a network (`10.0.0.0/8`) that the address is in."""
    for one in listed.split(","):
        with suppress(ValueError):
            if ip_address(host) in ip_network(one.strip(), strict=False):
                return True
    return False


async def through(proxy: URL | None, target: URL, *, public_only: bool) -> None:
    """Say that this task connects to `proxy`, or to no proxy; raises ssrf.NotPublic where it must not ask for that."""
    if proxy is not None and public_only:
        host, known = unquote(target.raw_host or ""), []  # a proxy may decode it
        with suppress(socket.gaierror, UnicodeError):
            known = await asyncio.get_running_loop().getaddrinfo(host, target.port)
        inside = [host] if "." not in host or ssrf.is_near(host) else []
        for address in [str(where[0]) for *_, where in known] or inside:
            if not ssrf.is_public(address):
                raise ssrf.NotPublic(address)
    _to_proxy.set(proxy is not None)


def public_socket(resolved: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """`ssrf.public_socket`, but for the proxy's own."""
    return socket.socket(*resolved[:3]) if _to_proxy.get() else ssrf.public_socket(resolved)
