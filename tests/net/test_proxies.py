"""Proxies of the environment are asked, and none helps a foreign URL to what is private."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from batch_removebg.errors import SettingsError, SourceError, Unreachable
from batch_removebg.net import fetch, proxies
from tests.support.raw_server import RawServer, raw_server, reply

pytestmark = pytest.mark.anyio


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RawServer]:
    async with raw_server() as running:
        address = running.origin.replace("http://", "http://user:p%40ss@")
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("HTTPS_PROXY", address)
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with fetch.open_session(public_only=True) as opened:
        yield opened


PUBLIC = fetch.FetchPolicy(public_only=True)


async def test_the_proxy_is_asked_for_the_url_as_written_though_it_is_on_a_private_address(
    proxy: RawServer, session: aiohttp.ClientSession
) -> None:
    url = "http://images.example.test/it%27s.jpg?sig=a%2Fb"
    assert (await fetch.get(session, url, fetching=PUBLIC)).body == b"picture"
    assert proxy.targets == [url]
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "169.254.169.254", "0x7f.1", "2130706433", "localhost", "%31%32%37.0.0.1", "[::1]",
     "intranet", "a.internal"],
)  # fmt: skip
async def test_the_proxy_is_not_asked_for_private_hosts(
    proxy: RawServer, session: aiohttp.ClientSession, host: str
) -> None:
    with pytest.raises(SourceError, match=r"not on the public internet; --allow-private permits such hosts$"):
        await fetch.get(session, f"http://{host}/a.jpg", fetching=PUBLIC)
    assert proxy.requests == []


async def test_a_proxy_opens_no_direct_way_to_its_own_or_any_private_address(
    proxy: RawServer, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetch.get(session, "http://images.example.test/a.jpg", fetching=PUBLIC)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(SourceError, match="not on the public internet"):
        await fetch.get(session, f"{proxy.origin}/a.jpg", fetching=PUBLIC)
    assert len(proxy.requests) == 1


@pytest.mark.parametrize(
    ("listed", "asked"),
    [
        ("", True), ("shop.example", False), (".example", False), ("*", False),
        ("other.example, img.shop.example", False),
        ("img.shop.example:80", False), ("img.shop.example:81", True), ("op.example", True),
    ],
)  # fmt: skip
def test_no_proxy_names_hosts_and_their_subdomains(monkeypatch: pytest.MonkeyPatch, listed: str, asked: bool) -> None:
    monkeypatch.setenv("HTTP_PROXY", "proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", listed)
    found = proxies.proxy_of(URL("http://img.shop.example/a.jpg"))
    assert found == (URL("http://proxy.test:3128") if asked else None)


def test_no_proxy_names_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,fd00::/8,::1")
    found = [proxies.proxy_of(URL(f"https://{host}/")) for host in ("10.1.2.3", "[fd00::1]", "[::1]", "11.1.2.3")]
    assert found == [None, None, None, URL("http://proxy.test:3128")]


def test_a_proxy_of_another_kind_stops_with_its_variable_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:s3cret@127.0.0.1:1080")
    with pytest.raises(SettingsError, match=r"^HTTPS_PROXY names no HTTP proxy") as caught:
        proxies.proxy_of(URL("https://shop.example/"))
    assert "s3cret" not in str(caught.value)


async def test_a_refusing_proxy_is_named_without_its_password(proxy: RawServer, session: aiohttp.ClientSession) -> None:
    proxy.answer = lambda asked: reply(b"", "407 Proxy Authentication Required")
    with pytest.raises(Unreachable, match=r"the proxy answers 407 \(Proxy Authentication Required\)$") as caught:
        await fetch.get(session, "https://images.example.test/a.jpg", fetching=PUBLIC)
    assert "p%40ss" not in str(caught.value)
    assert (proxy.requests[0].method, proxy.targets) == ("CONNECT", ["images.example.test:443"])


async def test_a_proxy_that_is_down_is_named_without_its_password(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:s3cret@127.0.0.1:1")
    with pytest.raises(
        Unreachable, match=r"the proxy 127\.0\.0\.1:1 can't be reached \(.+\); check HTTPS_PROXY$"
    ) as caught:
        await fetch.get(session, "http://images.example.test/a.jpg", fetching=PUBLIC)
    assert "s3cret" not in str(caught.value)
