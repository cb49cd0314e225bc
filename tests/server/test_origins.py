"""Without a key, only programs of this machine are answered: Host, Origin and Sec-Fetch-Site tell them from pages."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from batch_removebg.server import app
from batch_removebg.server.protocol import Refusal


def status(*headers: tuple[str, str], keyless: bool = True) -> int:
    """Of the refusal; 200 if there is none."""
    try:
        app.check_origin(CIMultiDictProxy(CIMultiDict(headers)), keyless=keyless)
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:5055", "127.0.0.1", "127.0.0.1:1", "127.255.0.7:65535", "[::1]", "[::1]:80", "localhost:"],
)
def test_names_of_this_machine_are_answered_at_any_port(host: str) -> None:
    assert status(("Host", host)) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5055",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "localhost.",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "192.168.1.2",
        "[::]",
        "[::ffff:192.168.1.2]",
        "[::1%evil]",
        "notlocalhost",
        "1",
    ],
)
def test_any_other_host_is_a_strangers_unless_a_key_is_asked(host: str) -> None:
    assert status(("Host", host)) in (400, 403)
    if "%" not in host:
        assert status(("Host", host), keyless=False) == 200


MALFORMED = (
    "",
    "a b",
    "user@localhost",
    "localhost:x",
    "localhost/",
    "localhost#",
    "[::1",
    "::1",
    "localhost,evil.example",
)
TWICE = (["localhost", "localhost"], ["localhost", "evil.example"])


@pytest.mark.parametrize("hosts", [[], *TWICE, *([host] for host in (*MALFORMED, "１２７.0.0.1", "localhost\x00"))])
@pytest.mark.parametrize("keyless", [True, False])
def test_a_request_without_one_valid_host_is_malformed(hosts: list[str], keyless: bool) -> None:
    assert status(*(("Host", host) for host in hosts), keyless=keyless) == 400


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Origin", "http://localhost:3000", 200),
        ("Origin", "https://127.0.0.1", 200),
        ("Origin", "http://[::1]:8080", 200),
        ("Origin", "https://evil.example", 403),
        ("Origin", "http://evil.example:5055", 403),
        ("Origin", "http://localhost.evil.example", 403),
        ("Origin", "http://localhost@evil.example", 403),
        ("Origin", "http://https://localhost", 403),
        ("Origin", "null", 403),
        ("Origin", "", 403),
        ("Origin", "file://", 403),
        ("Origin", "chrome-extension://localhost", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "Cross-Site", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "same-site", 200),
        ("Sec-Fetch-Site", "none", 200),
    ],
)
def test_pages_of_other_sites_are_refused_unless_a_key_is_asked(name: str, value: str, expected: int) -> None:
    assert status(("Host", "localhost"), (name, value)) == expected
    assert status(("Host", "localhost"), (name, value), keyless=False) == 200


def test_one_foreign_origin_among_several_is_enough() -> None:
    host, here = ("Host", "localhost"), ("Origin", "http://localhost")
    assert status(host, here, ("Origin", "http://evil.example")) == 403
    assert status(host, ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")) == 403
