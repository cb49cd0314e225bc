"""The in-process provider keeps the promises of the Provider protocol."""

from __future__ import annotations

import re

import anyio
import numpy as np
import pytest

from batch_removebg.engine.network import Network
from batch_removebg.errors import OutputBroken, PredictionLost, SettingsError
from batch_removebg.model import Capabilities, CreateRequest, Prediction, PredictionPage, Provider, Status
from batch_removebg.providers import wire
from batch_removebg.providers.local import LocalProvider
from tests.support.local_doubles import MODEL, GivesUp, Here, LeftHalf, picture

pytestmark = pytest.mark.anyio


def request(image: str) -> CreateRequest:
    return CreateRequest(item="cat", image=image, output="cat.png", fingerprint="f")


async def predict(provider: LocalProvider, data: bytes) -> Prediction:
    upload = await provider.upload(data, filename="cat.bmp", content_type="image/bmp")
    return await provider.create(request(upload.url))


async def test_it_is_a_provider_that_bills_nothing_and_names_its_weights() -> None:
    provider: Provider = LocalProvider(MODEL, Here(LeftHalf))
    assert (provider.name, provider.version) == ("local", "stub@555555555555")
    assert provider.capabilities == Capabilities(files=True, list=False, cancel=True, billed=False)
    assert (provider.proxy.square, provider.proxy.encoding) == (320, "bmp")


async def test_a_create_comes_back_with_the_matte_ready_to_fetch() -> None:
    provider = LocalProvider(MODEL, Here(LeftHalf))
    made = await predict(provider, picture(320, 320, kind="BMP"))
    assert made.id is not None
    assert re.fullmatch(r"[0-9a-f]{26}", made.id)
    assert made.status is Status.SUCCEEDED
    assert await provider.get(made.id) == Prediction(made.id, Status.SUCCEEDED, output=made.output)
    alpha = (await provider.fetch(wire.result(made))).alpha
    assert (alpha.dtype, alpha.shape) == (np.uint8, (320, 320))
    assert alpha.mean() == 127.5


async def test_the_networks_confidence_travels_with_the_matte() -> None:
    provider = LocalProvider(MODEL, Here(LeftHalf))
    made = await predict(provider, picture(320, 320, kind="BMP"))
    matte = await provider.fetch(wire.result(made))
    assert (matte.peak, matte.engine) == (1.0, LeftHalf().used)


async def test_what_the_network_runs_on_is_told_once_and_before_the_first_prediction() -> None:
    told: list[str] = []

    async def loaded(used: str) -> None:
        told.append(used)

    provider = LocalProvider(MODEL, Here(LeftHalf), loaded=loaded)
    assert told == []
    for _ in range(2):
        await predict(provider, picture(320, 320, kind="BMP"))
    assert told == ["a double"]


async def test_an_output_is_handed_over_once_and_then_forgotten() -> None:
    provider = LocalProvider(MODEL, Here(LeftHalf))
    made = await predict(provider, picture(320, 320, kind="BMP"))
    assert made.id is not None
    assert made.output is not None
    await provider.fetch(made.output)
    with pytest.raises(OutputBroken, match="was fetched before"):
        await provider.fetch(made.output)
    with pytest.raises(PredictionLost):
        await provider.get(made.id)


async def test_an_upload_is_used_once_and_then_forgotten() -> None:
    provider = LocalProvider(MODEL, Here(LeftHalf))
    upload = await provider.upload(picture(kind="BMP"), filename="cat.bmp", content_type="image/bmp")
    assert (await provider.create(request(upload.url))).status is Status.SUCCEEDED
    again = await provider.create(request(upload.url))
    assert (again.status, again.error) == (Status.FAILED, "the image is not an upload of this process")


async def test_a_prediction_of_an_earlier_process_is_lost() -> None:
    with pytest.raises(PredictionLost, match="prediction abc ended with the process that made it"):
        await LocalProvider(MODEL, Here(LeftHalf)).get("abc")


async def test_a_broken_picture_ends_failed_with_the_reason() -> None:
    made = await predict(LocalProvider(MODEL, Here(LeftHalf)), b"<html>")
    assert (made.status, made.output) == (Status.FAILED, None)
    assert made.error is not None
    assert made.error.startswith("the image is not a picture")


async def test_a_runtime_that_gives_up_ends_failed_with_the_reason() -> None:
    made = await predict(LocalProvider(MODEL, Here(GivesUp)), picture(kind="BMP"))
    assert (made.status, made.error) == (Status.FAILED, "onnxruntime gave up: no memory")


async def test_the_network_is_loaded_once_on_first_use() -> None:
    loads = 0

    def load() -> Network:
        nonlocal loads
        loads += 1
        return LeftHalf()

    provider = LocalProvider(MODEL, Here(load))
    assert loads == 0
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(predict, provider, picture(kind="BMP"))
    await provider.open()
    assert loads == 1


async def test_a_network_that_cannot_be_loaded_stops_the_run_not_the_item() -> None:
    def load() -> Network:
        raise SettingsError("the weights are not here")

    with pytest.raises(SettingsError, match="the weights are not here"):
        await predict(LocalProvider(MODEL, Here(load)), picture(kind="BMP"))


async def test_a_canceled_prediction_is_forgotten() -> None:
    provider = LocalProvider(MODEL, Here(LeftHalf))
    made = await predict(provider, picture(kind="BMP"))
    assert made.id is not None
    await provider.cancel(made.id)
    await provider.cancel("nobody")
    with pytest.raises(PredictionLost):
        await provider.get(made.id)


async def test_there_is_nothing_to_list_and_closing_lets_go_of_everything() -> None:
    provider = LocalProvider(MODEL, Here(LeftHalf))
    made = await predict(provider, picture(kind="BMP"))
    assert await provider.list() == PredictionPage(())
    await provider.aclose()
    await provider.aclose()  # once or twice is the same
    assert made.id is not None
    with pytest.raises(PredictionLost):
        await provider.get(made.id)
