"""What clients hand the server: files, data URIs, addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
import anyio
import pytest
from aiohttp import web

from batch_removebg.net.fetch import FetchPolicy
from batch_removebg.server.listen import INPUT_POLICY
from tests.support.local_doubles import Api, api_server, picture

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server() as running:
        yield running


async def test_a_file_lives_from_upload_to_delete(api: Api) -> None:
    data = picture()
    made = await api.upload(data, "my cat.png", metadata='{"shelf": 3}')
    assert (made["name"], made["content_type"], made["size"]) == ("my cat.png", "image/png", len(data))
    assert (made["metadata"], made["created_at"]) == ({"shelf": 3}, "2026-01-01T00:00:00.000000Z")
    assert made["expires_at"] == "2026-01-01T01:00:00.000000Z"
    assert await api.ask("GET", f"/files/{made['id']}") == (200, made)
    other = await api.upload(b"dog", "dog.txt", "text/html")
    assert (await api.ask("GET", "/files"))[1] == {"previous": None, "next": None, "results": [other, made]}
    async with api.session.get(made["urls"]["get"]) as answer:
        assert await answer.read() == data
    async with api.session.get(other["urls"]["get"]) as answer:  # a browser must not run it as a page of ours
        assert answer.headers["Content-Disposition"] == "attachment"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await api.ask("DELETE", f"/files/{made['id']}"))[0] == 204
    for method in ("GET", "DELETE"):
        assert (await api.ask(method, f"/files/{made['id']}"))[0] == 404
    assert (await api.ask("GET", "/files"))[1]["results"] == [other]


async def test_a_file_is_gone_after_its_hour(api: Api) -> None:
    made = await api.upload(picture())
    await anyio.wait_all_tasks_blocked()
    api.hands.advance(3600)
    await anyio.wait_all_tasks_blocked()
    assert (await api.ask("GET", f"/files/{made['id']}"))[0] == 404
    assert (await api.ask("GET", "/files"))[1]["results"] == []


async def test_a_file_of_another_form_is_refused(api: Api) -> None:
    assert (await api.ask("POST", "/files", data=b"x"))[0] == 415
    form = aiohttp.FormData({"other": "x"})
    form.add_field("x", b"x", filename="x")
    status, body = await api.ask("POST", "/files", data=form)
    assert (status, body["detail"]) == (422, "- content is required\n")
    for metadata, expected in (("[]", 422), ("{", 400)):
        form = aiohttp.FormData({"metadata": metadata})
        form.add_field("content", b"x", filename="x")
        assert (await api.ask("POST", "/files", data=form))[0] == expected


async def test_a_file_above_the_limit_is_refused_in_json() -> None:
    async with api_server(max_file=100) as api:
        assert (await api.upload(bytes(100)))["size"] == 100
        form = aiohttp.FormData()
        form.add_field("content", bytes(101), filename="x")
        status, body = await api.ask("POST", "/files", data=form)
        assert (status, body["status"], body["title"]) == (413, 413, HTTPStatus(413).phrase)


async def test_an_uploaded_file_is_read_from_the_disk_not_over_http() -> None:
    """The server asks for a key, so a fetch of its own URL could only fail."""
    async with api_server(token="secret") as api:
        api.session.headers["Authorization"] = "Bearer secret"
        uploaded = await api.upload(picture(40, 20))
        for url in (uploaded["urls"]["get"], f"{api.base}/files/{uploaded['id']}"):
            assert (await api.create(url))["status"] == "succeeded"
        by_another_name = uploaded["urls"]["get"].replace("127.0.0.1", "images.internal")
        assert (await api.create(by_another_name))["status"] == "succeeded"


async def test_an_uploaded_file_that_was_deleted_fails_its_prediction(api: Api) -> None:
    uploaded = await api.upload(picture())
    await api.ask("DELETE", f"/files/{uploaded['id']}")
    made = await api.create(uploaded["urls"]["get"])
    assert (made["status"], made["error"]) == (
        "failed",
        "the uploaded file does not exist, or its hour is over",
    )


@asynccontextmanager
async def site(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Some other server on loopback; gives its URL."""
    other = web.Application()
    other.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(other, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_url_is_fetched_over_up_to_twenty_redirects(api: Api) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        left = int(request.match_info["path"])
        if left:
            raise web.HTTPFound(f"/{left - 1}")
        return web.Response(body=picture())

    async with site(handler) as other:
        assert (await api.create(f"{other}/20"))["status"] == "succeeded"
        made = await api.create(f"{other}/21")
    assert made["status"] == "failed"
    assert "more than 20 redirects" in made["error"]


async def test_a_redirect_to_another_scheme_is_not_followed(api: Api) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("file:///etc/hostname")

    async with site(handler) as other:
        made = await api.create(other)
    assert made["status"] == "failed"
    assert "only http and https are fetched" in made["error"]


async def test_a_url_that_is_refused_fails_its_prediction(api: Api) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=403)

    async with site(handler) as other:
        made = await api.create(f"{other}/cat.jpg?signature=secret")
    assert (made["status"], made["error"]) == ("failed", f"{other}/cat.jpg answers 403")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "0x7f000001"])
async def test_the_server_fetches_nothing_from_private_addresses(host: str) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(body=b"secret")

    async with api_server(fetching=INPUT_POLICY) as guarded, site(handler) as other:
        made = await guarded.create(f"http://{host}:{other.rpartition(':')[2]}/latest/meta-data")
    assert made["status"] == "failed"
    assert "not on the public internet" in made["error"]
    assert asked == []


async def test_a_body_above_the_cap_is_not_read_to_its_end() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:  # without an end
            try:
                await answer.write(bytes(1 << 20))
            except ConnectionError:
                return answer

    async with api_server(fetching=FetchPolicy(size=1 << 20)) as capped, site(handler) as other:
        made = await capped.create(other)
    assert made["status"] == "failed"
    assert made["error"].endswith("larger than 1 MiB")
