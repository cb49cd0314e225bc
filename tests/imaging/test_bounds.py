"""A file of more parts than any picture needs is refused before a library opens it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image

from batch_removebg.errors import SourceError
from batch_removebg.imaging import bounds, probe
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits

LIMITS = Limits()


def never_opened(*_: object, **__: object) -> None:
    raise AssertionError("a library was asked")


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def progressive(scans: int) -> bytes:
    """A sound JPEG of 8×8 grey pixels: a scan of DC, then of one bit of one coefficient each (at most 882)."""
    parts = [
        b"\xff\xd8",
        segment(0xDB, b"\0" + b"\1" * 64),
        segment(0xC2, struct.pack(">BHHB3B", 8, 8, 8, 1, 1, 17, 0)),
    ]
    parts += [segment(0xC4, table + b"\1" + bytes(15) + b"\0") for table in (b"\0", b"\x10")]
    parts.append(segment(0xDA, b"\1\1\0\0\0\0") + b"\x7f")
    places = [(bit, place) for bit in range(13, -1, -1) for place in range(1, 64)]
    for bit, place in places[: scans - 1]:
        before = 0 if bit == 13 else bit + 1
        parts.append(segment(0xDA, bytes([1, 1, 0, place, place, before << 4 | bit])) + b"\x7f")
    return b"".join(parts) + b"\xff\xd9"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(extra: bytes) -> bytes:
    buffer = BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + extra + data[33:]


def pages(count: int, *, end: int = 0) -> bytes:
    """A TIFF of so many directories, the last of which points to `end`."""
    tags = [(256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4), (279, 16)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    size = len(body) + 4
    following = [8 + size * (number + 1) for number in range(count - 1)]
    return b"II*\0\x08\0\0\0" + b"".join(body + struct.pack("<I", at) for at in (*following, end)) + bytes(64)


def big_pages(count: int) -> bytes:
    """A BigTIFF of so many directories without entries."""
    offsets = [16 + 16 * (number + 1) for number in range(count - 1)]
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + b"".join(struct.pack("<QQ", 0, at) for at in (*offsets, 0))


def gif(frames: int) -> bytes:
    frame = b"\x2c\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * frames + b";"


def psd(blocks: int) -> bytes:
    resources = b"8BIM" + bytes(8)
    head = b"8BPS" + struct.pack(">H6xHIIHHII", 1, 3, 8, 8, 8, 3, 0, len(resources) * blocks)
    return head + resources * blocks + bytes(6) + bytes(8 * 8 * 3)


def bmp(compression: int, size: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, 9, 9, 1, 8, compression, 0, 0, 0, 256, 0)
    return (b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54 + 1024) + header).ljust(size, b"\1")


SLOW = 16 << 20
TOO_MANY: dict[str, tuple[Callable[[], bytes], str]] = {
    "scans of a JPEG": (lambda: progressive(101), "has more than 100 scans"),
    "chunks of a PNG": (lambda: png(chunk(b"tEXt", b"a\0b") * bounds.CHUNKS), "has more than 131,072 chunks"),
    "pages of a TIFF": (lambda: pages(10_001), "has more than 10,000 pages"),
    "pages of a BigTIFF": (lambda: big_pages(10_001), "has more than 10,000 pages"),
    "frames of a GIF": (lambda: gif(100_002), "has more than 100,000 frames"),
    "frames of a WebP": (lambda: b"RIFF\0\0\0\0WEBP" + b"ANMF" * 100_001, "has more than 100,000 frames"),
    "blocks of a PSD": (lambda: psd(100_001), "has more than 100,000 blocks of data"),
    "comments of a PPM": (lambda: b"P3\n1 1\n255\n" + b"#\n" * 1001 + b"1 2 3", "has more than 1,000 comments"),
    "numbers of a PPM": (lambda: b"P3\n1 1\n255\n".ljust(SLOW + 1, b"1"), "is a PPM of more than 16 MiB as text"),
    "runs of a BMP": (lambda: bmp(1, SLOW + 1), "is a BMP of more than 16 MiB as text or run lengths"),
    "short runs of a BMP": (lambda: bmp(2, SLOW + 1), "is a BMP of more than 16 MiB as text or run lengths"),
    "a text that unpacks to much": (
        lambda: png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes((16 << 20) + 1)))),
        "holds texts that unpack to more than 16 MiB",
    ),
    "texts that unpack to much together": (
        lambda: png(b"".join(chunk(b"iTXt", b"%d\0\1\0\0\0" % n + zlib.compress(bytes(9 << 20))) for n in range(2))),
        "holds texts that unpack to more than 16 MiB",
    ),
}


@pytest.mark.parametrize("fault", TOO_MANY)
def test_what_keeps_decoders_busy_is_refused_before_a_library_opens_it(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("_load", "_opened"):
        for module in (probe.read_vips, probe.read_pillow):
            monkeypatch.setattr(module, library, never_opened, raising=False)
    make, why = TOO_MANY[fault]
    with pytest.raises(SourceError, match=why):
        probe.probe(make(), LIMITS)


WITHIN: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: progressive(100),
    "JPEG with marks of scans behind its end": lambda: progressive(10) + b"\xff\xda\0\2" * 1000,
    "JPEG with marks of scans in a segment": lambda: progressive(10).replace(
        b"\xff\xd8", b"\xff\xd8" + segment(0xE5, b"\xff\xda\0\2" * 1000), 1
    ),
    "PNG": lambda: png(chunk(b"tEXt", b"a\0b") * 1000 + chunk(b"zTXt", b"z\0\0" + zlib.compress(bytes(16 << 20)))),
    "TIFF": lambda: pages(100),
    "TIFF whose last page points to the first": lambda: pages(1, end=8),
    "GIF": lambda: gif(1000),
    "PSD": lambda: psd(1000),
    "PPM": lambda: b"P3\n1 1\n255\n" + b"#\n" * 1000 + b"1 2 3",
    "PPM of bytes": lambda: b"P6\n60 60\n255\n" + b"#" * (60 * 60 * 3),
}


@pytest.mark.parametrize("kind", WITHIN)
def test_what_stays_below_the_bounds_is_read(kind: str) -> None:
    assert read(WITHIN[kind](), LIMITS).pixels.size > 0
