"""TIFFs as cameras, scanners and renderers write them: the page that is the picture, rare pixels, what is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from batch_removebg.errors import SourceError
from batch_removebg.imaging.colour import srgb_profile
from batch_removebg.imaging.decode import proxy, read
from batch_removebg.imaging.directories import Directories
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from batch_removebg.model import ProxySpec
from tests.support.pictures import encoded, noise, opened
from tests.support.tiffs import ASCII, LONG, SHORT, Page, tiff_of

LIMITS = Limits()
LARGE, SMALL = noise(12, 16), noise(3, 4, seed=1)
REDUCED, MASK, OPAQUE = {254: (LONG, [1])}, {254: (LONG, [4])}, {338: (SHORT, [2])}
EITHER = [(order, big) for order in "<>" for big in (False, True)]
REMARK = "its first page is a thumbnail or a mask: the full picture was taken"
FLOATS = "floating point: 0 to 1 taken for black to white"


@pytest.mark.parametrize(("order", "big"), EITHER)
@pytest.mark.parametrize("orientation", [1, 6])
def test_tiff_and_bigtiff_of_either_byte_order_are_read(order: str, big: bool, orientation: int) -> None:
    tags = {274: (SHORT, [orientation]), 271: (ASCII, b"Camera\0")}
    for stored in (LARGE, LARGE.astype(np.uint16) * 257, LARGE[..., 0]):
        data = tiff_of(Page(stored, tags), order=order, big=big)
        picture = read(data, LIMITS)
        assert np.array_equal(picture.pixels, stored if orientation == 1 else np.rot90(stored, -1))
        assert (picture.alpha, picture.notes, probe(data, LIMITS).upright) == (None, (), picture.pixels.shape[1::-1])


@pytest.mark.parametrize(("order", "big"), EITHER)
@pytest.mark.parametrize(
    "pages",
    [
        (Page(SMALL, REDUCED), Page(LARGE)),
        (Page(LARGE[..., 0], MASK), Page(LARGE)),
        (Page(SMALL, {255: (SHORT, [2])}), Page(LARGE)),
        (Page(SMALL, REDUCED, [Page(LARGE)]),),
        (Page(SMALL, {}, [Page(LARGE)]),),
        (Page(SMALL, REDUCED, [Page(SMALL, REDUCED), Page(LARGE)]), Page(SMALL)),
    ],
    ids=[
        "second page",
        "behind a mask",
        "marked in the old way",
        "inside",
        "inside of one that isn't marked",
        "second inside",
    ],
)
def test_the_full_picture_is_taken_and_not_the_thumbnail_before_it(
    pages: tuple[Page, ...], order: str, big: bool
) -> None:
    data = tiff_of(*pages, order=order, big=big)
    picture = read(data, LIMITS)
    assert np.array_equal(picture.pixels, LARGE)
    assert picture.notes[0] == REMARK
    assert (proxy(data, ProxySpec(longest=16), LIMITS).width, probe(data, LIMITS).size) == (16, (16, 12))


def test_the_turning_of_the_first_page_counts_for_the_picture_inside_unless_it_has_its_own() -> None:
    thumbnail = {**REDUCED, 274: (SHORT, [6])}
    assert read(tiff_of(Page(SMALL, thumbnail, [Page(LARGE)])), LIMITS).pixels.shape == (16, 12, 3)
    upright = Page(LARGE, {274: (SHORT, [1])})
    assert read(tiff_of(Page(SMALL, thumbnail, [upright])), LIMITS).pixels.shape == (12, 16, 3)


@pytest.mark.parametrize(
    ("pages", "notes"),
    [
        ((Page(LARGE, {}, [Page(SMALL, REDUCED)]),), ()),
        ((Page(LARGE), Page(SMALL, REDUCED)), ("first of 2 pages taken",)),
        ((Page(SMALL), Page(LARGE)), ("first of 2 pages taken",)),
        ((Page(SMALL, REDUCED),), ()),
    ],
    ids=["pyramid", "thumbnail behind", "two pictures", "nothing else"],
)
def test_otherwise_the_first_page_is_taken(pages: tuple[Page, ...], notes: tuple[str, ...]) -> None:
    picture = read(tiff_of(*pages), LIMITS)
    assert np.array_equal(picture.pixels, pages[0].pixels)
    assert picture.notes == notes


def test_pictures_inside_of_each_other_end_and_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {330: (LONG, list(range(8, 8 + 4 * 5000, 4)))}
    data = tiff_of(*(Page(SMALL, {**REDUCED, **many}) for _ in range(40)))
    looked = []
    tags = Directories.tags
    monkeypatch.setattr(Directories, "tags", lambda self, at: looked.append(at) or tags(self, at))
    assert np.array_equal(read(data, LIMITS).pixels, SMALL)
    assert len(looked) <= 10 * 11
    crowded = Directories(tiff_of(Page(SMALL, {tag: (SHORT, [1]) for tag in range(1000, 6000)})))
    assert len(tags(crowded, next(crowded.chain(1)))) == 1024


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of its own about damaged EXIF
def test_a_directory_that_claims_more_entries_than_there_are_is_read_in_no_time() -> None:
    data = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 1 << 62) + bytes(1 << 20)
    with pytest.raises(SourceError):
        probe(data, LIMITS)


@pytest.mark.parametrize(
    ("code", "name"), [(34712, "JPEG 2000"), (34887, "LERC"), (50002, "JPEG XL"), (65000, "method 65000")]
)
def test_compression_that_nothing_here_reads_is_named_with_a_remedy(code: int, name: str) -> None:
    data = tiff_of(Page(LARGE, {259: (SHORT, [code])}))
    with pytest.raises(
        SourceError, match=f"^is a TIFF compressed by {name}, which can't be read here: save it with LZW or Deflate$"
    ):
        probe(data, LIMITS)


def test_webp_inside_of_a_tiff_is_read() -> None:
    import pyvips

    written: bytes = pyvips.Image.new_from_array(LARGE).write_to_buffer(".tif[compression=webp,lossless=true]")
    assert np.array_equal(read(written, LIMITS).pixels, LARGE)


def test_old_jpeg_inside_of_a_tiff_is_read() -> None:
    stored = np.kron(noise(2, 3), np.ones((16, 16, 1))).astype(np.uint8)
    jpeg = encoded(stored, "JPEG", quality=95)
    tags = {259: (SHORT, [6]), 262: (SHORT, [6]), 279: (LONG, [len(jpeg)]), 514: (LONG, [len(jpeg)])}
    tags |= {512: (SHORT, [1]), 530: (SHORT, [2, 2])}
    empty = np.zeros((32, 48, 3), np.uint8)
    at = len(tiff_of(Page(empty, {**tags, 273: (LONG, [0]), 513: (LONG, [0])})))
    data = tiff_of(Page(empty, {**tags, 273: (LONG, [at]), 513: (LONG, [at])})) + jpeg
    assert np.abs(read(data, LIMITS).pixels.astype(int) - opened(jpeg)).mean() < 4


@pytest.mark.parametrize("data", [tiff_of(Page(LARGE, {259: (SHORT, [6])})), None], ids=["old JPEG", "Zstandard"])
def test_what_libtiff_prints_does_not_reach_the_terminal(data: bytes | None, tmp_path: Path) -> None:
    if data is None:
        data = encoded(noise(60, 60), "TIFF", compression="zstd")
        data = data.replace(b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfe")  # what every frame begins with
    kept = os.dup(2)
    with (tmp_path / "said").open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            with pytest.raises(SourceError, match="damaged or cut short"):
                read(data, LIMITS)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    assert (tmp_path / "said").read_bytes() == b""


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_floating_point_in_colour_becomes_16_bits_in_either_order(order: str, kind: type) -> None:
    stored = (LARGE / 255).astype(kind)
    picture = read(tiff_of(Page(stored), order=order), LIMITS)
    assert np.array_equal(picture.pixels, np.rint(stored.astype(np.float32) * np.float32(65535)).astype(np.uint16))
    assert (picture.alpha, picture.notes) == (None, (FLOATS,))
    behind = np.dstack((stored, np.full((12, 16), 0.5))).astype(kind)
    picture = read(tiff_of(Page(behind, OPAQUE), order=order), LIMITS)
    assert picture.alpha is not None
    assert (np.unique(picture.alpha).tolist(), picture.notes) == ([32768], (FLOATS,))


def test_light_above_white_is_taken_for_linear_and_cut_off() -> None:
    stored = np.array([[[0.0, 0.2140, 1.0], [4.0, 0.5, 0.0]]], np.float32)
    picture = read(tiff_of(Page(stored)), LIMITS)
    assert (picture.pixels >> 8).tolist() == [[[0, 127, 255], [255, 188, 0]]]
    assert picture.notes == (f"{FLOATS} in linear light, what is above is white",)
    profiled = read(tiff_of(Page(stored, {34675: (1, srgb_profile())})), LIMITS)
    assert (profiled.pixels >> 8).tolist() == [[[0, 54, 255], [255, 128, 0]]]
    assert profiled.notes == (f"{FLOATS}, what is above is white",)


def test_whole_numbers_of_32_bits_in_colour_become_16() -> None:
    picture = read(tiff_of(Page(LARGE.astype(np.uint32) * 0x1010101)), LIMITS)
    assert np.array_equal(picture.pixels, LARGE.astype(np.uint16) * 257)
    assert picture.notes == ("32 bits reduced to 16",)


@pytest.mark.parametrize("order", "<>")
def test_cielab_of_8_and_16_bits_becomes_srgb(order: str) -> None:
    rgb = np.array([[[200, 30, 60], [255, 255, 255], [0, 0, 0], [20, 160, 90]]], np.uint8)
    lab = ImageCms.profileToProfile(
        Image.fromarray(rgb), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    shallow = np.asarray(lab).astype(np.int16)
    ab = shallow[..., 1:].astype(np.uint8).view(np.int8).astype(np.int16)
    deep = np.dstack((shallow[..., 0] * 257, ab * 256)).astype(np.uint16)
    opaque = np.dstack((deep, np.full((1, 4), 30000, np.uint16)))
    meaning = {262: (SHORT, [8])}
    for stored, tags in ((shallow.astype(np.uint8), meaning), (deep, meaning), (opaque, meaning | OPAQUE)):
        picture = read(tiff_of(Page(stored, tags), order=order), LIMITS)
        seen = picture.pixels if stored.dtype == np.uint8 else picture.pixels >> 8
        assert np.abs(seen.astype(int) - rgb).max() <= 4
        assert picture.icc == srgb_profile()
        assert picture.alpha is None or np.unique(picture.alpha).tolist() == [30000]


@pytest.mark.parametrize("meaning", [9, 10])
def test_colours_that_nothing_here_knows_are_refused_as_such(meaning: int) -> None:
    with pytest.raises(SourceError, match="pixels of a kind that can't be read here"):
        probe(tiff_of(Page(LARGE, {262: (SHORT, [meaning])})), LIMITS)


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_with_alpha_is_read_and_its_proxy_lies_on_white(bits: int) -> None:
    inks = np.zeros((12, 16, 5), np.uint8)
    inks[..., 0] = 255
    inks[..., 4] = 128
    inks[:6, :, 4] = 0
    stored = inks if bits == 8 else inks.astype(np.uint16) * 257
    data = tiff_of(Page(stored, {262: (SHORT, [5]), **OPAQUE}))
    picture = read(data, LIMITS)
    assert (picture.pixels[0, 0].tolist(), np.unique(picture.alpha).tolist()) == ([0, 255, 255], [0, 128])
    seen = np.asarray(opened(proxy(data, ProxySpec(longest=16, encoding="bmp"), LIMITS).data))
    assert (seen[0, 0].tolist(), seen[-1, -1].tolist()) == ([255, 255, 255], [127, 255, 255])


def test_inks_of_16_bits_multiplied_by_alpha_are_refused_since_libvips_divides_them_wrongly() -> None:
    inks = np.full((12, 16, 5), 30_000, np.uint16)
    with pytest.raises(SourceError, match="pixels of a kind that can't be read here"):
        probe(tiff_of(Page(inks, {262: (SHORT, [5]), 338: (SHORT, [1])})), LIMITS)


@pytest.mark.parametrize("kinds", [[2, 0], [0, 0]])
def test_of_16_bits_with_more_channels_than_alpha_the_rest_is_left_out(kinds: list[int]) -> None:
    stored = np.dstack((LARGE, noise(12, 16, 2))).astype(np.uint16) * 257
    picture = read(tiff_of(Page(stored, {338: (SHORT, kinds)})), LIMITS)
    assert np.array_equal(picture.pixels, stored[..., :3])
    assert (picture.alpha is None) == (kinds[0] == 0)
    assert picture.alpha is None or np.array_equal(picture.alpha, stored[..., 3])


def test_ycbcr_without_jpeg_is_converted_and_not_taken_for_rgb() -> None:
    data = encoded(Image.fromarray(np.full((12, 16, 3), (200, 30, 60), np.uint8)).convert("YCbCr"), "TIFF")
    assert np.abs(read(data, LIMITS).pixels.astype(int) - (200, 30, 60)).max() <= 2


def test_tiles_in_planes_are_read_where_pillow_can() -> None:
    height = width = 16
    planes = noise(height, width).transpose(2, 0, 1)
    tags = {284: (SHORT, [2]), 322: (LONG, [width]), 323: (LONG, [height]), 325: (LONG, [width * height] * 3)}
    tags |= {
        273: (LONG, []),
        278: (LONG, []),
        279: (LONG, []),
        324: (LONG, [8 + width * height * place for place in range(3)]),
    }
    data = tiff_of(Page(np.ascontiguousarray(planes).reshape(height, width, 3), tags))
    assert np.array_equal(read(data, LIMITS).pixels, planes.transpose(1, 2, 0))
