"""Foreign URLs lead to the public internet or nowhere."""

from __future__ import annotations

import socket

import pytest

from batch_removebg.errors import SourceError
from batch_removebg.net import ssrf

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a00:1::",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_and_special_addresses_are_not_public(address: str) -> None:
    assert not ssrf.is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_ordinary_addresses_are_public(address: str) -> None:
    assert ssrf.is_public(address)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://[::1]:8080/x", "https://169.254.169.254/latest", "http://10.0.0.1"]
)
def test_an_address_as_host_is_refused_without_connecting(url: str) -> None:
    with pytest.raises(SourceError, match="--allow-private"):
        ssrf.check(url)


@pytest.mark.parametrize("url", ["https://shop.example/a.jpg", "http://1.1.1.1/", "https://[2606:4700:4700::1111]/"])
def test_names_are_left_to_the_resolver_and_public_addresses_pass(url: str) -> None:
    ssrf.check(url)


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f.1", "2130706433", "0177.0.0.1"])
async def test_names_and_odd_spellings_of_private_addresses_are_refused_after_resolving(host: str) -> None:
    resolver = ssrf.public_resolver()
    with pytest.raises(SourceError, match="--allow-private"):
        await resolver.resolve(host, 80)
    await resolver.close()


@pytest.mark.anyio
async def test_of_a_name_with_private_and_public_addresses_only_the_public_ones_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getaddrinfo(host: str, port: int, *_: object) -> list[object]:
        found = ["10.0.0.1", "93.184.216.34"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = ssrf.public_resolver()
    assert [one["host"] for one in await resolver.resolve("rebind.example", 443)] == ["93.184.216.34"]
    await resolver.close()
