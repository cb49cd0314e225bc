"""PNG files of our own: they hold what they were given, whatever the effort, and are about as small as Pillow's."""

from __future__ import annotations

import io
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_removebg.finish.cut import cut
from batch_removebg.finish.finish import compose
from batch_removebg.finish.options import Finish, Finished
from batch_removebg.finish.passthrough import as_it_is
from batch_removebg.imaging import png_filters
from batch_removebg.imaging.arrays import Picture
from batch_removebg.imaging.format import Limits
from tests.support.pictures import encoded, exif, noise, opened, ramp, swapped_profile, write_png

EFFORTS = range(10)
PHOTOS = Path(__file__).parents[3] / "shared" / "photos"
BENCH = Path(__file__).parents[1] / "bench" / "photographs"


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def unfiltered(data: bytes) -> np.ndarray:
    """The samples of a PNG by the book: each filter undone a byte at a time (specification, section 9.2)."""
    parts = chunks(data)
    header = parts[0][1]
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    depth, channels = header[8], {0: 1, 2: 3, 4: 2, 6: 4}[header[9]]
    pixel = channels * depth // 8
    lines = np.frombuffer(zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT")), np.uint8)
    lines = lines.reshape(height, 1 + width * pixel)
    above = [0] * (width * pixel)
    rows = []
    for line in lines.tolist():
        kind, here = line[0], line[1:]
        for at in range(len(here)):
            a, c = (here[at - pixel], above[at - pixel]) if at >= pixel else (0, 0)
            b = above[at]
            nearest = min((a, b, c), key=lambda value, p=a + b - c: abs(p - value))
            here[at] = (here[at] + (0, a, b, (a + b) // 2, nearest)[kind]) & 255
        rows.append(here)
        above = here
    samples = np.array(rows, np.uint8)
    return (samples if depth == 8 else samples.view(">u2")).reshape(height, width, channels)


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([(x * (3 + at) + y * (5 - at)) // 7 for at in range(channels)]).astype(np.uint8)


@pytest.mark.parametrize("make", [noise, smooth])
def test_eight_bits_come_back_exactly(make):
    for effort in EFFORTS:
        for channels in [1, 2, 3, 4]:
            pixels = make(40, 31, channels)
            data = write_png(pixels.reshape(40, 31) if channels == 1 else pixels, effort=effort)
            assert np.array_equal(
                np.asarray(opened(data)).reshape(40, 31, channels), pixels.reshape(40, 31, channels)
            ), (effort, channels)
            passed_on = Finished(data, 31, 40) if channels in (2, 4) else None
            assert as_it_is(data, Finish(), Limits()) == passed_on, (effort, channels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_come_back_exactly(channels):
    for effort in [0, 2, 4, 9]:
        pixels = noise(9, 7, 2 * channels).view(np.uint16)
        data = write_png(pixels[..., 0] if channels == 1 else pixels, effort=effort)
        assert np.array_equal(unfiltered(data), pixels), effort
        if channels == 1:
            assert np.array_equal(np.asarray(opened(data)), pixels[..., 0]), effort


@pytest.mark.parametrize("kind", [png_filters.UP, png_filters.PAETH])
@pytest.mark.parametrize("pixel", [1, 2, 3, 4, 6, 8])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_filter_is_undone_by_the_books_arithmetic(kind, pixel, data):
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    rows = np.frombuffer(
        data.draw(st.binary(min_size=(height + 1) * width * pixel, max_size=(height + 1) * width * pixel)), np.uint8
    ).reshape(height + 1, width * pixel)
    out = np.empty((height, 1 + width * pixel), np.uint8)
    png_filters.filtered(rows, kind, pixel, out)
    assert (out[:, 0] == kind).all()
    for y in range(height):
        for x in range(width * pixel):
            a, c = (int(rows[y + 1, x - pixel]), int(rows[y, x - pixel])) if x >= pixel else (0, 0)
            b = int(rows[y, x])
            nearest = min((a, b, c), key=lambda value, p=a + b - c: abs(p - value))
            assert (int(out[y, x + 1]) + (0, a, b, (a + b) // 2, nearest)[kind]) & 255 == rows[y + 1, x]


@pytest.mark.parametrize("effort", [0, 1, 2, 3, 4])
def test_bands_meet_without_a_seam(effort, monkeypatch):
    monkeypatch.setattr(png_filters, "_BAND", 200)
    pixels = np.concatenate([smooth(33, 30, 4), noise(20, 30, 4), np.zeros((9, 30, 4), np.uint8)])
    pixels[:, :7] = 0
    pixels[:, 25:] = 0
    assert np.array_equal(np.asarray(opened(write_png(pixels, effort=effort))), pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 4), (1, 5000, 3), (5000, 1, 4), (2, 300_000)])
def test_extreme_shapes(shape):
    pixels = np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)
    assert np.array_equal(np.asarray(opened(write_png(pixels, effort=2))), pixels)


def test_what_is_not_contiguous_is_written_as_it_reads():
    pixels = noise(8, 9, 4)[::2, ::-1]
    assert np.array_equal(np.asarray(opened(write_png(pixels, effort=2))), pixels)


def test_profile_resolution_exif_and_texts_stand_before_the_pixels():
    data = write_png(
        noise(2, 2), effort=2, icc=swapped_profile(), dpi=(300, 72), exif=exif(1).tobytes()[6:], texts={"a": "b"}
    )
    assert [kind for kind, _ in chunks(data)] == [b"IHDR", b"iCCP", b"pHYs", b"eXIf", b"tEXt", b"IDAT", b"IEND"]
    image = opened(data)
    assert image.info["icc_profile"] == swapped_profile()
    assert [round(value, 1) for value in image.info["dpi"]] == [300, 72]
    assert image.text == {"a": "b"}
    assert image.getexif()[0x010F] == "Camera of Somebody"


@pytest.mark.parametrize("channels", [1, 4])
def test_nothing_is_written_that_was_not_asked_for(channels):
    for effort in EFFORTS:
        data = write_png(noise(2, 2, channels), effort=effort)
        assert list(dict.fromkeys(kind for kind, _ in chunks(data))) == [b"IHDR", b"IDAT", b"IEND"], effort


def pillows(pixels: np.ndarray) -> int:
    return len(encoded(Image.fromarray(pixels)))


def cutouts(large):
    """Real cutouts (photographs with other tool's masks), and photographs under a made-up mask, at several sizes."""
    photos = sorted(PHOTOS.glob("*.jpg")) + sorted(BENCH.glob("*.jpg"))
    for path in photos:
        mask = PHOTOS / "rembg-u2netp" / f"{path.stem}.png"
        rgb = Image.open(path).convert("RGB")
        alpha = Image.open(mask).convert("L") if mask.exists() else _ellipse(rgb.size)
        for longest in (max(rgb.size), large):
            scale = longest / max(rgb.size)
            size = (round(rgb.width * scale), round(rgb.height * scale))
            yield f"{path.stem} at {longest}", np.asarray(rgb.resize(size)), np.asarray(alpha.resize(size))
    with Image.open(BENCH / "coffee.jpg") as sample:
        rgb = np.pad(np.asarray(sample.convert("RGB").reduce(2)), ((400, 400), (600, 600), (0, 0)), mode="reflect")
    yield "a small subject in a large frame", rgb, np.pad(np.asarray(_ellipse((300, 200))), ((400, 400), (600, 600)))


def _ellipse(size):
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    return Image.fromarray((np.clip(0.8 - x * x - y * y, 0, 0.02) * 12750).astype(np.uint8))


def test_cutouts_are_no_larger_than_a_seventh_more_than_pillows():
    seen = 0
    for name, rgb, alpha in cutouts(large=1000):
        pixels = compose(cut(Picture(rgb), alpha, Finish()), Finish()).pixels
        size = len(write_png(pixels, effort=2))
        assert size <= 1.15 * pillows(pixels), name
        seen += 1
    assert seen >= 8


def test_more_effort_is_smaller_and_most_of_it_beats_pillow():
    photo = Picture(np.asarray(Image.open(BENCH / "coffee.jpg")))
    pixels = compose(cut(photo, np.asarray(_ellipse((600, 400))), Finish()), Finish())
    sizes = [len(write_png(pixels.pixels, effort=effort)) for effort in (0, 2, 5, 9)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= pillows(pixels.pixels)


def test_more_effort_makes_masks_as_small_as_pillows():
    masks = [alpha for _, _, alpha in cutouts(large=1600)]
    ratios = [len(write_png(mask, effort=7)) / pillows(mask) for mask in masks]
    assert sum(ratios) <= len(ratios)


def test_the_same_pixels_give_the_same_bytes_from_several_threads_at_once():
    pixels = np.dstack([noise(400, 300), ramp(400, 300)])
    expected = write_png(pixels, effort=2)
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(write_png(pixels, effort=2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [expected] * 4


def test_pillow_reads_it_in_pieces_too():
    data = write_png(noise(2000, 300, 4), effort=2)
    assert len([kind for kind, _ in chunks(data) if kind == b"IDAT"]) > 1
    Image.open(io.BytesIO(data)).verify()
