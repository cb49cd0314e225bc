"""JPEGs as cameras and tools write them: kinds that can't be read, a missing end, several pictures, XMP."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from batch_removebg.errors import SourceError
from batch_removebg.imaging import jpeg
from batch_removebg.imaging.decode import proxy, read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from batch_removebg.model import ProxySpec
from tests.support.pictures import encoded, exif, noise, opened

LIMITS = Limits()
PHOTO = np.kron(noise(6, 8), np.ones((16, 16, 1))).astype(np.uint8)
PLAIN, PROGRESSIVE = (encoded(PHOTO, "JPEG", quality=90, progressive=progressive) for progressive in (False, True))
END = b"\xff\xd9"
NOTE = "the mark of its end is missing, and nothing else"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def of_kind(marker: int, bits: int = 8) -> bytes:
    """As if it were of another frame (SOF)."""
    at = PLAIN.index(b"\xff\xc0")
    return PLAIN[: at + 1] + bytes([marker]) + PLAIN[at + 2 : at + 4] + bytes([bits]) + PLAIN[at + 5 :]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (of_kind(0xC1, 12), "JPEG of 12 bits a channel"),
        (of_kind(0xC3, 16), "JPEG of 16 bits a channel"),
        (of_kind(0xC5), "hierarchical JPEG"),
        (of_kind(0xCB), "lossless arithmetic JPEG"),
        (of_kind(0xF7), "JPEG-LS picture"),
    ],
)
def test_a_sound_jpeg_that_nothing_here_reads_is_named(data: bytes, name: str) -> None:
    with pytest.raises(SourceError, match=f"^is a {name}, which can't be read here: save it as PNG, or as JPEG of 8"):
        probe(data, LIMITS)


def test_arithmetic_coding_is_read() -> None:
    data = bytes.fromhex(
        "ffd8ffdb004300100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933383740485c4e404457453738506d51575f"
        "626768673e4d71797064785c656763ffc9000b080010001001011100ffcc000600101005ffda0008010100003f00ff0078b584ec96e8ffd9"
    )
    assert read(data, LIMITS).pixels.tolist() == [[40] * 8 + [200] * 8] * 16


@pytest.mark.parametrize("tail", [b"", b"\xff", bytes(2000)], ids=["nothing", "half of it", "zeros"])
@pytest.mark.parametrize("data", [PLAIN, PROGRESSIVE], ids=["plain", "progressive"])
def test_a_jpeg_of_which_the_mark_of_the_end_alone_is_missing_is_read_and_noted(data: bytes, tail: bytes) -> None:
    cut = data[:-2] + tail
    picture = read(cut, LIMITS)
    assert np.array_equal(picture.pixels, read(data, LIMITS).pixels)
    assert picture.notes == (NOTE,)
    small, whole = (proxy(each, ProxySpec(longest=16, encoding="bmp"), LIMITS) for each in (cut, data))
    assert np.abs(np.asarray(opened(small.data)).astype(int) - opened(whole.data)).max() <= 12  # not decoded smaller


SCANS = [at for at in range(len(PROGRESSIVE)) if PROGRESSIVE.startswith(b"\xff\xda", at)]


@pytest.mark.parametrize("longest", [16, 500])
@pytest.mark.parametrize(
    "cut",
    [
        PLAIN[:-3],
        PLAIN[: len(PLAIN) // 2],
        PROGRESSIVE[:-3],
        PROGRESSIVE[: len(PROGRESSIVE) // 2],
        PROGRESSIVE[: SCANS[-1]],
        PROGRESSIVE[: SCANS[-1] + 10],
        PROGRESSIVE[: SCANS[1]],
    ],
)
def test_a_jpeg_that_is_really_cut_short_is_refused_and_so_is_its_proxy(cut: bytes, longest: int) -> None:
    with pytest.raises(SourceError, match=r"^is damaged or cut short"):
        read(cut, LIMITS)
    with pytest.raises(SourceError, match=r"^is damaged or cut short"):
        proxy(cut, ProxySpec(longest=longest), LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + b"junk" * 100,
        PLAIN[:-2] + b"junk" + END,
        PLAIN[:2] + b"\xff" * 9 + PLAIN[2:],
        PLAIN + encoded(noise(8, 8), "JPEG")[:-2],
    ],
    ids=["behind the end", "before the end", "fill bytes", "another one cut short behind"],
)
def test_what_lies_beside_the_picture_is_passed_over(data: bytes) -> None:
    picture = read(data, LIMITS)
    assert np.array_equal(picture.pixels, read(PLAIN, LIMITS).pixels)
    assert picture.notes == ()


def index(*kinds: int) -> bytes:
    """The segment that says of what kinds the pictures of a file are (CIPA DC-007)."""
    table = b"".join(struct.pack("<IIIHH", kind, 1, 1, 0, 0) for kind in kinds)
    entries = [(0xB000, 7, 4, b"0100"), (0xB001, 4, 1, struct.pack("<I", len(kinds)))]
    entries.append((0xB002, 7, len(table), struct.pack("<I", 8 + 2 + 3 * 12 + 4)))
    head = b"II*\0" + struct.pack("<IH", 8, 3) + b"".join(struct.pack("<HHI", *e[:3]) + e[3] for e in entries)
    return segment(0xE2, b"MPF\0" + head + bytes(4) + table)


def with_segments(*segments: bytes, behind: bytes = b"") -> bytes:
    return PLAIN[:2] + b"".join(segments) + PLAIN[2:] + behind


ULTRA_HDR = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta hdrgm:Version='1.0'/>")
ISO = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")
APPLE = b"\xff\xd8" + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<HDRGainMap:Version/>") + PLAIN[2:]


@pytest.mark.parametrize(
    ("data", "notes"),
    [
        (with_segments(index(0x030000, 0)), ("first of 2 pictures taken",)),
        (with_segments(index(0x030000, 0x010001, 0x010002)), ()),
        (with_segments(ULTRA_HDR, index(0x030000, 0)), ("first of 2 pictures taken (an HDR gain map is left out)",)),
        (with_segments(ISO, index(0x030000, 0)), ("first of 2 pictures taken (an HDR gain map is left out)",)),
        (
            with_segments(index(0x030000, 0), behind=APPLE),
            ("first of 2 pictures taken (an HDR gain map is left out)",),
        ),
        (with_segments(ULTRA_HDR), ("an HDR gain map is left out",)),
        (with_segments(segment(0xE2, b"MPF\0II*\0")), ()),
    ],
    ids=["pair", "previews", "Ultra HDR", "ISO 21496-1", "Apple", "no index", "damaged index"],
)
def test_of_several_pictures_the_first_is_taken_and_it_is_said(data: bytes, notes: tuple[str, ...]) -> None:
    picture = read(data, LIMITS)
    assert np.array_equal(picture.pixels, read(PLAIN, LIMITS).pixels)
    assert picture.notes == notes


@pytest.mark.parametrize("box", [b"infe\2\0\0\0\0\2\0\0tmap", b"auxC\0\0\0\0urn:com:apple:photo:2020:aux:hdrgainmap\0"])
def test_a_gain_map_of_an_avif_is_said_to_be_left_out(box: bytes) -> None:
    data = encoded(PHOTO, "AVIF")
    free = struct.pack(">I4s", len(box) + 8, b"free") + box  # where no reader minds it
    assert probe(data + free, LIMITS).notes == ("an HDR gain map is left out",)
    assert probe(data, LIMITS).notes == ()


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "PNG", "AVIF"])
def test_an_orientation_that_xmp_alone_tells_turns_nothing_and_the_packet_is_kept(kind: str) -> None:
    from PIL import PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    tags = Image.Exif()
    tags[700] = XMP
    how = {"PNG": {"pnginfo": text}, "TIFF": {"exif": tags}}.get(kind, {"xmp": XMP})
    data = encoded(noise(6, 8), kind, **how)
    assert probe(data, LIMITS).upright == (8, 6)
    picture = read(data, LIMITS, metadata=True)
    assert picture.pixels.shape[:2] == (6, 8)
    assert b"adobe:ns:meta" in (picture.xmp or b"")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_exif_turns_whatever_xmp_says(kind: str) -> None:
    assert probe(encoded(noise(6, 8), kind, xmp=XMP, exif=exif(8)), LIMITS).orientation == 8
    assert probe(encoded(noise(6, 8), kind, xmp=XMP, exif=exif(1)), LIMITS).orientation == 1


def test_the_quality_that_tables_stand_for_is_told_within_one() -> None:
    picture = Image.new("RGB", (16, 16))
    for asked in range(20, 101):
        for options in ({}, {"progressive": True, "subsampling": 0}):
            told = jpeg.quality(encoded(picture, "JPEG", quality=asked, **options))
            assert told is not None
            assert abs(told - asked) <= (asked == 100)
    assert jpeg.quality(b"\xff\xd8\xff\xd9") is None
