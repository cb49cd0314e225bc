"""What a PNG's chunks say besides its pixels (PNG specification, third edition, sections 5 and 11)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from batch_removebg.errors import SourceError

Chunk = tuple[bytes, int, int]
"""Kind, start and end of the body."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS = 1 << 17  # chunks that are walked through: a picture of 120 megapixels in pieces of 8 kB has half as many
TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_LARGEST = 1 << 24  # bytes that the compressed profile may unpack to, and all texts together


def walk(data: bytes, most: int = CHUNKS) -> Iterator[Chunk]:
    """Each chunk, up to IEND, `most` or the first one that isn't whole."""
    end = len(SIGNATURE) - 4
    for _ in range(most):
        start = end + 12
        kind, end = data[start - 4 : start], start + int.from_bytes(data[start - 8 : start - 4], "big")
        if end + 4 > len(data):
            return
        yield kind, start, end
        if kind == b"IEND":
            return


def is_sound(data: bytes, start: int, end: int) -> bool:
    """Whether the checksum of the chunk with that body is right."""
    return zlib.crc32(memoryview(data)[start - 4 : end]) == int.from_bytes(data[end : end + 4], "big")


def require_sound(data: bytes) -> None:
    """Raise SourceError for a PNG with a wrong checksum in any chunk (decoding checks some); what is no PNG passes."""
    if data.startswith(SIGNATURE):
        for kind, start, end in walk(data):
            if not is_sound(data, start, end):
                raise SourceError(f"is damaged or cut short: a checksum is wrong ({kind!r})")


def read_chunks(data: bytes) -> tuple[dict[bytes, bytes], dict[bytes, bytes], tuple[Chunk, ...]]:
    """The bodies of the sound chunks other than pixels by kind, the texts by keyword, and the chunks that are damaged.

    Raises SourceError for a damaged one that the pixels need, and for texts too large.
    """
    chunks: dict[bytes, bytes] = {}
    texts: dict[bytes, bytes] = {}
    damaged: list[Chunk] = []
    behind, room = False, _LARGEST
    for kind, start, end in walk(data):
        if kind in (b"IDAT", b"fdAT"):
            behind = True
        elif not is_sound(data, start, end):
            if kind[0] & 0x20:  # a small letter: a picture can be shown without it (5.4)
                damaged.append((kind, start, end))
            elif not behind:
                wrong = f"a checksum is wrong ({kind!r})"
                raise SourceError(f"looks like PNG, but its header is damaged or cut short: {wrong}")
        elif kind in TEXTS:
            keyword, _, rest = data[start:end].partition(b"\0")
            packed = rest[:1] == b"\1" if kind == b"iTXt" else kind == b"zTXt"
            # iTXt: behind its flags, the language and the translated keyword; zTXt: behind its method.
            text = rest[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else rest[packed:]
            if packed:
                text = _unpacked(text, room + 1)
                room -= len(text)
            if room < 0:
                most = _LARGEST >> 20
                raise SourceError(f"holds texts that unpack to more than {most} MiB: save it anew without them")
            texts.setdefault(keyword, text)
        else:
            chunks.setdefault(kind, data[start:end])
    return chunks, texts, tuple(damaged)


def without(data: bytes, left_out: Sequence[Chunk]) -> bytes:
    """The file without some of its chunks, which are in order."""
    starts = [0, *(end + 4 for _, _, end in left_out)]
    ends = [*(start - 8 for _, start, _ in left_out), len(data)]
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True)) if left_out else data


def profile(chunks: dict[bytes, bytes]) -> bytes | None:
    """The colour profile among the chunks; None where there is none or it can't be unpacked."""
    _, _, packed = chunks.get(b"iCCP", b"").partition(b"\0")
    return _unpacked(packed[1:], _LARGEST) or None


def _unpacked(packed: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error:
        return b""


def density(chunks: dict[bytes, bytes]) -> tuple[float, float] | None:
    """Dots per inch, horizontally and vertically; None where pHYs doesn't say (unit 1: the metre)."""
    body = chunks.get(b"pHYs", b"")
    if len(body) != 9 or body[8] != 1:
        return None
    return int.from_bytes(body[:4], "big") * 0.0254, int.from_bytes(body[4:8], "big") * 0.0254
