"""Each fault of the wire and of the server is the class that states its remedy, and the key never leaves its origin."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from batch_removebg.errors import (
    BatchError,
    ConnectionFailed,
    CreateLost,
    InputRejected,
    KeyRejected,
    NotAnApi,
    OutOfCredit,
    OutputBroken,
    PageInstead,
    PredictionFailed,
    PredictionLost,
    RateLimited,
    ServerError,
    VersionRejected,
)
from batch_removebg.model import CreateRequest, Prediction, PredictionPage, Status
from batch_removebg.net import fetch
from batch_removebg.net.patience import Patience
from batch_removebg.providers import replicate, wire
from batch_removebg.providers.replicate import REMOVE_BG, Endpoint, Replicate
from batch_removebg.resources import Memory
from batch_removebg.storage.on_disk import OnDisk
from tests.support.doubles import cutout, photo
from tests.support.fake_api import (
    FakeApi,
    Handler,
    Shape,
    connected,
    data_uri,
    enveloped,
    immediate,
    output_in_dict,
    output_in_list,
    output_inline,
    output_missing,
    output_while_processing,
    pending_completed,
    upper_case,
    wrapped,
)
from tests.support.wire import (
    after,
    bottomless,
    cut_short,
    dripping,
    empty,
    endless,
    hang,
    hang_up,
    nested,
    not_gzip,
    page,
    redirect,
    reset,
    says,
    wrong_length,
)

pytestmark = pytest.mark.anyio

KEY = "r8_a-very-secret-key"
URL = "https://shop.example/shoe.jpg"
REQUEST = CreateRequest(item="shoe.jpg", image=URL, output="shoe.png")


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(key=KEY) as running:
        yield running


@pytest.fixture
async def provider(api: FakeApi) -> AsyncIterator[Replicate]:
    async with connected(api) as made:
        yield made


@pytest.fixture
async def impatient(api: FakeApi) -> AsyncIterator[Replicate]:
    """For faults that only time ends."""
    async with connected(api, seconds=0.01) as made:
        yield made


@pytest.fixture
async def gateway() -> AsyncIterator[FakeApi]:
    async with FakeApi(gateway=True, key=KEY) as running:
        yield running


def uploaded(data: bytes) -> CreateRequest:
    return replace(REQUEST, image=data_uri(data))


# What is sent


async def test_a_create_is_one_post_of_version_and_input_below_the_base(api: FakeApi) -> None:
    inputs = {"threshold": 0.5}
    async with connected(api, base=api.base + "/", version=REMOVE_BG, inputs=inputs, image_field="image") as provider:
        made = await provider.create(REQUEST)
    assert (made.id, made.status, made.image) == ("p1", Status.PROCESSING, URL)
    assert len(api.bill) == 1
    (sent,) = api.requests
    assert (sent.method, sent.path) == ("POST", "/v1/predictions")
    assert sent.json == {"version": REMOVE_BG, "input": {"threshold": 0.5, "image": URL}}
    assert (sent.key, sent.headers["Accept"]) == (f"Bearer {KEY}", "application/json")
    assert "Cancel-After" not in sent.headers


async def test_the_picture_goes_into_the_field_that_the_model_names() -> None:
    async with FakeApi(image_field="image_url") as api, connected(api) as provider:
        made = await provider.create(REQUEST)
        assert made.image == URL
        assert (await provider.get("p1")).image == URL
        assert [listed.image for listed in (await provider.list()).predictions] == [URL]
    assert api.requests[0].json["input"] == {"image_url": URL}


@pytest.mark.parametrize(("limit", "sent"), [(300.0, "300s"), (90.4, "90s"), (1.0, "5s")])
async def test_the_server_is_asked_to_cancel_what_runs_too_long(api: FakeApi, limit: float, sent: str) -> None:
    async with connected(api, run_limit=limit) as provider:
        await provider.create(REQUEST)
    assert api.requests[0].headers["Cancel-After"] == sent


async def test_a_gateway_is_not_asked_to_cancel_what_runs_too_long(gateway: FakeApi) -> None:
    async with connected(gateway, run_limit=300.0) as provider:
        await provider.create(REQUEST)
        await provider.cancel("p1")
    assert "Cancel-After" not in gateway.requests[0].headers
    assert len(gateway.requests) == 1


async def test_without_a_key_no_authorization_is_sent() -> None:
    async with FakeApi() as api, connected(api) as provider:
        await provider.create(REQUEST)
    assert api.requests[0].key is None


async def test_an_id_from_a_server_is_quoted_into_one_path_segment(api: FakeApi, provider: Replicate) -> None:
    for hostile in ("../files", "a/cancel", "a?b=c#d", "ä b"):
        with pytest.raises(BatchError):
            await provider.get(hostile)
    assert [seen.path for seen in api.requests] == [
        "/v1/predictions/..%2Ffiles", "/v1/predictions/a%2Fcancel", "/v1/predictions/a%3Fb%3Dc%23d",
        "/v1/predictions/%C3%A4%20b",
    ]  # fmt: skip


# What comes back, in all shapes

SHAPES = [
    wrapped, enveloped, upper_case, pending_completed, output_in_list, output_in_dict, output_while_processing
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_gateway", [False, True], ids=["hosted", "gateway"])
async def test_every_shape_of_answer_leads_to_the_picture(shape: Shape, is_gateway: bool) -> None:
    async with FakeApi(gateway=is_gateway, shape=shape) as api, connected(api) as provider:
        made = await provider.create(uploaded(photo(40, 30)))
        assert (made.id, made.status.terminal, made.output) == ("p1", False, None)
        ended = await provider.get("p1")
        assert await provider.fetch(wire.result(ended)) == cutout(40, 30)
        assert api.foreign == []


async def test_a_picture_may_come_inline(gateway: FakeApi) -> None:
    gateway.shape = output_inline(gateway)
    gateway.polls = 0
    async with connected(gateway) as provider:
        ended = await provider.create(uploaded(photo(50, 20)))
        assert await provider.fetch(wire.result(ended)) == cutout(50, 20)
    assert len(gateway.requests) == 1


async def test_an_immediate_result_has_no_id(gateway: FakeApi) -> None:
    gateway.shape, gateway.polls = immediate, 0
    async with connected(gateway) as provider:
        made = await provider.create(REQUEST)
        assert (made.id, made.status) == (None, Status.SUCCEEDED)
        assert await provider.fetch(wire.result(made)) == cutout()


async def test_a_success_without_output_asks_for_another_prediction(gateway: FakeApi) -> None:
    gateway.shape, gateway.polls = output_missing, 0
    async with connected(gateway) as provider:
        made = await provider.create(REQUEST)
    assert (made.status, made.output) == (Status.SUCCEEDED, None)
    with pytest.raises(OutputBroken):
        wire.result(made)


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_any_success_is_the_same_success(api: FakeApi, provider: Replicate, status: int) -> None:
    api.respond("POST", "/predictions", says(status, {"id": "a", "status": "starting"}))
    assert await provider.create(REQUEST) == Prediction("a", Status.STARTING)


async def test_an_answer_of_many_mebibytes_is_read_whole(api: FakeApi) -> None:
    output = "data:image/png;base64," + "A" * (6 << 20)
    api.respond("GET", "/predictions/a", says(200, {"id": "a", "status": "succeeded", "output": output}))
    async with connected(api) as provider:
        assert (await provider.get("a")).output == output


# Faults

WIRE = {
    "hang_up": hang_up,
    "reset": reset,
    "hang": hang,
    "cut_short": cut_short(),
    "wrong_length": wrong_length(),
    "not_gzip": not_gzip(),
    "dripping": dripping(),
    "endless": endless(200),
    "cut_short_500": cut_short(500),
}
NO_ANSWER = {
    "empty_200": empty(200),
    "empty_204": empty(204),
    "text": says(200, "ok"),
    "list": says(201, []),
    "nested": says(200, nested(400)),
    "bottomless": bottomless,
}
STATUSES: dict[str, tuple[Handler, type[BatchError]]] = {
    "redirect": (redirect("/v1/elsewhere"), NotAnApi),
    "redirect_307": (redirect("/v1/elsewhere", 307), NotAnApi),
    "html_200": (page(200), PageInstead),
    "html_201": (page(201), PageInstead),
    "error_in_200": (says(200, {"error": {"message": "busy"}}), ServerError),
    "key_in_200": (says(200, {"code": 401, "msg": "invalid api key", "data": None}), KeyRejected),
    "quota_in_200": (says(200, {"code": 1102, "msg": "insufficient quota", "data": None}), OutOfCredit),
    "limit_in_200": (says(200, {"code": 429, "msg": "Too Many Requests"}), RateLimited),
    "input_in_200": (says(200, {"code": 400, "message": "image url not reachable"}), InputRejected),
    "html_404": (page(404), NotAnApi),
    "html_400": (page(400), NotAnApi),
    "html_401": (page(401), KeyRejected),
    "html_402": (page(402), OutOfCredit),
    "html_403": (page(403), KeyRejected),
    "html_413": (page(413), InputRejected),
    "html_429": (page(429), RateLimited),
    "html_503": (page(503), ServerError),
    "json_422": (says(422, {"title": "Input validation failed", "detail": "- image: bad"}), InputRejected),
    "version": (says(422, {"detail": "The specified version does not exist"}), VersionRejected),
    "quota": (says(403, {"error": {"code": "insufficient_user_quota", "message": ""}}), OutOfCredit),
    "cut_short_401": (cut_short(401), KeyRejected),
    "cut_short_422": (cut_short(422), InputRejected),
    "cut_short_429": (cut_short(429), RateLimited),
    "endless_422": (endless(422), InputRejected),
    "endless_429": (endless(429), RateLimited),
    "not_gzip_401": (not_gzip(401), KeyRejected),
}  # fmt: skip


def cases(table: dict[str, Handler]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", table.values(), ids=table.keys())


REFUSALS = pytest.mark.parametrize(("fault", "kind"), STATUSES.values(), ids=STATUSES.keys())


@cases(WIRE | NO_ANSWER)
async def test_a_create_without_a_usable_answer_may_have_been_accepted(
    api: FakeApi, impatient: Replicate, fault: Handler
) -> None:
    api.respond("POST", "/predictions", fault)
    with pytest.raises(CreateLost, match=r"creating a prediction for shoe\.jpg: ") as caught:
        await impatient.create(REQUEST)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


async def test_a_server_that_is_never_silent_does_not_hold_an_exchange_for_ever(api: FakeApi) -> None:
    api.respond("*", "*", dripping())
    async with connected(api, seconds=0.05) as provider:
        with anyio.fail_after(10), pytest.raises(CreateLost):
            await provider.create(REQUEST)


async def test_a_create_that_was_accepted_before_its_answer_was_lost_is_lost_not_refused(
    api: FakeApi, provider: Replicate
) -> None:
    for fault in (reset, says(502), says(500, {"detail": "oops"}), says(524), empty(200)):
        api.respond("POST", "/predictions", after(api.normal, fault), times=1)
        with pytest.raises(CreateLost):
            await provider.create(REQUEST)
    assert len(api.bill) == 5
    assert len(api.asked("POST", "/predictions")) == 5


@REFUSALS
async def test_a_refused_create_is_the_class_of_its_remedy(
    api: FakeApi, provider: Replicate, fault: Handler, kind: type[BatchError]
) -> None:
    api.respond("POST", "/predictions", fault)
    with pytest.raises(BatchError) as caught:
        await provider.create(REQUEST)
    assert type(caught.value) is kind
    assert len(api.requests) == 1


@cases(WIRE | NO_ANSWER)
@pytest.mark.parametrize("call", ["get", "list", "upload"])
async def test_what_may_be_repeated_may_be_tried_again(
    api: FakeApi, impatient: Replicate, fault: Handler, call: str
) -> None:
    api.respond("*", "*", fault)
    # What is too long stays so: an answer about a prediction fails its item, and a list counts as none.
    long = {"get": PredictionFailed, "list": NotAnApi}.get(call, ConnectionFailed)
    with pytest.raises(long if fault is WIRE["endless"] else (ConnectionFailed, ServerError)):
        await ask(impatient, call)


@REFUSALS
@pytest.mark.parametrize("call", ["get", "list", "upload"])
async def test_any_refusal_is_the_class_of_its_remedy(
    api: FakeApi, provider: Replicate, fault: Handler, kind: type[BatchError], call: str
) -> None:
    api.respond("*", "*", fault)
    with pytest.raises(BatchError) as caught:
        await ask(provider, call)
    assert type(caught.value) is kind
    assert len(api.requests) == 1


async def ask(provider: Replicate, call: str) -> object:
    if call == "get":
        return await provider.get("a")
    if call == "list":
        return await provider.list()
    if call == "cancel":
        return await provider.cancel("a")
    return await provider.upload(b"x", filename="x.jpg", content_type="image/jpeg")


@pytest.mark.parametrize("call", ["create", "get", "list", "upload", "cancel"])
async def test_a_connection_that_is_refused_was_never_a_request(call: str) -> None:
    async with FakeApi() as closed:
        pass
    async with connected(closed) as provider:
        with pytest.raises(ConnectionFailed, match=r"no connection to http://127\.0\.0\.1:\d+/v1 "):
            await (provider.create(REQUEST) if call == "create" else ask(provider, call))


async def test_a_server_in_trouble_that_took_nothing_in_is_not_a_lost_create(api: FakeApi, provider: Replicate) -> None:
    for status in (408, 503):
        api.respond("POST", "/predictions", says(status, {"detail": "setting up"}, Retry_After="3"))
        with pytest.raises(ServerError) as caught:
            await provider.create(REQUEST)
        assert caught.value.retry_after == 3.0


async def test_a_throttled_create_says_how_long_to_wait(api: FakeApi, provider: Replicate) -> None:
    said = "Request was throttled. Your rate limit resets in ~7s."
    api.respond("POST", "/predictions", says(429, {"detail": said, "status": 429, "retry_after": 7}))
    with pytest.raises(RateLimited, match="throttled") as caught:
        await provider.create(REQUEST)
    assert caught.value.retry_after == 7.0


async def test_an_unknown_id_is_a_lost_prediction_but_a_web_page_is_not(api: FakeApi, provider: Replicate) -> None:
    with pytest.raises(PredictionLost, match="does not know it"):
        await provider.get("nobody")
    for fault in (says(410, {"detail": "gone"}), empty(404)):
        api.respond("GET", "/predictions/*", fault)
        with pytest.raises(PredictionLost):
            await provider.get("nobody")
    # Where a page answers, the base URL is wrong; buying anew would pay twice for what runs at the right one.
    api.respond("GET", "/predictions/*", page(404))
    with pytest.raises(NotAnApi):
        await provider.get("nobody")


async def test_an_address_that_is_none_stops_the_run() -> None:
    async with FakeApi() as api, connected(api, base="http:///v1") as provider:
        with pytest.raises(NotAnApi, match="check --base-url"):
            await provider.create(REQUEST)


async def test_a_drop_in_the_middle_of_a_kept_connection_costs_no_second_create(
    api: FakeApi, provider: Replicate
) -> None:
    await provider.get((await provider.create(REQUEST)).id or "")  # the connection is open now, and kept
    api.respond("POST", "/predictions", after(api.normal, hang_up))
    with pytest.raises(CreateLost):
        await provider.create(REQUEST)
    assert len(api.asked("POST", "/predictions")) == 2


# Cancel, list, upload


async def test_a_cancel_reaches_the_server(api: FakeApi, provider: Replicate) -> None:
    await provider.create(REQUEST)
    await provider.cancel("p1")
    assert (await provider.get("p1")).status is Status.CANCELED


@pytest.mark.parametrize("status", [404, 409, 410])
async def test_cancelling_what_has_ended_is_no_error(api: FakeApi, provider: Replicate, status: int) -> None:
    api.respond("POST", "/predictions/*/cancel", says(status, {"detail": "has ended"}))
    await provider.cancel("p1")


async def test_cancelling_on_a_server_in_trouble_says_so(api: FakeApi, provider: Replicate) -> None:
    api.respond("POST", "/predictions/*/cancel", says(503))
    with pytest.raises(ServerError):
        await provider.cancel("p1")


async def test_a_list_is_asked_for_from_a_moment_on_and_page_by_page(api: FakeApi, provider: Replicate) -> None:
    api.page = 2
    for _ in range(3):
        await provider.create(REQUEST)
    since = datetime(2026, 1, 1, 12, 0, 0, 500_000, UTC)
    first = await provider.list(created_after=since)
    second = await provider.list(created_after=since, cursor=first.next)
    assert [listed.id for listed in (*first.predictions, *second.predictions)] == ["p3", "p2", "p1"]
    assert second.next is None
    asked = api.asked("GET", "/predictions")
    assert [seen.query for seen in asked] == [
        {"created_after": "2026-01-01T12:00:00.500Z"},
        {"created_after": "2026-01-01T12:00:00.500Z", "cursor": "2"},
    ]
    assert await provider.list(created_after=datetime(2100, 1, 1, tzinfo=UTC)) == PredictionPage(())


async def test_an_upload_is_one_multipart_part_and_gives_the_url_to_name(api: FakeApi, provider: Replicate) -> None:
    made = await provider.upload(b"\xff\xd8", filename="shoe.jpg", content_type="image/jpeg")
    assert api.uploads == {made.url: b"\xff\xd8"}
    assert made.expires_at is not None
    assert made.expires_at.tzinfo is UTC
    assert api.requests[0].headers["Content-Type"].startswith("multipart/form-data")


@pytest.mark.parametrize("body", [{}, {"urls": {}}, {"urls": {"get": None}}, {"urls": "https://x"}, []])
async def test_an_upload_without_a_url_is_tried_again(api: FakeApi, provider: Replicate, body: object) -> None:
    api.respond("POST", "/files", says(201, body))
    with pytest.raises(ServerError, match="names no file"):
        await provider.upload(b"x", filename="x.jpg", content_type="image/jpeg")


# The key


async def test_no_address_in_an_answer_is_ever_followed(gateway: FakeApi) -> None:
    async with connected(gateway) as provider:
        made = await provider.create(REQUEST)
        assert made.id is not None
        await provider.get(made.id)
        await provider.cancel(made.id)
    assert gateway.foreign == []
    assert {seen.key for seen in gateway.requests} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("call", ["create", "get", "list", "upload", "cancel"])
async def test_no_redirect_takes_the_key_along(api: FakeApi, provider: Replicate, call: str) -> None:
    api.respond("*", "*", redirect(f"{api.other}/v1/predictions", 307))
    with pytest.raises(NotAnApi):
        await (provider.create(REQUEST) if call == "create" else ask(provider, call))
    assert api.foreign == []


async def test_an_output_of_another_origin_is_fetched_without_the_key(api: FakeApi, provider: Replicate) -> None:
    assert await provider.fetch(f"{api.other}/out/a.png") == cutout()
    api.respond("GET", "/out/*", redirect(f"{api.other}/out/b.png"))
    assert await provider.fetch(f"{api.origin}/out/a.png") == cutout()
    assert [(seen.path, seen.key) for seen in api.foreign] == [("/out/a.png", None), ("/out/b.png", None)]
    assert [seen.key for seen in api.requests] == [f"Bearer {KEY}"]


def test_the_key_is_not_in_the_repr_of_its_endpoint() -> None:
    assert KEY not in repr(Endpoint(key=KEY))


async def test_a_server_that_says_the_key_back_gets_it_into_no_message(api: FakeApi, provider: Replicate) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"detail": f"Invalid {request.headers['Authorization']}"}, status=status)

    for status in (200, 201, 401, 403, 422, 429, 500, 503):
        api.respond("*", "*", echo)
        for call in ("create", "get", "list", "upload", "cancel"):
            if (call, status) in (("cancel", 200), ("cancel", 201)):
                continue
            with pytest.raises(BatchError) as caught:
                await (provider.create(REQUEST) if call == "create" else ask(provider, call))
            assert KEY not in f"{caught.value} {caught.value!r} {caught.value.args}"
            assert "[key]" in str(caught.value)


@pytest.mark.parametrize("fault", [*WIRE.values(), *NO_ANSWER.values()], ids=[*WIRE, *NO_ANSWER])
async def test_no_error_tells_the_key(api: FakeApi, impatient: Replicate, fault: Handler) -> None:
    api.respond("*", "*", fault)
    for call in ("get", "list", "upload"):
        with pytest.raises(BatchError) as caught:
            await ask(impatient, call)
        assert KEY not in f"{caught.value} {caught.value!r}"


# Whose answer is it?


@pytest.mark.parametrize("image", ["https://shop.example/boot.jpg", "https://shop.example/shoe.jpg?v=2"])
async def test_an_answer_that_echoes_another_picture_is_no_answer(
    api: FakeApi, provider: Replicate, image: str
) -> None:
    await provider.create(replace(REQUEST, image="https://shop.example/hat.jpg"))  # it repeats them as they were sent
    api.respond("POST", "/predictions", says(201, {"id": "p9", "status": "starting", "input": {"image": image}}))
    with pytest.raises(CreateLost, match="another"):
        await provider.create(REQUEST)


@pytest.mark.parametrize("image", ["HTTPS://SHOP.example:443/sho%65.jpg", data_uri(b"x"), None])
async def test_an_echo_may_be_spelled_otherwise_or_say_nothing(
    api: FakeApi, provider: Replicate, image: str | None
) -> None:
    api.respond("POST", "/predictions", says(201, {"id": "p9", "status": "starting", "input": {"image": image}}))
    assert (await provider.create(REQUEST)).id == "p9"


async def test_an_upload_that_is_answered_with_a_prediction_is_no_upload(api: FakeApi, provider: Replicate) -> None:
    answer = {"id": "p1", "status": "starting", "urls": {"get": f"{api.base}/predictions/p1"}}
    api.respond("POST", "/files", says(201, answer))
    with pytest.raises(ServerError, match="no file"):
        await provider.upload(b"x", filename="a.jpg", content_type="image/jpeg")


async def test_a_query_answered_with_another_prediction_is_asked_again(api: FakeApi, provider: Replicate) -> None:
    api.respond("GET", "/predictions/p1", says(200, {"id": "p2", "status": "succeeded", "output": URL}))
    with pytest.raises(ServerError, match="another prediction, p2"):
        await provider.get("p1")


async def test_a_connection_that_brought_anothers_answer_is_not_used_again(api: FakeApi) -> None:
    peers: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.json_response({"id": "p2" if len(peers) == 2 else "p1", "status": "starting"})

    api.respond("GET", "/predictions/p1", answer)
    async with fetch.open_session(public_only=False) as session:
        provider = Replicate(session, Endpoint(base=api.base, key=KEY))
        await provider.get("p1")
        with pytest.raises(ServerError):
            await provider.get("p1")
        await provider.get("p1")
    assert peers[0] == peers[1] != peers[2]


@pytest.mark.parametrize("about", [{"size": 7}, {"checksums": {"sha256": "0" * 64}}])
async def test_an_upload_answered_with_another_file_is_sent_again(
    api: FakeApi, provider: Replicate, about: dict[str, object]
) -> None:
    api.respond("POST", "/files", says(201, {"urls": {"get": URL}, **about}))
    with pytest.raises(ServerError, match="another file"):
        await provider.upload(b"x", filename="a.jpg", content_type="image/jpeg")


@pytest.mark.parametrize("late", [0.0, 0.02])
async def test_an_answer_too_many_on_a_kept_connection_is_nobodys(late: float) -> None:
    """The next request would be given it, if the connection were kept."""
    body = b'{"id":"p1","status":"starting"}'
    first = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = 0
        serving.append(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                answered += 1
                writer.write(first if b"/p1" in asked else first.replace(b"p1", b"p2"))
                if answered == 1:
                    await anyio.sleep(late)
                    writer.write(first)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    serving: list[asyncio.Task[None] | None] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, fetch.open_session(public_only=False) as session:
        provider = Replicate(session, Endpoint(base=f"http://127.0.0.1:{port}/v1"))
        assert (await provider.get("p1")).id == "p1"
        await anyio.sleep(3 * late)
        assert (await provider.get("p2")).id == "p2"
    await asyncio.gather(*filter(None, serving))


async def test_a_server_that_rewrites_inputs_is_believed_unless_it_names_anothers(
    api: FakeApi, provider: Replicate
) -> None:
    for number in range(2):
        made = {"id": f"q{number}", "status": "starting", "input": {"image": f"https://cdn.example/{number}.png"}}
        api.respond("POST", "/predictions", says(201, made))
        assert (await provider.create(replace(REQUEST, image=f"https://shop.example/{number}.jpg"))).id == f"q{number}"
    api.respond("GET", "/predictions/q1", says(200, made | {"input": {"image": "https://shop.example/0.jpg"}}))
    with pytest.raises(ServerError, match="another"):
        await provider.get("q1")


async def test_an_output_that_another_prediction_has_is_no_answer(api: FakeApi, provider: Replicate) -> None:
    done = {"id": "q1", "status": "succeeded", "output": "https://cdn.example/o.png"}
    api.respond("*", "/predictions*", says(201, done))
    await provider.create(replace(REQUEST, image="data:,a"))
    assert (await provider.get("q1")).output == done["output"]
    api.respond("POST", "/predictions", says(201, done | {"id": "q2"}))
    with pytest.raises(CreateLost, match="another"):
        await provider.create(replace(REQUEST, image="data:,b"))


async def test_predictions_of_an_earlier_run_may_have_one_output(api: FakeApi, provider: Replicate) -> None:
    for number in range(2):
        done = {"id": f"q{number}", "status": "succeeded", "output": "https://cdn.example/by-content.png"}
        api.respond("GET", f"/predictions/q{number}", says(200, done))
        assert (await provider.get(f"q{number}")).output == done["output"]


async def test_two_urls_of_one_picture_may_have_one_output(api: FakeApi, provider: Replicate) -> None:
    for number in range(2):
        done = {"id": f"q{number}", "status": "succeeded", "output": "https://cdn.example/by-content.png"}
        api.respond("POST", "/predictions", says(201, done))
        made = await provider.create(replace(REQUEST, image=f"https://shop.example/{number}.jpg"))
        assert made.output == done["output"]


@pytest.mark.parametrize("about", [{}, {"name": "a.jpg"}])
async def test_an_upload_answered_with_an_earlier_one_is_sent_again(
    api: FakeApi, provider: Replicate, about: dict[str, object]
) -> None:
    api.respond("POST", "/files", says(201, {"urls": {"get": URL}, **about}))
    await provider.upload(b"x", filename="a.jpg", content_type="image/jpeg")
    with pytest.raises(ServerError, match="another file"):
        await provider.upload(b"y", filename="b.jpg", content_type="image/jpeg")


class CountedMemory(Memory):
    """Memory without bound that keeps account."""

    def __init__(self) -> None:
        super().__init__(inf)
        self.asked: list[int] = []

    @contextlib.asynccontextmanager
    async def reserved(self, cost: int) -> AsyncIterator[None]:
        self.asked.append(cost)
        yield


PIXELS = b"\x89PNG\r\n\x1a\n" * 20_000
LONG = "data:image/png;base64," + base64.b64encode(PIXELS).decode()
ENDED = {"id": "p1", "status": "succeeded", "output": LONG}


async def test_a_long_answer_waits_for_memory_and_its_picture_on_disk(
    api: FakeApi, provider: Replicate, tmp_path: Path
) -> None:
    memory = CountedMemory()
    provider.memory, provider.scratch = memory, tmp_path
    api.respond("GET", "/predictions/p1", says(200, {"id": "p1", "status": "processing"}))
    await provider.get("p1")
    assert memory.asked == []
    api.respond("GET", "/predictions/p1", says(200, ENDED))
    found = await provider.get("p1")
    assert memory.asked == [4 * len(json.dumps(ENDED))]
    assert isinstance(found.output, OnDisk)
    assert await provider.fetch(found.output) == PIXELS
    assert len(list(tmp_path.iterdir())) == 1
    del found
    assert list(tmp_path.iterdir()) == []


async def test_a_long_answer_stays_in_memory_where_the_disk_refuses_it(
    api: FakeApi, provider: Replicate, tmp_path: Path
) -> None:
    provider.scratch = tmp_path / "gone"
    api.respond("POST", "/predictions", says(201, ENDED))
    assert (await provider.create(REQUEST)).output == LONG


@pytest.mark.parametrize(("gateway", "silence"), [(True, 180.0), (False, 60.0)])
async def test_where_a_lost_create_can_not_be_looked_for_its_answer_is_awaited_longer(
    monkeypatch: pytest.MonkeyPatch, gateway: bool, silence: float
) -> None:
    borne = list[float]()

    class Noted(Patience):
        def __init__(self, silence: float, total: float) -> None:
            super().__init__(silence, total)
            borne.append(silence)

    monkeypatch.setattr(replicate, "Patience", Noted)
    async with FakeApi(gateway=gateway) as api, connected(api) as provider:
        made = await provider.create(CreateRequest("a", "https://shop.example/a.jpg", "a.png"))
        await provider.get(str(made.id))
    assert borne == [silence, 60.0]
