"""Foreign URLs lead to the public internet or nowhere."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from batch_removebg.errors import ConnectionFailed, SourceError
from batch_removebg.net import fetch, ssrf
from tests.support.fake_api import FakeApi
from tests.support.wire import redirect

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "fec0::1",
    "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b:1::7f00:1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"]


def test_private_and_special_addresses_are_not_public() -> None:
    for address in PRIVATE:
        assert not ssrf.is_public(address), address


@pytest.mark.parametrize("address", PUBLIC)
def test_ordinary_addresses_are_public(address: str) -> None:
    assert ssrf.is_public(address)


SPELLINGS = [
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.000.000.001", "0", "00000", "0.0.0.0", "0.0.0.0.",
    "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "0177.1", "017700000001", "127.0.0.1%00",
    "127。0。0。1", "１２７.０.０.１", "１２７.1", "①②⑦.⓪.⓪.①", "127．0．0．1", "127｡0｡0｡1", "٢١٣٠٧٠٦٤٣٣",
    "%31%32%37.0.0.1", "localhost", "LOCALHOST", "localhost.", "ⅼocalhost", "ＬＯＣＡＬＨＯＳＴ", "loc\u00adalhost",
    "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "[::]",
    "[fe80::1%25lo]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "user:word@127.0.0.1", "1.1.1.1@127.0.0.1", "1.1.1.1:80@127.0.0.1", "127.0.0.1#@1.1.1.1", "127.0.0.1\\@1.1.1.1",
]  # fmt: skip
"""Hosts that lead to this machine, or seem to for some parser."""


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as running:
        yield running


@pytest.mark.anyio
async def test_no_spelling_of_a_private_host_reaches_it_through_the_real_session(api: FakeApi) -> None:
    port = urlsplit(api.origin).port
    for host in SPELLINGS:
        plain = "#" not in host and "\\" not in host
        at = f"{host}:{port}" if plain else host.replace("127.0.0.1", f"127.0.0.1:{port}")
        async with fetch.open_session(public_only=True) as session:
            with pytest.raises((SourceError, ConnectionFailed)):
                await fetch.get(session, f"http://{at}/secret", fetching=fetch.FetchPolicy(seconds=5))
        assert api.requests == [], host


@pytest.mark.anyio
async def test_a_redirect_to_a_private_address_is_refused_with_the_remedy(api: FakeApi) -> None:
    api.respond("GET", "/a.png", redirect("http://localhost:1/secret"))
    async with fetch.open_session(public_only=False) as own, fetch.open_session(public_only=True) as session:
        with pytest.raises(SourceError, match=r"(127\.0\.0\.1|::1) is not on the public internet; --allow-private"):
            await fetch.get(
                session,
                f"{api.origin}/a.png",
                fetching=fetch.FetchPolicy(),
                own=fetch.OwnApi(fetch.origin(api.origin), own),
            )


def test_of_a_name_with_private_and_public_addresses_only_the_public_ones_get_a_socket() -> None:
    resolved = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    with pytest.raises(ssrf.NotPublic, match="--allow-private"):
        ssrf.public_socket((*resolved, ("10.0.0.1", 443)))
    ssrf.public_socket((*resolved, ("93.184.216.34", 443))).close()
