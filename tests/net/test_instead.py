"""What came instead of a picture is named as what it is."""

from __future__ import annotations

import pytest

from batch_removebg.imaging.format import identify
from batch_removebg.net import instead


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<!DOCTYPE html><title>Red  shoes &amp; more</title>", "a web page (Red shoes & more): give the link to the"),
        (b"\xef\xbb\xbf\n<!-- x --><HTML lang=en>", "a web page: give the link to the picture itself"),
        (b"<html><title>Sign in - Shop</title>", "a web page to log in (Sign in - Shop): give a link that "),
        (b"<html><a>Log in</a>", "a web page: "),
        (b'<?xml version="1.0"?><!-- x --><svg xmlns="x">', "an SVG drawing: save it as PNG"),
        (b"<Error><Code>AccessDenied</Code><Message>No</Message>", "an XML answer (AccessDenied: No): "),
        (b'{"error": "no such picture", "trace": 1}', "a JSON answer (no such picture): "),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer: run `git lfs pull`"),
        (b"PK\x03\x04", "a ZIP archive, or an Office document: unpack it first"),
        (b"%PDF-1.7", "a PDF: "),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video: "),
        (b"\x1aE\xdf\xa3", "a video: "),
    ],
)  # fmt: skip
def test_it_is_named_with_what_it_says_and_what_to_do(data: bytes, said: str) -> None:
    assert (instead.named(data) or "").startswith(f"is not a picture but {said}")
    assert identify(data) is None


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"no pictures", b"{broken"])
def test_what_is_not_known_is_not_named(data: bytes) -> None:
    assert instead.named(data) is None


@pytest.mark.timeout(5)
@pytest.mark.parametrize("data", [b"<!-- --> " * 99_999, b"<!--" * 99_999, b"<html>" + b"<title>" * 99_999])
def test_a_hostile_page_takes_no_time(data: bytes) -> None:
    instead.named(data)


@pytest.mark.parametrize(
    ("url", "service", "link"),
    [
        ("https://drive.google.com/file/d/1aB-c_D/view?usp=sharing", "Google Drive",
         "https://drive.google.com/uc?export=download&id=1aB-c_D"),
        ("https://drive.google.com/open?id=1aB", "Google Drive", "https://drive.google.com/uc?export=download&id=1aB"),
        ("https://drive.google.com/drive/folders/1aB", "Google Drive", None),
        ("https://www.dropbox.com/scl/fi/x/a.jpg?rlkey=k&dl=0", "Dropbox",
         "https://www.dropbox.com/scl/fi/x/a.jpg?rlkey=k&dl=1"),
        ("https://www.dropbox.com/s/x/a.jpg", "Dropbox", "https://www.dropbox.com/s/x/a.jpg?dl=1"),
        ("https://1drv.ms/i/s!A", "OneDrive", None),
        ("https://we.tl/t-x", "WeTransfer", None),
        ("https://notdropbox.com/s/x/a.jpg", None, None),
    ],
)  # fmt: skip
def test_a_share_link_is_known_with_the_link_to_its_file(url: str, service: str | None, link: str | None) -> None:
    assert instead.share(url) == (service, link)
