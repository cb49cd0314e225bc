"""Nothing foreign gets more of us than the policy allows, or a key that is not its own."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web as server

from batch_removebg.errors import BatchError, ConnectionFailed, OutputBroken, PredictionLost, RateLimited, ServerError
from batch_removebg.errors import SourceError as Refused
from batch_removebg.net import fetch as web
from tests.support.doubles import cutout
from tests.support.fake_api import FakeApi, Handler
from tests.support.wire import cut_short, dripping, endless, hang, hang_up, page, redirect, reset, says

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def picture(data: bytes) -> Handler:
    async def answer(request: server.Request) -> server.Response:
        return server.Response(body=data)

    return answer


async def fetch(api: FakeApi, session: aiohttp.ClientSession, path: str = "/a.png", **fetching: float) -> bytes:
    return (await web.get(session, api.origin + path, fetching=web.FetchPolicy(**fetching))).body  # type: ignore[arg-type]  # sizes are ints


@pytest.mark.parametrize("public_only", [False, True])
async def test_a_lazy_session_is_one_like_any_other_and_closed_with_its_block(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, public_only: bool
) -> None:
    opened: list[tuple[bool, aiohttp.ClientSession]] = []
    open_it = web.open_session

    def noted(*, public_only: bool, **others: Any) -> aiohttp.ClientSession:
        opened.append((public_only, open_it(public_only=public_only, **others)))
        return opened[-1][1]

    monkeypatch.setattr(web, "open_session", noted)
    async with web.lazy_session(public_only=public_only) as session:
        assert opened == []
        first = session()
        assert session() is first
        assert opened == [(public_only, first)]
        assert not first.closed
    assert first.closed


async def test_a_session_that_nobody_needed_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "open_session", lambda **_: pytest.fail("opened a session"))
    async with web.lazy_session(public_only=True):
        pass


async def test_a_lazy_session_is_closed_where_the_block_fails() -> None:
    opened: list[aiohttp.ClientSession] = []

    async def fail() -> None:
        async with web.lazy_session(public_only=False) as session:
            opened.append(session())
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert opened[0].closed


async def test_a_body_comes_whole(api: FakeApi, session: aiohttp.ClientSession) -> None:
    api.respond("GET", "/a.png", picture(b"x" * 500_000))
    assert await fetch(api, session) == b"x" * 500_000


async def test_a_body_as_large_as_the_cap_passes_and_one_byte_more_does_not(
    api: FakeApi, session: aiohttp.ClientSession
) -> None:
    api.respond("GET", "/a.png", picture(b"x" * (1 << 20)))
    assert len(await fetch(api, session, size=1 << 20)) == 1 << 20
    with pytest.raises(Refused, match="larger than"):
        await fetch(api, session, size=(1 << 20) - 1)


async def test_an_endless_body_is_cut_off_at_the_cap(api: FakeApi, session: aiohttp.ClientSession) -> None:
    api.respond("GET", "/a.png", endless(200))
    with pytest.raises(Refused, match="larger than 1 MiB"):
        await fetch(api, session, size=1 << 20)


@pytest.mark.parametrize("fault", [dripping(), hang], ids=["dripping", "hang"])
async def test_the_whole_exchange_has_its_time_and_no_more(
    api: FakeApi, session: aiohttp.ClientSession, fault: Handler
) -> None:
    api.respond("GET", "/a.png", fault)
    with pytest.raises(ConnectionFailed, match="no answer in time"):
        await fetch(api, session, seconds=0.1)


@pytest.mark.parametrize("fault", [hang_up, reset, cut_short()], ids=["hang_up", "reset", "cut_short"])
async def test_a_broken_connection_may_be_tried_again(
    api: FakeApi, session: aiohttp.ClientSession, fault: Handler
) -> None:
    api.respond("GET", "/a.png", fault)
    with pytest.raises(ConnectionFailed, match=r"fetching http://127.0.0.1:\d+/a.png: "):
        await fetch(api, session)


async def test_no_connection_may_be_tried_again(session: aiohttp.ClientSession) -> None:
    async with FakeApi() as closed:
        pass
    with pytest.raises(ConnectionFailed):
        await web.get(session, closed.origin + "/a.png", fetching=web.FetchPolicy())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, PredictionLost),
        (410, PredictionLost),
        (429, RateLimited),
        (408, ServerError),
        (500, ServerError),
        (503, ServerError),
        (524, ServerError),
        (400, Refused),
        (401, Refused),
        (403, Refused),
        (204, Refused),
        (304, Refused),
    ],
)
async def test_a_refusal_is_the_class_of_its_remedy(
    api: FakeApi, session: aiohttp.ClientSession, status: int, kind: type[BatchError]
) -> None:
    api.respond("GET", "/a.png", page(status))
    with pytest.raises(kind, match=str(status)):
        await fetch(api, session)


async def test_redirects_are_followed_as_far_as_the_cap(api: FakeApi, session: aiohttp.ClientSession) -> None:
    for hop in range(3):
        api.respond("GET", f"/{hop}", redirect(f"/{hop + 1}", (301, 307, 308)[hop]))
    api.respond("GET", "/3", picture(b"there"))
    assert await fetch(api, session, "/0", redirects=3) == b"there"
    with pytest.raises(Refused, match="more than 2 redirects"):
        await fetch(api, session, "/0", redirects=2)


async def test_a_circle_of_redirects_ends(api: FakeApi, session: aiohttp.ClientSession) -> None:
    api.respond("GET", "/a.png", redirect("/a.png"))
    with pytest.raises(Refused, match="redirects lead in a circle"):
        await fetch(api, session)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("data:image/png;base64,AAAA", "only http and https"),
        ("ftp://example.com/a.png", "only http and https"),
        ("http://[bad/a.png", "this is no URL"),
        ("http://h:99999/a.png", "this is no URL"),
        ("https:///a.png", "this is no URL"),
    ],
)
async def test_a_redirect_leads_to_nothing_but_http(
    api: FakeApi, session: aiohttp.ClientSession, to: str, said: str
) -> None:
    api.respond("GET", "/a.png", redirect(to))
    with pytest.raises(Refused, match=said):
        await fetch(api, session)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "/etc/passwd", "", "http://[bad/a", "http://h:99999/", "http://h:x/", "http:///a", "http://\ud800/"],
)  # fmt: skip
async def test_what_is_no_http_address_is_refused_for_good(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(Refused):
        await web.get(session, url, fetching=web.FetchPolicy())


# The key


async def test_the_key_goes_to_its_own_origin_only_also_after_a_redirect(
    api: FakeApi, session: aiohttp.ClientSession
) -> None:
    own = web.OwnApi(web.origin(api.origin), session, "Bearer secret")
    api.respond("GET", "/own", picture(b"own"))
    api.respond("GET", "/away", redirect(api.other + "/out/a.png"))
    assert (await web.get(session, api.origin + "/own", fetching=web.FetchPolicy(), own=own)).body == b"own"
    assert (await web.get(session, api.origin + "/away", fetching=web.FetchPolicy(), own=own)).body == cutout()
    assert (await web.get(session, api.other + "/out/a.png", fetching=web.FetchPolicy(), own=own)).body == cutout()
    assert [seen.key for seen in api.requests] == ["Bearer secret", "Bearer secret"]
    assert [seen.key for seen in api.foreign] == [None, None]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://api.example/v1", "https://API.EXAMPLE:443/out", True),
        ("http://api.example/v1", "http://api.example:80/", True),
        ("https://api.example/", "http://api.example/", False),
        ("https://api.example/", "https://api.example:8443/", False),
        ("https://api.example/", "https://api.example.evil/", False),
        ("https://api.example/", "https://evil/api.example/", False),
        ("https://api.example/", "https://api.example@evil/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (web.origin(one) == web.origin(other)) is same


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host:8443/a.png?X-Amz-Signature=s3cret#f", "https://host:8443/a.png"),
        ("https://host/a.png", "https://host/a.png"),
        ("data:image/png;base64," + "A" * 1000, "data:image/png;base64,AA…"),
        ("http://[bad?token=s3cret", "a malformed URL"),
        ("http://h:99999/?token=s3cret", "a malformed URL"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert web.redacted(url) == shown


async def test_no_error_tells_the_query_of_a_signed_url(api: FakeApi, session: aiohttp.ClientSession) -> None:
    for fault in (says(403), hang_up, endless(200), redirect("https:///?s3cret")):
        api.respond("GET", "/a.png", fault)
        with pytest.raises(BatchError) as caught:
            await fetch(api, session, "/a.png?sig=s3cret", size=1 << 20)
        assert "s3cret" not in str(caught.value)


# Data URIs


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n").decode(), b"\x89PNG\r\n"),
        ("data:image/png;BASE64,AAEC", b"\0\1\2"),
        ("data:;base64,AAEC", b"\0\1\2"),
        ("data:image/png;base64,AAE%3D", b"\0\1"),
        ("data:image/png;base64,AAE", b"\0\1"),
        ("data:image/png;base64,\n AAEC\r\nAAEC\n", b"\0\1\2\0\1\2"),
        ("data:image/png;base64,-_-_", b"\xfb\xff\xbf"),
        ("data:,a%20cat", b"a cat"),
        ("data:text/plain;charset=utf-8,a,b", b"a,b"),
        ("data:,", b""),
    ],
)
def test_a_data_uri_is_decoded(url: str, data: bytes) -> None:
    assert web.data_uri(url) == data


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:image/png;base64,A", "data:image/png;base64,%%%"])
def test_a_broken_data_uri_is_a_broken_output(url: str) -> None:
    with pytest.raises(OutputBroken, match="data URI"):
        web.data_uri(url)
