"""What every provider keeps to, as checks over one that is ready to use: run by `tests/providers/test_contract.py`."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import numpy as np
import pytest

from batch_removebg.errors import BatchError, PredictionLost, Verdict
from batch_removebg.imaging.decode import Proxy
from batch_removebg.imaging.decode import proxy as make_proxy
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.matte import matte_of
from batch_removebg.model import CreateRequest, Matte, Prediction, Provider, Status
from batch_removebg.providers import wire
from tests.support.doubles import photo

Check = Callable[[Provider], Awaitable[None]]


async def brought(provider: Provider, data: bytes, content_type: str) -> str:
    """The picture as this provider takes it: an upload, or a data URI."""
    if provider.capabilities.files:
        return (await provider.upload(data, filename="shoe.jpg", content_type=content_type)).url
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


async def created(provider: Provider, image: str) -> Prediction:
    return await provider.create(CreateRequest(item="shoe.jpg", image=image, output="shoe.png", fingerprint="f1"))


async def ended(provider: Provider, seen: Prediction) -> Prediction:
    with anyio.fail_after(20):
        while not seen.status.terminal:
            assert seen.id is not None
            await anyio.lowlevel.checkpoint()
            seen = await provider.get(seen.id)
    return seen


async def predicted(provider: Provider, data: bytes, content_type: str = "image/jpeg") -> Prediction:
    return await ended(provider, await created(provider, await brought(provider, data, content_type)))


# The checks


def matte_in(output: bytes | Matte, proxy: Proxy) -> Matte:
    """What a provider gave for a proxy, as a matte."""
    if isinstance(output, Matte):
        return output
    return matte_of(output, width=proxy.width, height=proxy.height, limits=Limits())


async def it_says_who_it_is_and_what_it_wants(provider: Provider) -> None:
    assert provider.name
    assert provider.version
    assert provider.proxy.encoding in ("jpeg", "bmp")
    # Bytes have to get there one way or the other.
    assert provider.capabilities.files or provider.capabilities.data_uri_limit >= 256_000


async def a_picture_becomes_an_alpha_of_its_aspect(provider: Provider) -> None:
    proxy = make_proxy(photo(60, 40), provider.proxy, Limits())
    made = await predicted(provider, proxy.data, proxy.content_type)
    assert made.status is Status.SUCCEEDED
    assert made.error is None
    alpha = matte_in(await provider.fetch(wire.result(made)), proxy).alpha
    assert alpha.dtype == np.uint8
    assert alpha.shape[1] * proxy.height == pytest.approx(alpha.shape[0] * proxy.width, rel=0.02)
    assert alpha.any()


async def several_at_once_each_get_their_own(provider: Provider) -> None:
    sizes, ids = [(40, 20), (20, 40), (30, 30), (90, 30)], set()

    async def one(width: int, height: int) -> None:
        proxy = make_proxy(photo(width, height), provider.proxy, Limits())
        made = await predicted(provider, proxy.data, proxy.content_type)
        ids.add(made.id)
        matte_in(await provider.fetch(wire.result(made)), proxy)

    async with anyio.create_task_group() as tasks:
        for width, height in sizes:
            tasks.start_soon(one, width, height)
    assert len(ids) == len(sizes)


async def an_ended_prediction_can_be_asked_for_again(provider: Provider) -> None:
    proxy = make_proxy(photo(), provider.proxy, Limits())
    made = await predicted(provider, proxy.data, proxy.content_type)
    assert made.id is not None
    again = await provider.get(made.id)
    assert (again.id, again.status, again.output) == (made.id, made.status, made.output)


async def an_unknown_id_is_a_lost_prediction(provider: Provider) -> None:
    for unknown in ("nobody", "a b/c?d#e"):
        with pytest.raises(PredictionLost):
            await provider.get(unknown)


async def a_broken_picture_ends_failed_with_the_reason(provider: Provider) -> None:
    made = await predicted(provider, b"<html>no picture</html>")
    assert made.status is Status.FAILED
    assert made.output is None
    assert made.error
    with pytest.raises(BatchError, match="refuses this picture") as caught:
        wire.result(made)
    assert caught.value.verdict is Verdict.FAIL


async def cancelling_what_has_ended_is_no_error(provider: Provider) -> None:
    proxy = make_proxy(photo(), provider.proxy, Limits())
    for data in (proxy.data, b"no picture"):
        made = await predicted(provider, data)
        assert made.id is not None
        await provider.cancel(made.id)
        await provider.cancel(made.id)


async def an_output_that_is_not_there_asks_for_another_prediction(provider: Provider) -> None:
    proxy = make_proxy(photo(), provider.proxy, Limits())
    made = await predicted(provider, proxy.data, proxy.content_type)
    assert made.output is not None
    with pytest.raises(BatchError) as caught:
        await provider.fetch(re.sub(r"(out\w*/)[^/]+", r"\1nobody", made.output))
    assert caught.value.verdict is Verdict.RESUBMIT


async def the_list_is_newest_first_and_names_the_input(provider: Provider) -> None:
    if not provider.capabilities.list:
        return
    images = [await brought(provider, photo(), "image/jpeg") for _ in range(3)]
    made = [await created(provider, image) for image in images]
    page = await provider.list()
    assert [each.id for each in page.predictions] == [each.id for each in reversed(made)]
    assert [each.image for each in page.predictions] == list(reversed(images))
    assert len(set(images)) == 3
    times = [each.created_at for each in page.predictions if each.created_at]
    assert len(times) == 3
    assert times == sorted(times, reverse=True)
    assert page.next is None
    assert (await provider.list(created_after=times[0].replace(year=times[0].year + 1))).predictions == ()


CHECKS: list[Check] = [
    it_says_who_it_is_and_what_it_wants,
    a_picture_becomes_an_alpha_of_its_aspect,
    several_at_once_each_get_their_own,
    an_ended_prediction_can_be_asked_for_again,
    an_unknown_id_is_a_lost_prediction,
    a_broken_picture_ends_failed_with_the_reason,
    cancelling_what_has_ended_is_no_error,
    an_output_that_is_not_there_asks_for_another_prediction,
    the_list_is_newest_first_and_names_the_input,
]
