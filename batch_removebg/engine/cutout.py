"""From a picture's bytes to its matte or its cutout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from batch_removebg.finish.cut import cut_out
from batch_removebg.finish.finish import compose, finish
from batch_removebg.finish.options import Finish, Finished
from batch_removebg.imaging import probe
from batch_removebg.imaging.decode import proxy, read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.pil import Image, image_of
from batch_removebg.model import ProxySpec
from batch_removebg.resources import Cpu, patience

from .network import Network, matte, naming_the_image
from .process import Engine

_CUTOUT = Finish(format="png")

Render = Callable[[bytes], Awaitable[Finished]]  # what makes a cutout; may raise a BatchError


def cutout(network: Network, limits: Limits, data: bytes) -> Finished:
    """An RGBA PNG of the picture, upright and at its own size; raises SourceError, PredictionFailed."""
    with naming_the_image():
        found = matte(network, proxy(data, network.model.shown, limits).data)
        return finish(data, found, [_CUTOUT], limits)[0]


def cut(network: Network, data: bytes, wanted: Finish, limits: Limits) -> Image:
    """The same as a PIL image of 8 bits a channel, as `wanted`, its profile beside it."""
    with naming_the_image():
        found = matte(network, proxy(data, network.model.shown, limits).data)
        made = compose(cut_out(read(data, limits), found, wanted), wanted)
    return image_of(made)


async def render(cpu: Cpu, engine: Engine, spec: ProxySpec, limits: Limits, data: bytes) -> Finished:
    """What `cutout` gives, with decoders, network and encoders in other processes."""
    with naming_the_image():
        measured = await cpu.isolated(patience(0), probe.measure, data, limits)
        pixels = measured.width * measured.height
        async with cpu.memory(measured.cost):
            small = await cpu.isolated(patience(pixels), proxy, data, spec, limits)
            found = await engine.matte(small.data)
            seconds = patience(pixels, _CUTOUT.encoding.effort)
            [made] = await cpu.isolated(seconds, finish, data, found, [_CUTOUT], limits)
            return made
