"""Each fault of the wire and of the server is the class that states its remedy."""

from __future__ import annotations

import anyio
import pytest

from batch_removebg.errors import (
    BatchError,
    ConnectionFailed,
    CreateLost,
    InputRejected,
    KeyRejected,
    NotAnApi,
    OutOfCredit,
    PageInstead,
    PredictionFailed,
    PredictionLost,
    RateLimited,
    ServerError,
    VersionRejected,
)
from batch_removebg.providers.replicate import Replicate
from tests.support.fake_api import (
    FakeApi,
    Handler,
    connected,
)
from tests.support.replicate import KEY, NO_ANSWER, REQUEST, WIRE, api, ask, impatient, provider
from tests.support.wire import (
    after,
    cut_short,
    dripping,
    empty,
    endless,
    hang_up,
    not_gzip,
    page,
    redirect,
    reset,
    says,
)

__all__ = ["api", "impatient", "provider"]

pytestmark = pytest.mark.anyio
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
