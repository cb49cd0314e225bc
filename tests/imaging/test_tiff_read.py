"""What TIFF says in tags that Pillow minds in part."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from batch_removebg.errors import SourceError
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.decode import proxy, read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from batch_removebg.model import ProxySpec
from tests.support.pictures import deep_tiff, encoded, noise

WHITE_IS_ZERO = 0


def tiff(pixels: np.ndarray, **tags: object) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        directory[int(name[1:])] = value
    return encoded(Image.fromarray(pixels), "TIFF", tiffinfo=directory)


def white_is_zero(data: bytes) -> bytes:
    """The same samples under the other PhotometricInterpretation (tag 262, SHORT, one value)."""
    entry = b"\x06\x01\x03\x00\x01\x00\x00\x00\x01"
    assert data.count(entry) == 1
    return data.replace(entry, entry[:-1] + b"\x00")


def test_where_white_is_zero_16_bits_are_turned_round_as_8_bits_are() -> None:
    deep = noise(6, 5, 2).view(np.uint16)[..., 0]
    assert np.array_equal(read(white_is_zero(tiff(deep)), Limits()).pixels, 65535 - deep)
    shallow = noise(6, 5, 1)
    assert np.array_equal(read(white_is_zero(tiff(shallow)), Limits()).pixels, 255 - shallow)


def test_a_tiff_without_a_resolution_has_none() -> None:
    assert read(tiff(noise(6, 5)), Limits()).dpi is None


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("deep", [False, True])
def test_an_uneven_resolution_is_turned_with_the_picture(orientation: int, deep: bool) -> None:
    pixels = noise(6, 5, 2).view(np.uint16)[..., 0] if deep else noise(6, 5)
    data = tiff(pixels, t274=orientation, t282=300.0, t283=150.0, t296=2)
    assert read(data, Limits()).dpi == ((300, 150) if orientation == 1 else (150, 300))


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_a_resolution_that_exif_alone_tells_counts(kind: str) -> None:
    tags = Image.Exif()
    tags[282], tags[283], tags[296] = 100.0, 50.0, 3  # by the centimetre
    assert read(encoded(noise(16, 16), kind, exif=tags.tobytes()), Limits()).dpi == (254, 127)


SHORT, LONG = 3, 4


def by_hand(
    planes: np.ndarray,
    bits: int = 16,
    *,
    order: str = "<",
    photometric: int = 2,
    extra: int = 0,
    planes_apart: bool = True,
) -> bytes:
    """A TIFF without compression of channels one after the other: C×H×W, any unsigned type."""
    count, height, width = planes.shape
    body = planes.astype(planes.dtype.newbyteorder(order)).tobytes()
    if bits == 12:  # two in three bytes
        body = bytes.fromhex("".join(f"{value:03x}" for value in planes.ravel().tolist()))
    size = len(body) // count
    tags = [(256, SHORT, [width]), (257, SHORT, [height]), (258, SHORT, [bits] * count), (259, SHORT, [1])]
    tags += [(262, SHORT, [photometric]), (273, LONG, [0] * count), (277, SHORT, [count]), (278, SHORT, [height])]
    tags += [(279, LONG, [size] * count), (284, SHORT, [2 if planes_apart else 1])]
    tags += [(338, SHORT, [extra])] if extra else []
    ends, behind = 8 + 2 + 12 * len(tags) + 4, b""
    entries = b""
    for tag, kind, values in tags:
        form = order + f"{len(values)}{'H' if kind == SHORT else 'I'}"
        if tag == 273:
            first = ends + 12 * count + 40  # past all that lies outside of the entries
            values = [first + place * size for place in range(count)]
        packed = struct.pack(form, *values)
        if len(packed) > 4:
            packed, behind = struct.pack(order + "I", ends + len(behind)), behind + packed
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HIH", 42, 8, len(tags)) + entries + bytes(4)
    return (head + behind).ljust(ends + 12 * count + 40, b"\0") + body


def words(channels: int, height: int = 6, width: int = 5) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 1 << 16, (channels, height, width)).astype(np.uint16)


@pytest.mark.parametrize("order", "<>")
def test_16_bits_in_planes_of_their_own_are_read_as_16_bits(order: str) -> None:
    planes = words(3)
    assert np.array_equal(read(by_hand(planes, order=order), Limits()).pixels, planes.transpose(1, 2, 0))
    planes = words(4)
    planes[3] |= 1  # libvips makes what is wholly transparent no different, either
    picture = read(by_hand(planes, order=order, extra=2), Limits())
    assert np.array_equal(picture.pixels, planes[:3].transpose(1, 2, 0))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, planes[3])
    grey = words(1)
    assert np.array_equal(read(by_hand(grey, order=order, photometric=1), Limits()).pixels, grey[0])
    assert np.array_equal(read(by_hand(grey, order=order, photometric=0), Limits()).pixels, 65535 - grey[0])


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_grey_of_16_bits_is_read_in_either_order_and_sense(order: str, white_is_zero: bool) -> None:
    grey = words(1)
    data = by_hand(grey, order=order, photometric=0 if white_is_zero else 1, planes_apart=False)
    assert np.array_equal(read(data, Limits()).pixels, 65535 - grey[0] if white_is_zero else grey[0])


def test_grey_and_alpha_in_planes_are_refused_since_libvips_mixes_their_rows() -> None:
    with pytest.raises(SourceError, match="pixels of a kind that can't be read here"):
        read(by_hand(words(2), photometric=1, extra=2), Limits())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_damaged_tiles_of_16_bits_are_refused_and_not_left_black(channels: int) -> None:
    data = bytearray(deep_tiff(words(channels, 200, 300).transpose(1, 2, 0), "compression=deflate,tile=true"))
    assert read(bytes(data), Limits()).pixels.shape[:2] == (200, 300)
    at = len(data) // 2
    data[at : at + 200] = bytes(200)
    with pytest.raises(SourceError, match=r"^is damaged or cut short"):
        read(bytes(data), Limits())


def test_inks_of_16_bits_in_planes_are_scaled_to_8_and_not_taken_for_8_bits() -> None:
    planes = words(4)
    picture = read(by_hand(planes, photometric=5), Limits())
    inks = Image.merge("CMYK", [Image.fromarray(to_8_bits(plane)) for plane in planes])
    assert np.array_equal(picture.pixels, np.asarray(inks.convert("RGB")))
    assert "16 bits a channel reduced to 8" in picture.notes


def test_12_bits_of_grey_reach_from_black_to_white() -> None:
    stored = np.array([[[0, 1, 2047, 4095]]], np.uint16)
    data = by_hand(stored, 12, photometric=1, planes_apart=False)
    picture = read(data, Limits())
    assert picture.pixels.tolist() == [[0, 16, 32759, 65535]]
    assert (probe(data, Limits()).deep, picture.notes) == (True, ())


def test_32_bits_of_grey_are_whole_numbers_without_a_sign() -> None:
    stored = np.array([[[0, 1 << 24, 1 << 31, (1 << 32) - 1]]], np.uint32)
    picture = read(by_hand(stored, 32, photometric=1, planes_apart=False), Limits())
    assert (picture.pixels.tolist(), picture.notes) == ([[0, 256, 32768, 65535]], ("32 bits reduced to 16",))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_proxy_of_a_deep_tiff_has_the_shape_of_the_upright_picture(channels: int) -> None:
    for orientation in range(1, 9):
        data = deep_tiff(words(channels, 40, 20).transpose(1, 2, 0), orientation=orientation)
        seen = probe(data, Limits())
        made = proxy(data, ProxySpec(longest=20), Limits())
        assert (made.width * 2, made.height * 2) == seen.upright, orientation
        assert read(data, Limits()).pixels.shape[:2] == seen.upright[::-1], orientation


@pytest.mark.parametrize("compression", ["zstd", "lzma"])
def test_compression_that_libvips_was_built_without_is_read_all_the_same(compression: str) -> None:
    shallow, deep = noise(9, 7, 4), noise(9, 7, 2).view(np.uint16)[..., 0]
    picture = read(encoded(Image.fromarray(shallow), "TIFF", compression=compression), Limits())
    assert np.array_equal(picture.pixels, shallow[..., :3])
    data = encoded(Image.fromarray(deep), "TIFF", compression=compression)
    assert np.array_equal(read(data, Limits()).pixels, deep)
    assert np.array_equal(read(white_is_zero(data), Limits()).pixels, 65535 - deep)


def test_grey_of_8_bits_with_a_sign_is_taken_for_the_bytes_that_it_is() -> None:
    stored = noise(6, 5, 1)
    data = tiff(stored, t339=2)
    assert np.array_equal(read(data, Limits()).pixels, stored)


@pytest.mark.parametrize("planes_apart", [False, True])
def test_a_single_plane_of_grey_whose_white_is_zero_is_turned_round(planes_apart: bool) -> None:
    grey = (words(1) >> 8).astype(np.uint8)
    assert np.array_equal(
        read(by_hand(grey, 8, photometric=0, planes_apart=planes_apart), Limits()).pixels, 255 - grey[0]
    )
