"""The formats that are read, known by their first bytes."""

from __future__ import annotations

import logging

import pytest

from batch_removebg.imaging.format import STARTS, identify
from batch_removebg.imaging.vips import vips
from tests.support.pictures import encoded, noise


@pytest.mark.parametrize("kind", [name for name in STARTS if name not in ("PSD", "HEIF", "RAW")])
def test_a_format_is_known_by_its_first_bytes(kind: str) -> None:
    assert identify(encoded(noise(6, 8), kind)[:64]) == kind


@pytest.mark.parametrize("major", [b"heic", b"mif1"])
def test_heic_is_known_by_any_of_its_brands(major: bytes) -> None:
    assert identify(b"\0\0\0\x18ftyp" + major + bytes(4) + b"mif1heic") == "HEIF"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"%PDF-1.7", b"\0\0\0\x18ftypisom" + bytes(12)])
def test_anything_else_is_none(data: bytes) -> None:
    assert identify(data) is None


def test_logging_at_debug_can_not_lock_readers_out() -> None:
    """pyvips logs pictures while a handler's lock is held; two threads and two handlers wait for each other then."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        vips()
        loud = [name for name in logging.root.manager.loggerDict if name.startswith("pyvips")]
        assert loud
        assert [name for name in loud if logging.getLogger(name).isEnabledFor(logging.DEBUG)] == []
    finally:
        root.setLevel(level)
