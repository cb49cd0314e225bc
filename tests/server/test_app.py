"""The server over HTTP, with a network that needs no weights."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import aiohttp
import anyio
import pytest
from PIL import Image
from yarl import URL

from batch_removebg.imaging import probe
from batch_removebg.model import REMOVE_BG as REMOVE_BG_VERSION
from batch_removebg.server import protocol
from batch_removebg.server.blob_store import BlobStore
from tests.support.local_doubles import BEGIN, MODEL, Api, Stalled, api_server, data_uri, picture

pytestmark = pytest.mark.anyio

VERSION = MODEL.sha256


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server() as running:
        yield running


async def test_a_prediction_is_accepted_at_once_and_ends_with_a_cutout(api: Api) -> None:
    made = await api.create(data_uri(picture(48, 32)), wait=False)
    assert (made["status"], made["output"], made["version"], made["model"]) == (
        "starting", None, VERSION, "batch-removebg/stub"
    )  # fmt: skip
    with anyio.fail_after(20):
        while (seen := (await api.ask("GET", f"/predictions/{made['id']}"))[1])["status"] != "succeeded":
            await anyio.lowlevel.checkpoint()
    async with api.session.get(seen["output"]) as answer:
        assert (answer.status, answer.content_type) == (200, "image/png")
        image = Image.open(io.BytesIO(await answer.read()))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (48, 32))
    assert seen["output"].startswith(f"{api.base}/outputs/")
    assert seen["urls"]["get"] == f"{api.base}/predictions/{made['id']}"


async def test_a_client_that_waits_gets_the_ended_prediction(api: Api) -> None:
    sent = {"version": VERSION, "input": {"image": data_uri(picture())}}
    async with api.session.post(f"{api.base}/predictions", json=sent, headers={"Prefer": "wait=20"}) as answer:
        assert (answer.status, answer.headers["Preference-Applied"]) == (201, "wait")
        assert (await answer.json())["status"] == "succeeded"


async def test_a_create_may_name_its_model_in_the_url(api: Api) -> None:
    for model in ("batch-removebg/stub", "lucataco/remove-bg"):
        url, sent = f"{api.base}/models/{model}/predictions", {"input": {"image": data_uri(picture())}}
        async with api.session.post(url, json=sent, headers={"Prefer": "wait=20"}) as answer:
            made = await answer.json()
            assert (answer.status, made["status"], made["model"]) == (201, "succeeded", model)
    async with api.session.post(f"{api.base}/models/some/body/predictions", json=sent) as answer:
        assert answer.status == 404


async def test_the_server_says_how_it_is_and_whose_the_key_is(api: Api) -> None:
    async with api.session.get(api.base.removesuffix("/v1") + "/healthz") as answer:
        assert await answer.json() == {"ok": True, "model": "stub", "device": "a double", "queue": 0}
    assert (await api.ask("GET", "/account"))[1]["username"] == "batch-removebg"


async def test_a_wait_that_runs_out_leaves_the_job_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "prefer_wait", lambda header: 0.05)
    network = Stalled()
    async with api_server(network) as api:
        made = await api.create(data_uri(picture()))
        assert made["status"] == "starting"
        network.released.set()
        with anyio.fail_after(20):
            while (await api.ask("GET", f"/predictions/{made['id']}"))[1]["status"] != "succeeded":
                await anyio.lowlevel.checkpoint()


async def test_a_url_is_echoed_and_a_data_uri_is_not(api: Api) -> None:
    uploaded = (await api.upload(picture()))["urls"]["get"]
    assert (await api.create(uploaded))["input"] == {"image": uploaded}
    assert (await api.create(data_uri(picture())))["input"] == {}


async def test_inputs_the_model_does_not_have_are_named_in_the_logs(api: Api) -> None:
    sent = {"version": VERSION, "input": {"image": data_uri(picture()), "threshold": 0.5}}
    _, made = await api.ask("POST", "/predictions", json=sent, headers={"Prefer": "wait"})
    assert made["logs"] == "ignored the input 'threshold': the model has only `image`\n"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (data_uri(b"<html>"), "the image is not a picture"),
        (data_uri(b""), "the image is empty"),
        ("data:image/png;base64,%%%", "the image is a data URI that can't be decoded"),
        ("data:nothing", "the image is a data URI that can't be decoded"),
    ],
)
async def test_a_broken_picture_fails_its_prediction_with_the_reason(api: Api, image: str, said: str) -> None:
    made = await api.create(image)
    assert made["status"] == "failed"
    assert made["output"] is None
    assert made["error"].startswith(said)


async def test_the_servers_disk_holds_no_input_once_its_prediction_has_ended(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []
    drop = BlobStore.drop

    def noted(store: BlobStore, name: str) -> None:
        dropped.append(name)
        drop(store, name)

    monkeypatch.setattr(BlobStore, "drop", noted)
    await api.create(data_uri(picture()))
    await api.create(data_uri(b"<html>"))
    assert len(dropped) == 2


# Refusals


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predictions/nobody", 404),
        ("POST", "/predictions/nobody/cancel", 404),
        ("GET", "/outputs/nobody/output.png", 404),
        ("GET", "/outputs/..%2F..%2Fetc%2Fpasswd/output.png", 404),
        ("GET", "/files/nobody", 404),
        ("GET", "/files/nobody/download", 404),
        ("GET", "/models/else/where", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/predictions", 405),
        ("GET", "/predictions?cursor=x", 400),
        ("GET", "/predictions?created_after=x", 422),
    ],
)
async def test_every_refusal_is_a_problem_document(api: Api, method: str, path: str, status: int) -> None:
    answered, body = await api.ask(method, path)
    assert (answered, body["status"]) == (status, status)
    assert {"title", "detail", "status"} <= body.keys()


async def test_a_create_that_is_no_json_is_refused(api: Api) -> None:
    json = {"Content-Type": "application/json"}
    assert (await api.ask("POST", "/predictions", data=b"{", headers=json))[0] == 400
    assert (await api.ask("POST", "/predictions", data=b"\xff", headers=json))[0] == 400
    assert (await api.ask("POST", "/predictions", data=b"{}", headers={"Content-Type": "text/plain"}))[0] == 415
    assert (await api.ask("POST", "/predictions", json={"input": {}}))[0] == 422


async def test_a_body_above_the_limit_is_refused_in_json() -> None:
    async with api_server(max_file=100) as api:
        sent = io.BytesIO(b'"' + b"x" * (100 + (1 << 20)) + b'"')
        status, body = await api.ask("POST", "/predictions", data=sent, headers={"Content-Type": "application/json"})
        assert (status, body["status"]) == (413, 413)


async def test_a_full_queue_answers_503_with_retry_after() -> None:
    async with api_server(Stalled(), room=1) as api:
        await api.create(data_uri(picture()), wait=False)
        sent = {"version": VERSION, "input": {"image": data_uri(picture())}}
        async with api.session.post(f"{api.base}/predictions", json=sent) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            body = await answer.json()
        assert body["detail"] == "1 predictions are waiting or running; try again later"


async def test_a_full_disk_answers_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, mode: str) -> BinaryIO:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    sent = {"version": VERSION, "input": {"image": data_uri(picture())}}
    status, body = await api.ask("POST", "/predictions", json=sent)
    assert (status, body["detail"]) == (503, "this server can't store the file: No space left on device")
    form = aiohttp.FormData()
    form.add_field("content", b"x", filename="x")
    assert (await api.ask("POST", "/files", data=form))[0] == 503


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Bearer", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        ("Bearer s3cretx", 401),
        ("Bearer é", 401),
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Token s3cret", 200),
    ],
)
async def test_a_key_is_asked_for_where_there_is_one(header: str | None, status: int) -> None:
    async with api_server(token="s3cret") as api:
        sent = {"Authorization": header} if header else {}
        answered, body = await api.ask("GET", "/predictions", headers=sent)
        assert answered == status
        if status == 401:
            assert body["title"] == "Unauthenticated"
            assert (await api.ask("GET", "/nowhere", headers=sent))[0] == 401


async def test_outputs_need_no_key_and_all_else_does() -> None:
    async with api_server(token="s3cret") as api:
        key = {"Authorization": "Bearer s3cret"}
        sent = {"version": VERSION, "input": {"image": data_uri(picture())}}
        _, made = await api.ask("POST", "/predictions", json=sent, headers=key | {"Prefer": "wait"})
        async with api.session.get(made["output"]) as answer:
            assert answer.status == 200
        for path in (f"/predictions/{made['id']}", "/files", f"/outputs/../predictions/{made['id']}", "/outputs/x"):
            async with api.session.get(URL(api.base + path, encoded=True)) as answer:
                assert answer.status == 401


# Lists, cancelling, expiry


async def test_a_list_is_walked_by_its_links_and_keeps_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.server.jobs.PAGE", 2)
    async with api_server(Stalled()) as api:
        ids = []
        for _ in range(6):
            ids.append((await api.create(data_uri(picture()), wait=False))["id"])
            api.hands.now += 1
        query = "created_after=2026-01-01T00:00:01Z&created_before=2026-01-01T00:00:05Z"
        _, page = await api.ask("GET", f"/predictions?{query}")
        assert ([job["id"] for job in page["results"]], page["previous"]) == ([ids[4], ids[3]], None)
        assert page["next"].startswith(f"{api.base}/predictions?created_after=2026-01-01T00:00:01Z&")
        _, last = await api.ask("GET", page["next"].removeprefix(api.base))
        assert ([job["id"] for job in last["results"]], last["next"]) == ([ids[2], ids[1]], None)
        assert (await api.ask("GET", last["previous"].removeprefix(api.base)))[1] == page


async def test_a_prediction_can_be_canceled() -> None:
    async with api_server(Stalled()) as api:
        made = await api.create(data_uri(picture()), wait=False)
        status, canceled = await api.ask("POST", f"/predictions/{made['id']}/cancel")
        assert (status, canceled["status"]) == (200, "canceled")
        assert (await api.ask("GET", f"/predictions/{made['id']}"))[1] == canceled


async def test_cancel_after_is_honoured() -> None:
    async with api_server(Stalled()) as api:
        made = await api.create(data_uri(picture()), wait=False, Cancel_After="1m")
        await anyio.wait_all_tasks_blocked()
        api.hands.advance(60)
        await anyio.wait_all_tasks_blocked()
        seen = (await api.ask("GET", f"/predictions/{made['id']}"))[1]
        assert (seen["status"], seen["completed_at"]) == ("canceled", "2026-01-01T00:01:00.000000Z")


async def test_after_an_hour_the_output_is_gone_and_says_so(api: Api) -> None:
    made = await api.create((await api.upload(picture()))["urls"]["get"])
    await anyio.wait_all_tasks_blocked()
    api.hands.advance(3600)
    await anyio.wait_all_tasks_blocked()
    seen = (await api.ask("GET", f"/predictions/{made['id']}"))[1]
    assert (seen["status"], seen["data_removed"]) == ("succeeded", True)
    assert (seen["output"], seen["input"], seen["logs"]) == (None, {}, "")
    assert (await api.ask("GET", made["output"].removeprefix(api.base)))[0] == 404


# Models


@pytest.mark.parametrize(
    ("name", "version"),
    [("lucataco/remove-bg", REMOVE_BG_VERSION), ("batch-removebg/stub", VERSION)],
)
async def test_the_network_goes_by_its_own_name_and_by_the_hosted_ones(api: Api, name: str, version: str) -> None:
    _, model = await api.ask("GET", f"/models/{name}")
    assert (f"{model['owner']}/{model['name']}", model["run_count"]) == (name, 0)
    assert model["latest_version"]["id"] == version
    _, versions = await api.ask("GET", f"/models/{name}/versions")
    assert versions == {"previous": None, "next": None, "results": [model["latest_version"]]}
    _, found = await api.ask("GET", f"/models/{name}/versions/{version}")
    assert found == model["latest_version"]
    schemas = found["openapi_schema"]["components"]["schemas"]
    assert (schemas["Input"]["required"], schemas["Output"]["type"]) == (["image"], "string")
    assert found["created_at"] == protocol.timestamp(BEGIN)
    assert (await api.ask("GET", f"/models/{name}/versions/{'0' * 64}"))[0] == 404


def stuck(data: bytes, *_: object) -> None:
    Path(data.decode()).write_text(str(os.getpid()))
    time.sleep(60)


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
async def test_a_cancelled_prediction_is_killed_in_the_midst_of_its_work(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    with monkeypatch.context() as patched:
        patched.setattr(probe, "measure", stuck)
        created = await api.create(data_uri(str(mark).encode()), wait=False)
        with anyio.fail_after(20):
            while not (mark.exists() and mark.read_text()):  # noqa: ASYNC110  # of another process
                await anyio.sleep(0.005)
    assert (await api.ask("POST", f"/predictions/{created['id']}/cancel"))[1]["status"] == "canceled"
    assert (await api.create(data_uri(picture())))["status"] == "succeeded"  # by the only worker
    with anyio.fail_after(20):  # what was killed is there until it has been waited for, in another thread
        while is_there(int(mark.read_text())):  # noqa: ASYNC110  # of another process
            await anyio.sleep(0.005)
