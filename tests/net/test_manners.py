"""URLs are asked for as they are written, and hosts get what is meant for them, and nothing else."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable

import pytest

from batch_removebg.errors import (
    BatchError,
    ConnectionFailed,
    Forbidden,
    RateLimited,
    ServerError,
    SettingsError,
    SourceError,
)
from batch_removebg.net import fetch, headers
from tests.support.raw_server import RawServer, Request, raw_server, reply

pytestmark = pytest.mark.anyio
POLICY = fetch.FetchPolicy(size=1 << 20)


@pytest.fixture
async def host() -> AsyncIterator[RawServer]:
    async with raw_server() as running:
        yield running


async def ask(url: str, *given: str, known: fetch.Validators | None = None) -> fetch.Fetched:
    async with fetch.open_session(public_only=False) as session:
        sent = tuple(map(headers.parse, given))
        return await fetch.get(session, url, fetching=POLICY, headers=sent, known=known or fetch.Validators())


AS_WRITTEN = [
    "/it%27s.jpg?X-Sig=aB%2Fc%3D", "/300x/http%3A%2F%2Fcdn.example%2Fa.jpg", "/a+b.jpg?q=a+b&c=%20", "/%7Euser/%e9.jpg",
    "/a/../b//c.jpg", "/100%.jpg", "/a.jpg?sig=a=b==&x", "/a[1].jpg?b={c}|d^e`", "/a;v=1,2@3:4!$*()'", "/a.jpg?u=http://x/?y",
]  # fmt: skip


@pytest.mark.parametrize("path", AS_WRITTEN)
async def test_a_url_is_asked_for_byte_for_byte_also_after_a_redirect(host: RawServer, path: str) -> None:
    host.answer = lambda asked: (
        reply(b"", "302 Found", f"Location: {host.origin}{path}") if asked.target == "/start" else reply()
    )
    await ask(host.origin + path)
    await ask(host.origin + "/start")
    assert host.targets == [path, "/start", path]


NO_HTTP: dict[str, Callable[[bytes], bytes]] = {
    "banner": lambda _: b"SSH-2.0-OpenSSH_9\r\n",
    "echo": lambda asked: b"GET " + asked + b" HTTP/1.1\r\n\r\n",
    "header": lambda asked: b"HTTP/1.1 200 OK\r\nX-" + asked + b"\r\n\r\n",
    "long": lambda asked: b"HTTP/1.1 200 OK\r\nX: " + 9000 * asked + b"\r\n\r\n",
    "chunk": lambda asked: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + asked + b"\r\n\r\n",
}


@pytest.mark.parametrize("how", NO_HTTP)
async def test_of_what_is_no_http_nothing_is_said_neither_the_url_nor_what_echoes_it(host: RawServer, how: str) -> None:
    host.answer = lambda asked: NO_HTTP[how](asked.target.encode())
    with pytest.raises(ConnectionFailed) as raised:
        await ask(f"{host.origin}/a.jpg?X-Amz-Signature=c4n4ry")
    assert str(raised.value) == f"fetching {host.origin}/a.jpg: the answer can't be read as HTTP"


async def test_an_encoding_that_was_not_asked_for_is_refused_without_the_urls_query(host: RawServer) -> None:
    host.answer = lambda _: reply(b"x", "200 OK", "Content-Encoding: br")
    with pytest.raises(SourceError) as raised:
        await ask(f"{host.origin}/a.jpg?X-Amz-Signature=c4n4ry")
    assert str(raised.value) == f"fetching {host.origin}/a.jpg: it is sent in an encoding that wasn't asked for"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/rote schuhe.jpg?a b", "/rote%20schuhe.jpg?a%20b"),
        ("/größe%20é.jpg?ü", "/gr%C3%B6%C3%9Fe%20%C3%A9.jpg?%C3%BC"),
        ("/a\x01b\x7f.jpg", "/a%01b%7F.jpg"),
        ("/a.jpg#top", "/a.jpg"),
    ],
)
async def test_only_what_cannot_be_sent_is_quoted(host: RawServer, written: str, sent: str) -> None:
    await ask(host.origin + written)
    assert host.targets == [sent]


async def test_bytes_of_a_location_that_are_no_utf_8_are_asked_for_as_they_are(host: RawServer) -> None:
    host.answer = lambda asked: reply(b"", "302 Found", "Location: /\xe9.jpg") if asked.target == "/" else reply()
    await ask(host.origin + "/")
    assert host.targets == ["/", "/%E9.jpg"]


def test_hosts_are_sent_by_idna_and_passwords_as_written() -> None:
    assert str(fetch.as_url("https://u:p%40w@Grüße.example:8443/a%2Fb")) == (
        "https://u:p%40w@xn--gre-6ka8l.example:8443/a%2Fb"
    )


async def test_we_say_who_asks(host: RawServer) -> None:
    await ask(host.origin + "/a.jpg")
    assert host.requests[0].headers["user-agent"].startswith("batch-removebg/")


async def test_twenty_redirects_are_followed_and_no_more(host: RawServer) -> None:
    def countdown(asked: Request) -> bytes:
        left = int(asked.target[1:])
        return reply(b"", f"{303 if left % 2 else 307} Found", f"Location: /{left - 1}") if left else reply(b"there")

    host.answer = countdown
    assert (await ask(host.origin + "/20")).body == b"there"
    with pytest.raises(SourceError, match="more than 20 redirects"):
        await ask(host.origin + "/21")


async def test_cookies_of_a_fetch_go_back_to_their_host_alone_and_end_with_it(host: RawServer) -> None:
    other_of_the_same = host.origin.replace("127.0.0.1", "localhost")

    def gate(asked: Request) -> bytes:
        if asked.target == "/elsewhere":
            return reply(b"", "302 Found", f"Location: {other_of_the_same}/there", "Set-Cookie: own=a/b=; Path=/")
        if asked.target == "/there":
            return reply()
        passed = "pass=1" in asked.headers.get("cookie", "")
        return reply() if passed else reply(b"", "302 Found", f"Location: {asked.target}", "Set-Cookie: pass=1; Path=/")

    host.answer = gate
    await ask(host.origin + "/a.jpg")
    await ask(host.origin + "/elsewhere")
    assert [asked.headers.get("cookie") for asked in host.requests] == [None, "pass=1", None, None]


async def test_headers_of_128_kilobytes_are_taken(host: RawServer) -> None:
    host.answer = lambda asked: reply(b"x", "200 OK", "Content-Security-Policy: " + "a" * 130_000)
    assert (await ask(host.origin + "/a.jpg")).body == b"x"


@pytest.mark.parametrize("headers", [["Content-Encoding: x-gzip"], ["Content-Encoding: gzip"], []])
async def test_gzip_is_unpacked_whatever_it_is_called(host: RawServer, headers: list[str]) -> None:
    host.answer = lambda asked: reply(gzip.compress(b"picture"), "200 OK", *headers)
    assert (await ask(host.origin + "/a.jpg")).body == b"picture"


async def test_what_unpacks_to_more_than_the_cap_is_refused(host: RawServer) -> None:
    host.answer = lambda asked: reply(gzip.compress(bytes(POLICY.size + 1)), "200 OK", "Content-Encoding: x-gzip")
    with pytest.raises(SourceError, match="larger than 1 MiB"):
        await ask(host.origin + "/a.jpg")


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "203 Non-Authoritative Information", "206 Partial"])
async def test_success_with_a_body_is_taken(host: RawServer, status: str) -> None:
    host.answer = lambda asked: reply(b"picture", status)
    assert (await ask(host.origin + "/a.jpg")).body == b"picture"


@pytest.mark.parametrize(
    ("status", "kind", "given", "seconds"),
    [
        ("429 Slow", RateLimited, "7", 7.0),
        ("503 Busy", ServerError, "0.5", 0.5),
        ("429 Slow", RateLimited, "soon", None),
        ("429 Slow", RateLimited, "Thu, 01 Jan 1970 00:00:09 GMT", 0.0),
    ],
)
async def test_a_refusal_carries_the_wait_that_is_asked_for(
    host: RawServer, status: str, kind: type[RateLimited], given: str, seconds: float | None
) -> None:
    host.answer = lambda asked: reply(b"", status, f"Retry-After: {given}")
    with pytest.raises(kind) as caught:
        await ask(host.origin + "/a.jpg")
    assert caught.value.retry_after == seconds


async def test_a_refusal_says_what_the_host_says_of_it(host: RawServer) -> None:
    host.answer = lambda asked: reply(b"<Error><Code>AccessDenied</Code><Key>s3cret</Key></Error>", "403 Forbidden")
    with pytest.raises(Forbidden, match=r"/a\.jpg answers 403 \(AccessDenied\)$"):
        await ask(host.origin + "/a.jpg?sig=s3cret")


async def test_what_has_not_changed_is_not_sent_again(host: RawServer) -> None:
    def cached(asked: Request) -> bytes:
        tell = ('ETag: "1"', "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT")
        return (
            reply(b"", "304 Not Modified", *tell) if "if-none-match" in asked.headers else reply(b"x", "200 OK", *tell)
        )

    host.answer = cached
    first = await ask(host.origin + "/a.jpg")
    again = await ask(host.origin + "/a.jpg", known=first.validators)
    assert (first.body, again) == (b"x", fetch.Fetched(b"", first.validators, unchanged=True))
    assert host.requests[1].headers["if-modified-since"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    host.answer = lambda asked: reply(b"", "304 Not Modified")
    with pytest.raises(SourceError, match="304"):
        await ask(host.origin + "/a.jpg")


# Headers of the user's


@pytest.mark.parametrize(
    ("given", "first", "target", "sent"),
    [
        (
            "Referer: https://s.example/",
            "https://s.example/a",
            "https://s.example/a",
            {"Referer": "https://s.example/"},
        ),
        ("X-Key: k", "https://s.example/a", "https://cdn.example/a", {}),
        ("X-Key: k", "https://s.example/a", "https://s.example:8443/a", {}),
        ("X-Key: k", "http://s.example/a", "https://s.example/a", {"X-Key": "k"}),
        ("X-Key: k", "https://s.example/a", "http://s.example/a", {}),
        ("cdn.example=X-Key: k", "https://s.example/a", "https://CDN.example./a", {"X-Key": "k"}),
        ("cdn.example=X-Key: k", "https://s.example/a", "https://eu.cdn.example/a", {"X-Key": "k"}),
        ("cdn.example=X-Key: k", "https://s.example/a", "https://evilcdn.example/a", {}),
        ("cdn.example=X-Key: k", "https://cdn.example/a", "https://cdn.example.evil/a", {}),
        ("s.example:81=X-Key: k", "http://s.example:81/a", "http://s.example:81/a", {"X-Key": "k"}),
        ("s.example:81=X-Key: k", "http://s.example:82/a", "http://s.example:82/a", {}),
        ("[::1]:81=X-Key: k", "http://[::1]:81/a", "http://[::1]:81/a", {"X-Key": "k"}),
        ("Cookie: a=b: c", "http://s.example/a", "http://s.example/a", {"Cookie": "a=b: c"}),
    ],
)
def test_a_header_goes_to_the_host_that_it_is_for(given: str, first: str, target: str, sent: dict[str, str]) -> None:
    parsed = headers.parse(given)
    assert headers.meant_for(fetch.as_url(target), fetch.as_url(first), [parsed]) == sent


@pytest.mark.parametrize(
    "given",
    ["", "Referer", "X-Key k3y", "a b: c", "Bad: k3y\r\nX: y", "http://s.example=X: k3y", "s.example:x=X-Key: k3y"],
)
def test_what_is_no_header_is_refused_without_its_value(given: str) -> None:
    with pytest.raises(SettingsError, match="write 'NAME: VALUE'") as caught:
        headers.parse(given)
    assert "k3y" not in str(caught.value)


@pytest.mark.parametrize("name", ["Host", "content-length", "cdn.example=Connection"])
def test_of_a_header_that_is_the_requests_own_it_is_said_that_its_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name.rpartition('=')[2]} is none to give: it is the request's own"):
        headers.parse(f"{name}: k3y")


async def test_a_header_does_not_follow_a_redirect_to_another_host(host: RawServer) -> None:
    elsewhere = host.origin.replace("127.0.0.1", "localhost")
    host.answer = lambda asked: reply(b"", "302 Found", f"Location: {elsewhere}/b") if asked.target == "/a" else reply()
    await ask(host.origin + "/a", "X-Key: k3y")
    assert [asked.headers.get("x-key") for asked in host.requests] == ["k3y", None]


async def test_no_error_tells_a_header(host: RawServer) -> None:
    host.answer = lambda asked: reply(b"", "400 Bad Request")
    with pytest.raises(BatchError) as caught:
        await ask(host.origin + "/a", "X-Key: k3y")
    assert "k3y" not in str(caught.value)
