"""The official Python client, unmodified, against our server: scripts written for the hosted API run here."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread
from PIL import Image, ImageDraw
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.pagination import paginate

from batch_removebg.engine import weights
from batch_removebg.engine.network import Network
from batch_removebg.model import REMOVE_BG as REMOVE_BG_VERSION
from batch_removebg.server.listen import ServeSettings, serving
from batch_removebg.server.protocol import REMOVE_BG
from tests.support.local_doubles import BEGIN, MODEL, Hands, Here, LeftHalf, Stalled, picture, real_engine

pytestmark = pytest.mark.anyio

HOSTED = f"{REMOVE_BG}:{REMOVE_BG_VERSION}"
Script = Callable[[Client], Any]


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.01")


async def run(
    script: Script, network: Network | None = None, *, model: weights.Weights = MODEL, **settings: Any
) -> Any:
    """What a script gets from a client of a server that runs meanwhile."""

    def with_client(base: str) -> Any:
        client = Client(api_token="r8_secret", base_url=base.removesuffix("/v1"))
        with client._client:
            return script(client)

    engine = Here(lambda: network or LeftHalf())
    run_settings = ServeSettings(port=0, workers=2, token="r8_secret", model=model, **settings)
    async with serving(run_settings, engine=engine, clock=Hands().clock) as base:
        try:
            with anyio.fail_after(50):
                return await to_thread.run_sync(with_client, base)
        finally:
            if isinstance(network, Stalled):
                network.released.set()


def cutout(client: Client, url: str) -> Image.Image:
    answer = client._client.get(url)
    answer.raise_for_status()
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    return image


def data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


async def test_run_uploads_waits_and_gives_the_cutouts_url(tmp_path: Path) -> None:
    (tmp_path / "shoe.png").write_bytes(picture(48, 32))

    def script(client: Client) -> Image.Image:
        with (tmp_path / "shoe.png").open("rb") as file:
            output = client.run(HOSTED, input={"image": file})
        assert [kept.name for kept in client.files.list()] == ["shoe.png"]
        return cutout(client, str(output))

    image = await run(script)
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (48, 32))
    assert image.getpixel((5, 16)) == (200, 60, 20, 255)


async def test_a_model_without_a_version_is_run_as_well() -> None:
    def script(client: Client) -> Any:
        assert client.accounts.current().username == "batch-removebg"
        output = client.run(REMOVE_BG, input={"image": data_uri(picture(48, 32))})
        return cutout(client, str(output))

    assert (await run(script)).size == (48, 32)


async def test_a_data_uri_goes_without_an_upload() -> None:
    def script(client: Client) -> Image.Image:
        output = client.run(HOSTED, input={"image": io.BytesIO(picture(48, 32))}, file_encoding_strategy="base64")
        assert client.files.list() == []
        return cutout(client, str(output))

    assert (await run(script)).size == (48, 32)


async def test_a_client_that_does_not_wait_polls() -> None:
    def script(client: Client) -> Any:
        prediction = client.predictions.create(version=REMOVE_BG_VERSION, input={"image": data_uri(picture())})
        assert prediction.status == "starting"
        prediction.wait()
        return prediction

    ended = await run(script)
    assert (ended.status, ended.error, ended.model, ended.version) == ("succeeded", None, REMOVE_BG, REMOVE_BG_VERSION)
    assert ended.created_at == "2026-01-01T00:00:00.000000Z"


async def test_a_wait_that_runs_out_makes_the_client_poll_until_the_output_is_there() -> None:
    network = Stalled()

    def script(client: Client) -> Any:
        reload = client.predictions.get

        def reload_and_release(prediction_id: str) -> Any:
            network.released.set()
            return reload(prediction_id)

        predictions = type(client.predictions)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(predictions, "get", lambda self, prediction_id: reload_and_release(prediction_id))
            return client.run(HOSTED, input={"image": data_uri(picture())}, wait=1)

    assert str(await run(script, network)).endswith("/output.png")


async def test_a_broken_picture_ends_failed_with_a_message() -> None:
    def script(client: Client) -> ModelError:
        with pytest.raises(ModelError) as caught:
            client.run(HOSTED, input={"image": io.BytesIO(b"<html>not found</html>")})
        return caught.value

    error = await run(script)
    assert error.prediction.status == "failed"
    assert str(error).startswith("the image is not a picture")


async def test_a_list_is_paged_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.server.jobs.PAGE", 2)

    def script(client: Client) -> tuple[list[str], list[list[str]]]:
        made = [
            client.predictions.create(version=REMOVE_BG_VERSION, input={"image": data_uri(picture())}).id
            for _ in range(5)
        ]
        return made, [[prediction.id for prediction in page] for page in paginate(client.predictions.list)]

    made, pages = await run(script)
    assert pages == [[made[4], made[3]], [made[2], made[1]], [made[0]]]


async def test_a_prediction_is_canceled() -> None:
    def script(client: Client) -> Any:
        prediction = client.predictions.create(version=REMOVE_BG_VERSION, input={"image": data_uri(picture())})
        prediction.cancel()
        canceled = prediction.status
        prediction.reload()
        prediction.wait()
        return canceled, prediction.status

    assert await run(script, Stalled()) == ("canceled", "canceled")


async def test_models_and_files_are_read_as_the_clients_own_types() -> None:
    def script(client: Client) -> None:
        model = client.models.get(REMOVE_BG)
        assert (model.id, model.latest_version and model.latest_version.id) == (REMOVE_BG, REMOVE_BG_VERSION)
        [version] = model.versions.list()
        assert version.created_at.timestamp() == BEGIN
        file = client.files.create(io.BytesIO(b"x" * 7), filename="x.bin", metadata={"shelf": 3})
        assert (file.size, file.name, file.metadata) == (7, "x.bin", {"shelf": 3})
        assert client.files.get(file.id).checksums == file.checksums
        assert client.files.delete(file.id)
        assert client.files.list() == []

    await run(script)


@pytest.mark.parametrize(
    ("script", "status", "title"),
    [
        (lambda client: client.predictions.create("0" * 64, {"image": "x:"}), 422, "Input validation failed"),
        (
            lambda client: client.predictions.create("0" * 64, {"image": "data:,x"}),
            422,
            "Invalid version or not permitted",
        ),
        (lambda client: client.predictions.get("nobody"), 404, "Not found"),
        (lambda client: client.models.get("else/where"), 404, "Not found"),
        (lambda client: client.files.create(io.BytesIO(bytes(1001))), 413, HTTPStatus(413).phrase),
    ],
)
async def test_refusals_reach_the_client_as_its_own_errors(script: Script, status: int, title: str) -> None:
    def refused(client: Client) -> ReplicateError:
        with pytest.raises(ReplicateError) as caught:
            script(client)
        return caught.value

    error = await run(refused, max_file=1000)
    assert (error.status, error.title) == (status, title)


async def test_a_wrong_key_is_refused() -> None:
    def script(client: Client) -> tuple[int | None, str | None]:
        stranger = Client(api_token="r8_else", base_url=str(client._client.base_url))
        with stranger._client, pytest.raises(ReplicateError) as caught:
            stranger.predictions.list()
        return caught.value.status, caught.value.title

    assert await run(script) == (401, "Unauthenticated")


async def test_an_output_is_fetched_without_a_key() -> None:
    def script(client: Client) -> int:
        output = client.run(HOSTED, input={"image": data_uri(picture())})
        return httpx.get(str(output), trust_env=False).status_code

    assert await run(script) == 200


async def test_the_real_network_cuts_the_object_out() -> None:
    image = Image.new("RGB", (640, 400), (236, 234, 230))
    ImageDraw.Draw(image).ellipse((220, 100, 420, 300), fill=(190, 40, 30))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    own = weights.MODELS["u2netp"]

    def script(client: Client) -> Image.Image:
        output = client.run(f"batch-removebg/u2netp:{own.sha256}", input={"image": io.BytesIO(buffer.getvalue())})
        return cutout(client, str(output))

    made = await run(script, real_engine(), model=own)
    assert (made.format, made.mode, made.size) == ("PNG", "RGBA", (640, 400))
    alpha = made.getchannel("A")
    assert alpha.getpixel((320, 200)) == 255
    assert [alpha.getpixel(corner) for corner in ((5, 5), (634, 5), (5, 394), (634, 394))] == [0, 0, 0, 0]
