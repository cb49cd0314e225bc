"""What is sent to a predictions API and what comes back, in all shapes; the key never leaves its origin."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiohttp import web

from batch_removebg.errors import (
    BatchError,
    NotAnApi,
    OutputBroken,
    ServerError,
)
from batch_removebg.model import CreateRequest, Prediction, PredictionPage, Status
from batch_removebg.providers import wire
from batch_removebg.providers.replicate import REMOVE_BG, Endpoint, Replicate
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
from tests.support.replicate import KEY, NO_ANSWER, REQUEST, URL, WIRE, api, ask, gateway, impatient, provider
from tests.support.wire import (
    redirect,
    says,
)

__all__ = ["api", "gateway", "impatient", "provider"]

pytestmark = pytest.mark.anyio


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
