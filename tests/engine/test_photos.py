"""Real photographs through the local engine, beside another tool's masks made with the same weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch_removebg.imaging.decode import proxy as make_proxy
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from batch_removebg.model import CreateRequest
from batch_removebg.providers import wire
from batch_removebg.providers.local import LocalProvider
from tests.support.local_doubles import SMALL, Here, real_engine

PHOTOS = Path(__file__).parents[3] / "shared" / "photos"
TOLERANCE = 0.012  # mean absolute difference, 0–1: the other tool decodes at full size and rounds down

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"the photographs in {PHOTOS.name}/ are not beside this checkout"),
]


async def alpha_by_us(data: bytes) -> np.ndarray:
    """The alpha at the photo's own size, 0–1, as the pipeline would make it."""
    # The other tool computes in float32; what bf16 changes beside it is measured in test_local_runtimes.
    provider = LocalProvider(SMALL, Here(partial(real_engine, precision="float32")))
    proxy = make_proxy(data, provider.proxy, Limits())
    upload = await provider.upload(proxy.data, filename="x.bmp", content_type=proxy.content_type)
    made = await provider.create(CreateRequest(item="x", image=upload.url, output="x.png", fingerprint="x"))
    matte = Image.fromarray((await provider.fetch(wire.result(made))).alpha)
    header = probe(data, Limits())
    return np.asarray(matte.resize(header.upright, Image.Resampling.LANCZOS)) / 255


@pytest.mark.parametrize("name", ["animal-1", "animal-2", "car-1", "car-2", "car-3", "cloth-1", "plants-1"])
async def test_the_alpha_agrees_with_another_tools(name: str) -> None:
    ours = await alpha_by_us((PHOTOS / f"{name}.jpg").read_bytes())
    with Image.open(PHOTOS / "rembg-u2netp" / f"{name}.png") as image:
        theirs = np.asarray(image.convert("L")) / 255
    assert ours.shape == theirs.shape
    difference = float(np.abs(ours - theirs).mean())
    print(f"{name}: {difference:.5f}")  # shown with -s, for the record
    assert difference <= TOLERANCE
