import struct
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch_removebg.errors import SourceError
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import measure
from batch_removebg.imaging.probe import probe as look
from tests.support.pictures import encoded, exif, noise, opened, png, write_png
from tests.support.tiffs import Page, tiff_of

LIMITS = Limits()
FRAMES = [Image.fromarray(noise(6, 8, seed=seed)) for seed in range(3)]
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM"])
def test_the_content_decides_the_format(kind):
    probe = look(encoded(noise(6, 8), kind), LIMITS)
    assert (probe.format, probe.upright, probe.frames, probe.notes) == (kind, (8, 6), 1, ())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_size_is_the_upright_one(kind):
    for orientation in range(1, 9):
        probe = look(encoded(noise(6, 8), kind, exif=exif(orientation)), LIMITS)
        assert probe.upright == ((6, 8) if orientation >= 5 else (8, 6)), orientation


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"^is empty \(0 bytes\)$"),
        (b"%QQQ-1.7 not a picture", r"^is not a picture \(it starts with b'%QQQ-1\.7'\); readable are JPEG, PNG"),
        (b"%PDF-1.7", "^is not a picture but a PDF: save its page as PNG$"),
        (
            tiff_of(Page(noise(6, 8).astype(float))),
            "^is a TIFF with pixels of a kind that can't be read here: save it as grey or RGB of 8 or",
        ),
        (b"\xff\n\xfa\x1f", "^is a picture in JPEG XL, which can't be read here: save it as PNG or TIFF$"),
        (b"GIF89a", "^looks like GIF, but its header is damaged or cut short"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "^looks like PNG, but its header is damaged or cut short"),
    ],
)
def test_what_is_not_a_picture_is_refused_with_the_reason(data, message):
    with pytest.raises(SourceError, match=message):
        look(data, LIMITS)


def test_a_picture_beyond_the_limit_is_refused_from_its_header_alone():
    bomb = png(60000, 60000, 8, 2, bytes(100))
    with pytest.raises(SourceError, match=r"60000×60000 pixels \(3600 million\).*limit of 120 million.*--max-pixels"):
        look(bomb, LIMITS)
    assert look(png(12000, 10000, 8, 2, bytes(100)), LIMITS).upright[0] == 12000
    with pytest.raises(SourceError, match="--max-pixels"):
        look(png(12000, 10001, 8, 2, bytes(100)), LIMITS)
    assert look(bomb, Limits(max_pixels=3_600_000_000)).upright[0] == 60000


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_more_rows_than_are_read_in_good_time_are_refused(kind):
    assert look(encoded(noise(100_000, 1), kind), LIMITS).upright == (1, 100_000)
    with pytest.raises(SourceError, match=r"^is 1×100001 pixels: more than 100000 rows can't be read here"):
        look(encoded(noise(100_001, 1), kind), LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM"])
def test_probing_decodes_nothing(kind, monkeypatch):
    data = encoded(noise(6, 8), kind)
    monkeypatch.setattr(Image.core, "new", lambda *_: pytest.fail("pixels were allocated"))
    assert look(data, LIMITS).upright[0] == 8


def test_a_gif_whose_frame_is_larger_than_its_screen_is_refused_by_the_frame():
    frame = b"," + struct.pack("<4HB", 0, 0, 65535, 65535, 0) + b"\x02\x01\x00\x00;"
    with pytest.raises(SourceError, match=r"^is too large: Image size .4294836225 pixels"):
        look(b"GIF89a" + struct.pack("<2H3B", 1, 1, 0, 0, 0) + frame, LIMITS)


def test_pillows_own_limit_neither_warns_nor_is_touched():
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        look(png(11000, 10000, 8, 2, bytes(100)), LIMITS)
    assert (seen, Image.MAX_IMAGE_PIXELS) == ([], before)


def test_programs_and_pictures_in_pictures_stay_closed():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    with pytest.raises(SourceError, match="is not a picture"):
        look(postscript, LIMITS)
    with pytest.raises(SourceError, match="is a picture in ICO, which can't be read here"):
        look(encoded(noise(16, 16), "ICO"), LIMITS)


def test_heic_without_the_plugin_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "OPEN", {name: opener for name, opener in Image.OPEN.items() if name != "HEIF"})
    with pytest.raises(SourceError, match=r"pip install '\.\[heic\]'"):
        look(HEIC, LIMITS)


def test_heic_is_opened_by_the_plugin_where_there_is_one(monkeypatch):
    def register():
        Image.register_open("HEIF", lambda fp, name: opened(encoded(noise(6, 8))), lambda prefix: True)

    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.setattr(Image, "OPEN", {name: opener for name, opener in Image.OPEN.items() if name != "HEIF"})
    assert look(HEIC, LIMITS).upright[0] == 8


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("GIF", ("animated, first of 3 frames taken",)),
        ("WEBP", ("animated, first of 3 frames taken",)),
        ("PNG", ("animated, first of 3 frames taken",)),
        ("AVIF", ("animated, first of 3 frames taken",)),
        ("TIFF", ("first of 3 pages taken",)),
        ("MPO", ("first of 3 pictures taken",)),
    ],
)
def test_more_than_one_frame_is_noted(kind, note):
    first, *others = (frame.copy() for frame in FRAMES)  # Pillow leaves an encoder's settings on what it has saved
    probe = look(encoded(first, kind, save_all=True, append_images=others), LIMITS)
    assert (probe.format, probe.frames, probe.notes) == ("JPEG" if kind == "MPO" else kind, 3, note)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of its own about damaged EXIF
def test_damaged_exif_is_no_orientation():
    data = encoded(noise(6, 8), "WEBP", exif=b"Exif\x00\x00MM\x00\x2b" + b"\xff" * 30)
    assert look(data, LIMITS).upright[0] == 8


MEASURE = """
import gc, sys
from pathlib import Path
import numpy as np
from batch_removebg.finish import finish
from batch_removebg.finish.options import Finish
from batch_removebg.imaging.format import Limits
from batch_removebg.model import Matte

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

alpha = Matte(np.full((30, 40), 128, np.uint8))
small, large = (Path(name).read_bytes() for name in sys.argv[2:])
finish.finish(small, alpha, [Finish(sys.argv[1])], Limits())
before = peak()
finish.finish(large, alpha, [Finish(sys.argv[1])], Limits())
print(peak() - before)
"""


SLOW_TO_MEASURE = [("tiff", "TIFF"), ("avif", "TIFF"), ("png", "WEBP"), ("png", "JPEG2000")]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("png", "TIFF"),
        ("webp", "TIFF"),
        ("png", "deep"),
        *(pytest.param(*pair, marks=pytest.mark.crash) for pair in SLOW_TO_MEASURE),
    ],
)
def test_the_estimated_cost_covers_the_measured_peak(tmp_path, kind, source):
    pixels = np.concatenate([noise(1500, 2000), np.full((1500, 2000, 1), 200, np.uint8)], axis=2)
    if source == "deep":
        large, small = (write_png(array * np.uint16(257), effort=0) for array in (pixels, pixels[:8, :8]))
    else:
        lossy = {"quality_mode": "rates", "quality_layers": [20]} if source == "JPEG2000" else {}
        large, small = (encoded(array, source, **lossy) for array in (pixels, pixels[:8, :8]))
    (tmp_path / "large").write_bytes(large)
    (tmp_path / "small").write_bytes(small)
    command = [sys.executable, "-c", MEASURE, kind, str(tmp_path / "small"), str(tmp_path / "large")]
    measured = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    estimate = measure(large, LIMITS, (kind,)).cost
    print(kind, source, measured / 3e6)  # shown with -s, for the record
    assert estimate / 3 < measured < estimate
