import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from batch_removebg.errors import SourceError
from batch_removebg.imaging import decode
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.colour import srgb_profile
from batch_removebg.imaging.decode import proxy
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from batch_removebg.imaging.vips import vips
from batch_removebg.model import ProxySpec
from tests.support.pictures import (
    chunk,
    cmyk_profile,
    deep_tiff,
    encoded,
    exif,
    grey_profile,
    noise,
    opened,
    png,
    ramp,
    swapped_profile,
    write_png,
    write_tiff,
)

LIMITS = Limits()
DEEP = ("16 bits a channel reduced to 8",)
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""How the EXIF standard says stored rows and columns become the upright picture."""


def read(data):
    return decode.read(data, LIMITS)


@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_said_behind_the_pixels_of_a_png_counts_from_the_start(depth):
    data = png(7, 5, depth, 2, (b"\0" + bytes(7 * 3 * depth // 8)) * 5)
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta xmlns:x='adobe:ns:meta/' note='here'/>")
    late = data[:-12] + chunk(b"eXIf", exif(6).tobytes()[6:]) + xmp + data[-12:]
    seen = probe(late, LIMITS)
    assert seen.upright == (5, 7)
    picture = decode.read(late, LIMITS, metadata=True)
    assert picture.pixels.shape == (7, 5, 3)
    assert b"Camera of Somebody" in picture.exif
    assert b"here" in picture.xmp
    small = proxy(late, ProxySpec(longest=7), LIMITS)
    assert (small.width, small.height) == (5, 7)


def test_a_profile_behind_the_pixels_of_a_png_is_kept_and_what_follows_its_end_is_not_looked_at():
    data = png(7, 5, 8, 2, (b"\0" + bytes(7 * 3)) * 5)
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(swapped_profile()))
    assert read(data[:-12] + profile + data[-12:]).icc == swapped_profile()
    late = chunk(b"eXIf", exif(6).tobytes()[6:])
    assert read(data + late).pixels.shape == (5, 7, 3)
    texts = [chunk(b"tEXt", b"a\0%d" % number) for number in range(3)]
    between = data[:-12] + texts[0] + chunk(b"prVt", b"x") + late + texts[1] + data[-12:]
    assert read(between).pixels.shape == (7, 5, 3)


def test_what_is_damaged_behind_the_pixels_of_a_png_is_left_alone():
    data = png(7, 5, 8, 2, (b"\0" + bytes(7 * 3)) * 5)
    broken = bytearray(data[:-12] + chunk(b"eXIf", exif(6).tobytes()[6:]) + data[-12:])
    broken[len(data) + 5] ^= 1
    assert read(bytes(broken)).pixels.shape == (5, 7, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_orientation_is_put_upright(kind):
    for orientation in range(1, 9):
        stored = noise(5, 7, 4)
        picture = read(encoded(stored, kind, exif=exif(orientation)))
        assert np.array_equal(picture.pixels, UPRIGHT[orientation](stored[..., :3])), orientation
        assert np.array_equal(picture.alpha, UPRIGHT[orientation](stored[..., 3])), orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_jpeg_is_put_upright(orientation):
    stored = np.kron(noise(2, 3, 1), np.ones((16, 16))).astype(np.uint8)
    picture = read(encoded(stored, "JPEG", quality=100, exif=exif(orientation)))
    assert np.abs(picture.pixels.astype(int) - UPRIGHT[orientation](stored)).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_plain_colour_arrives_unchanged(kind):
    pixels = noise(9, 11)
    picture = read(encoded(pixels, kind))
    assert np.array_equal(picture.pixels, pixels)
    assert (picture.pixels.dtype, picture.alpha, picture.icc, picture.notes) == (np.uint8, None, None, ())


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("JPEG2000", {}), ("GIF", {})])
def test_what_is_stored_without_loss_arrives_without(kind, options):
    pixels = np.array([[0, 0, 0], [255, 128, 1], [9, 200, 77]], np.uint8)[noise(9, 11, 1) % 3]
    assert np.array_equal(read(encoded(pixels, kind, **options)).pixels, pixels)


@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "JPEG"])
def test_what_is_stored_with_loss_arrives_close_to_it(kind):
    smooth = np.dstack([np.mgrid[0:64, 0:64][0] * 3, np.mgrid[0:64, 0:64][1] * 3, np.full((64, 64), 90)])
    difference = read(encoded(smooth.astype(np.uint8), kind, quality=95)).pixels.astype(int) - smooth
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (10, 6000), (1, 300_000), (1200, 1001), (100_000, 1), (40_000, 40)]
)
def test_extreme_shapes_are_read(height, width):
    pixels = noise(height, width)
    assert np.array_equal(read(encoded(pixels)).pixels, pixels)


def test_grey_stays_grey_and_grey_alpha_stays_straight():
    pixels = noise(4, 6, 2)
    picture = read(encoded(Image.fromarray(pixels)))
    assert np.array_equal(picture.pixels, pixels[..., 0])
    assert np.array_equal(picture.alpha, pixels[..., 1])
    assert read(encoded(ramp(4, 300))).pixels.shape == (4, 300)


def test_colour_under_transparency_is_kept():
    pixels = np.array([[[0, 255, 0, 1], [10, 20, 30, 0]]], np.uint8)
    picture = read(encoded(pixels))
    assert picture.pixels.tolist() == [[[0, 255, 0], [10, 20, 30]]]
    assert picture.alpha.tolist() == [[1, 0]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "deep"])
def test_an_alpha_that_is_0_everywhere_is_a_mistake_unless_the_picture_may_be_hollow(kind):
    stored = np.dstack((noise(6, 8), np.zeros((6, 8), np.uint8)))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = write_png(stored * np.uint16(257), effort=0) if kind == "deep" else encoded(stored, kind, **options)
    picture = read(data)
    seen = picture.pixels >> 8 if kind == "deep" else picture.pixels
    assert np.array_equal(seen, stored[..., :3])
    assert (picture.alpha, picture.notes) == (None, ("its alpha is 0 everywhere, a tool's mistake: taken for opaque",))
    small = proxy(data, ProxySpec(longest=8, encoding="bmp"), LIMITS)
    assert np.array_equal(np.asarray(opened(small.data)), stored[..., :3])
    assert small.notes == picture.notes
    hollow = decode.read(data, LIMITS, hollow=True)
    assert (hollow.alpha.max(), hollow.notes) == (0, ())


def test_a_white_picture_with_some_alpha_keeps_it():
    stored = np.full((6, 8, 4), 255, np.uint8)
    stored[3:, :, 3] = 0
    assert np.array_equal(read(encoded(stored)).alpha, stored[..., 3])
    assert np.asarray(opened(proxy(encoded(stored), ProxySpec(longest=8), LIMITS).data)).min() == 255


def test_one_bit_becomes_black_and_white():
    assert read(png(8, 1, 1, 0, b"\x00\xa5")).pixels.tolist() == [[255, 0, 255, 0, 0, 255, 0, 255]]


def test_a_palette_becomes_rgb_and_its_transparency_alpha():
    palette = chunk(b"PLTE", bytes([1, 2, 3, 4, 5, 6, 7, 8, 9]))
    picture = read(png(3, 1, 8, 3, bytes([0, 0, 1, 2]), palette))
    assert (picture.pixels.tolist(), picture.alpha) == ([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]], None)
    picture = read(png(3, 1, 8, 3, bytes([0, 0, 1, 2]), palette, chunk(b"tRNS", bytes([0, 128]))))
    assert picture.pixels.tolist() == [[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]
    assert picture.alpha.tolist() == [[0, 128, 255]]


def test_a_transparent_colour_becomes_alpha():
    grey = read(png(3, 1, 8, 0, bytes([0, 7, 8, 9]), chunk(b"tRNS", struct.pack(">H", 8))))
    assert (grey.pixels.tolist(), grey.alpha.tolist()) == ([[7, 8, 9]], [[255, 0, 255]])
    rgb = read(png(2, 1, 8, 2, bytes([0, 1, 2, 3, 4, 5, 6]), chunk(b"tRNS", struct.pack(">3H", 4, 5, 6))))
    assert (rgb.pixels.tolist(), rgb.alpha.tolist()) == ([[[1, 2, 3], [4, 5, 6]]], [[255, 0]])


def test_sixteen_bit_png_stays_sixteen_bits():
    grey = read(png(3, 1, 16, 0, b"\x00" + struct.pack(">3H", 40000, 255, 65535)))
    assert (grey.pixels.tolist(), grey.pixels.dtype, grey.notes) == ([[40000, 255, 65535]], np.uint16, ())
    pair = read(png(1, 1, 16, 4, b"\x00" + struct.pack(">2H", 40000, 300)))
    assert (pair.pixels.tolist(), pair.alpha.tolist()) == ([[40000]], [[300]])
    rgb = read(png(1, 1, 16, 2, b"\x00" + struct.pack(">3H", 40000, 300, 65535)))
    assert (rgb.pixels.tolist(), rgb.alpha, rgb.notes) == ([[[40000, 300, 65535]]], None, ())
    rgba = read(png(1, 1, 16, 6, b"\x00" + struct.pack(">4H", 40000, 300, 65535, 32768)))
    assert (rgba.pixels.tolist(), rgba.alpha.tolist(), rgba.notes) == ([[[40000, 300, 65535]]], [[32768]], ())
    assert (rgba.pixels.dtype, rgba.alpha.dtype) == (np.uint16, np.uint16)


def test_a_sixteen_bit_transparent_colour_becomes_alpha():
    grey = read(png(2, 1, 16, 0, b"\x00" + struct.pack(">2H", 40000, 40001), chunk(b"tRNS", struct.pack(">H", 40001))))
    assert (grey.pixels.tolist(), grey.alpha.tolist()) == ([[40000, 40001]], [[65535, 0]])
    key = chunk(b"tRNS", struct.pack(">3H", 40000, 300, 65535))
    rgb = read(png(2, 1, 16, 2, b"\x00" + struct.pack(">6H", 40000, 300, 65535, 40000, 300, 65534), key))
    assert rgb.alpha.tolist() == [[0, 65535]]


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bit_grey_tiff_stays_sixteen_bits(mode):
    image = Image.frombytes(mode, (3, 1), struct.pack(">3H" if mode == "I;16B" else "<3H", 40000, 255, 65535))
    picture = read(encoded(image, "TIFF"))
    assert (picture.pixels.tolist(), picture.pixels.dtype, picture.notes) == ([[40000, 255, 65535]], np.uint16, ())


@pytest.mark.parametrize("options", ["", "compression=deflate,predictor=horizontal", "compression=lzw,tile=true"])
def test_sixteen_bit_tiff_stays_sixteen_bits_and_is_put_upright(options):
    for bands in [1, 2, 3, 4]:
        for orientation in [1, 5, 6, 8]:
            stored = noise(5, 7, 2 * bands).view(np.uint16)
            picture = read(deep_tiff(stored, options, orientation))
            upright = UPRIGHT[orientation](stored)
            assert np.array_equal(picture.pixels, upright[..., 0] if bands < 3 else upright[..., :3]), (
                bands,
                orientation,
            )
            assert bands in (1, 3) or np.array_equal(picture.alpha, upright[..., -1]), (bands, orientation)
            assert picture.notes == ()


def test_premultiplied_sixteen_bits_become_straight():
    straight = np.array([[[20000, 10000, 0, 40000], [0, 0, 0, 0], [7, 8, 9, 65535]]], np.uint16)
    data = deep_tiff(straight, premultiplied=True)
    assert struct.unpack("<4H", data[8:16]) == (12207, 6103, 0, 40000)
    picture = read(data)
    assert np.abs(picture.pixels.astype(int) - straight[..., :3]).max() <= 1
    assert picture.alpha.tolist() == [[40000, 0, 65535]]


def test_sixteen_bit_cmyk_is_converted_in_eight_and_says_so():
    stored = np.zeros((2, 2, 4), np.uint16)
    stored[..., 0] = 65535
    picture = read(deep_tiff(stored, "", interpretation="cmyk"))
    assert (picture.pixels[0, 0].tolist(), picture.pixels.dtype) == ([0, 255, 255], np.uint8)
    assert picture.notes == (*DEEP, "CMYK without a usable profile: colours are approximate")


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_truncated_sixteen_bits_are_refused(kind):
    stored = noise(64, 64, 6).view(np.uint16)
    data = (write_tiff if kind == "tiff" else write_png)(stored, effort=2)
    with pytest.raises(SourceError, match="damaged or cut short"):
        read(data[: len(data) * 2 // 3])


def test_sixteen_bits_are_scaled_to_eight_by_rounding_and_never_clipped():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_8_bits(every), np.floor(every * 255.0 / 65535 + 0.5))


def test_integers_of_thirty_two_bits_are_taken_for_sixteen_where_they_fit():
    def grey(*values):
        return read(encoded(Image.fromarray(np.array([values], np.int32)), "TIFF"))

    assert (grey(40000, -5, 65535).pixels.tolist(), grey(40000).notes) == ([[40000, 0, 65535]], ())
    wide = grey(2**31 - 1, 2**30, 0)
    assert (wide.pixels.tolist(), wide.notes) == ([[65535, 32768, 0]], ("32 bits reduced to 16",))


@pytest.mark.parametrize(
    ("values", "grey", "white"),
    [
        ([0.0, 0.5, 1.0, -1.0, float("nan")], [0, 32768, 65535, 0, 0], "1"),
        ([0.0, 127.5, 255.0], [0, 32768, 65535], "255"),
        ([0.0, 257.0, 65535.0], [0, 257, 65535], "65535"),
        ([0.0, 1e6], [0, 65535], "1e+06"),
    ],
)
def test_floats_are_scaled_by_their_range_and_noted(values, grey, white):
    picture = read(encoded(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    assert picture.pixels.tolist() == [grey]
    assert picture.notes == (f"floating point: 0 to {white} taken for black to white",)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_is_converted_by_its_own_profile_and_tagged_srgb(kind):
    options = {"icc_profile": cmyk_profile(), **({"quality": 100} if kind == "JPEG" else {})}
    picture = read(encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), kind, **options))
    assert np.abs(picture.pixels[8, 8].astype(int) - [0, 255, 0]).max() <= (0 if kind == "TIFF" else 4)
    assert (picture.icc, picture.notes) == (srgb_profile(), ())


@pytest.mark.parametrize("icc", [None, b"\x00" * 16 + b"CMYK" + bytes(200), swapped_profile()])
def test_cmyk_without_a_usable_profile_is_converted_roughly_and_noted(icc):
    picture = read(encoded(Image.new("CMYK", (2, 2), (255, 0, 0, 0)), "TIFF", icc_profile=icc))
    assert (picture.pixels[0, 0].tolist(), picture.icc) == ([0, 255, 255], None)
    assert picture.notes[-1] == "CMYK without a usable profile: colours are approximate"
    assert len(picture.notes) == (1 if icc is None else 2)


def test_cielab_becomes_srgb():
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (2, 2), (200, 30, 60)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    picture = read(encoded(lab, "TIFF"))
    assert np.abs(picture.pixels[0, 0].astype(int) - [200, 30, 60]).max() <= 4
    assert picture.icc == srgb_profile()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_rgb_profile_is_kept_byte_for_byte_and_the_pixels_with_it(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = noise(8, 8)
    picture = read(encoded(pixels, kind, icc_profile=swapped_profile(), **options))
    assert (picture.icc, picture.notes) == (swapped_profile(), ())
    assert kind == "JPEG" or np.array_equal(picture.pixels, pixels)


def test_a_grey_profile_stays_on_grey_only():
    assert read(encoded(ramp(2, 9), icc_profile=grey_profile())).icc == grey_profile()
    picture = read(encoded(noise(2, 9), icc_profile=grey_profile()))
    assert (picture.icc, picture.notes) == (None, ("colour profile ignored: it is not one for RGB pixels",))


def test_grey_with_an_rgb_profile_becomes_the_same_picture_in_rgb():
    picture = read(encoded(ramp(2, 9), icc_profile=srgb_profile()))
    assert np.array_equal(picture.pixels, np.repeat(ramp(2, 9)[..., None], 3, axis=2))
    assert (picture.icc, picture.notes) == (srgb_profile(), ())


def test_resolution_is_read_and_turned_with_the_picture():
    assert read(encoded(noise(4, 4), "JPEG", dpi=(300, 200))).dpi == (300, 200)
    assert read(encoded(noise(4, 4), "JPEG", dpi=(300, 200), exif=exif(6))).dpi == (200, 300)
    assert read(encoded(noise(4, 4))).dpi is None


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_a_resolution_that_a_jpeg_does_not_tell_is_not_made_up(kind):
    assert read(encoded(noise(4, 4), kind, exif=exif(1))).dpi is None
    tags = exif(6)
    tags[282], tags[283], tags[296] = 100.0, 50.0, 3  # by the centimetre
    assert read(encoded(noise(4, 4), kind, exif=tags)).dpi == (127, 254)
    tags[296] = 1  # by nothing: a pixel's shape
    assert read(encoded(noise(4, 4), kind, exif=tags)).dpi is None


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = read(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]
    assert picture.notes == ("animated, first of 3 frames taken",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM"])
def test_a_truncated_file_is_refused(kind):
    data = encoded(noise(64, 64), kind)
    with pytest.raises(SourceError, match="damaged or cut short"):
        read(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of its own about damaged EXIF
def test_damaged_bytes_end_in_a_picture_or_in_a_source_error(kind):
    data = encoded(noise(24, 24), kind, **({"exif": exif(6)} if kind not in ("GIF", "BMP", "PPM") else {}))
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for at in random.integers(0, min(len(data), 400), 3):
            damaged[at] = random.integers(256)
        try:
            read(bytes(damaged))
        except SourceError:
            refused += 1
    assert refused > 0


def test_a_bomb_is_never_decoded(monkeypatch):
    monkeypatch.setattr(Image.core, "new", lambda *_: pytest.fail("pixels were allocated"))
    monkeypatch.setattr(decode, "unpack", lambda *_: pytest.fail("pixels were asked for"))
    with pytest.raises(SourceError, match="--max-pixels"):
        read(png(60000, 60000, 8, 2, bytes(100)))


@pytest.mark.parametrize(
    "error", [MemoryError(), vips().Error("unable to write", "vips_malloc: out of memory -- size 9GB")]
)
def test_running_out_of_memory_is_the_items_failure(monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(decode, "as_array", refuse)
    with pytest.raises(SourceError, match="more memory"):
        read(png(100, 100, 8, 2, bytes(30100)))


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_is_read_with_its_profile_and_turned_by_its_own_boxes_alone(orientation):
    """ISO 23008-12: what EXIF says of the orientation is not followed, since `irot` and `imir` have been."""
    plugin = pytest.importorskip("pillow_heif", reason="HEIC needs the extra: pip install 'batch-removebg[heic]'")
    plugin.register_heif_opener()
    stored = np.kron(noise(2, 3), np.ones((32, 32, 1))).astype(np.uint8)
    data = encoded(stored, "HEIF", quality=95, icc_profile=swapped_profile(), exif=exif(orientation))
    picture = read(data)
    assert probe(data, LIMITS).upright[0] == picture.pixels.shape[1]
    inside = (slice(8, -8, 32), slice(8, -8, 32))  # away from the edges, which are soft
    assert picture.pixels.shape == stored.shape
    assert np.abs(picture.pixels[inside].astype(int) - stored[inside]).mean() <= 12
    assert (picture.icc, picture.notes) == (swapped_profile(), ())
