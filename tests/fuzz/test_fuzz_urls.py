"""URLs of any spelling: read, compared or refused; what is the same stays the same however it is written."""

from __future__ import annotations

import base64
import random
from contextlib import suppress
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import OutputBroken
from batch_removebg.net import fetch, ssrf
from batch_removebg.providers import wire
from tests.fuzz.mutate import PATIENCE, fuzz, text_of
from tests.support.long_report import LONG

pytestmark = [pytest.mark.crash, pytest.mark.timeout(PATIENCE)]

PIECES = [
    "http://",
    "HTTPS://",
    "//",
    "/",
    "h.example",
    "H.EXAMPLE",
    "127.0.0.1",
    "[::1]",
    "[",
    "]",
    ":",
    "@",
    "user:pw@",
]
PIECES += [
    ":80",
    ":443",
    ":99999",
    ":\u0663",
    "?",
    "#",
    "&a=b",
    "+",
    "%20",
    " ",
    "%",
    "%2",
    "%zz",
    "%2F",
    "%252F",
    "..",
    "\\",
]
PIECES += [
    "\u2460\u2461",
    "\uff0e",
    "\u3002",
    "xn--",
    "xn--a",
    "ß.example",
    "é",
    "e\u0301",
    "\u202e",
    "\ud800",
    "\0",
    "\n",
    "\t",
]
PIECES += [
    "data:",
    "data:image/png;base64,",
    ";base64",
    ",",
    "iVBORw0KGgo",
    "=",
    "==",
    "-_",
    "x" * 300,
    "1.png",
    ".txt",
    "0x7f.1",
]
PIECES += [
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "fe80::1%eth0",
    "2130706433",
    "%5B::1%5D",
    "ftp://",
    "file:///",
    "javascript:",
]
BASES = ["", "https://api.example/v1", "http://[::1]:8080"]

Case = tuple[str, str, str]


def cases(rng: random.Random) -> Case:
    one = text_of(rng, PIECES)
    return one, text_of(rng, PIECES) if rng.random() < 0.7 else one + rng.choice(PIECES), rng.choice(BASES)


def holds(case: Case) -> None:
    one, other, base = case
    assert wire.same_url(one, one)
    assert wire.same_url(one, other) == wire.same_url(other, one)
    for found in (wire.outputs(one, base), wire.outputs([{"url": one}, other], base)):
        assert len(found) == len(set(found)) <= 4
        assert all(url.lower().startswith(("http:", "https:", "data:")) for url in found)
    for text in (one, f"data:{one}", f"data:image/png;base64,{one}"):
        with suppress(OutputBroken):
            assert isinstance(fetch.data_uri(text.encode("utf-8", "replace").decode()), bytes)
    with suppress(ValueError):
        fetch.origin(one).encode()
    fetch.redacted(one).encode("utf-8", "surrogatepass")
    assert ssrf.is_public(one) in (True, False)


@settings(max_examples=2_000 if LONG else 300, deadline=None, suppress_health_check=list(HealthCheck))
@given(*[st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=6).map("".join)] * 2, st.sampled_from(BASES))
@example("https://[x", "//[", "https://api.example/v1")
def test_any_urls_are_compared_or_refused(one: str, other: str, base: str) -> None:
    holds((one, other, base))


def test_urls_after_accidents_are_compared_or_refused() -> None:
    fuzz("URLs", 17, cases, holds, short=3000, share=0.1)


WORDS = [
    "a",
    "B",
    "1",
    "ü",
    "鞋",
    "x y",
    "a+b",
    "50%",
    "a,b",
    "(1)",
    "~",
    "-",
    "a=b",
    "a&b",
    "a;b",
    "@",
    "!",
    "'",
    "%41",
    "*",
]

Spelling = tuple[list[str], list[str], random.Random]


def spellings(rng: random.Random) -> Spelling:
    parts = [rng.choice(WORDS) + rng.choice(WORDS) for _ in range(rng.randint(1, 4))]
    return parts, [rng.choice(WORDS) for _ in range(rng.randrange(3))], random.Random(rng.random())


def respelled(rng: random.Random, word: str) -> str:
    """The word percent-encoded in one of the ways that programs have."""
    encoded = quote(word, safe=rng.choice(("", "!~*'()", ",;@&=+!")))
    return (
        encoded
        if rng.random() < 0.7
        else "".join(
            part if not part.startswith("%") or rng.random() < 0.5 else part.lower() for part in _split(encoded)
        )
    )


def _split(encoded: str) -> list[str]:
    parts, at = list[str](), 0
    while at < len(encoded):
        upto = at + 3 if encoded[at] == "%" else at + 1
        parts.append(encoded[at:upto])
        at = upto
    return parts


def one_url(rng: random.Random, parts: list[str], values: list[str]) -> str:
    host = rng.choice(("https://h.example", "HTTPS://H.Example", "https://h.example:443"))
    query = "&".join(f"k={quote(value, safe='')}" for value in values)
    return f"{host}/{'/'.join(respelled(rng, part) for part in parts)}{'?' if query else ''}{query}"


def spelled_alike(case: Spelling) -> None:
    parts, values, rng = case
    one, other = one_url(rng, parts, values), one_url(rng, parts, values)
    assert wire.same_url(one, other), f"{one} {other}"
    changed = [*parts[:-1], parts[-1] + "2"]
    assert not wire.same_url(one, one_url(rng, changed, values)), one
    assert not wire.same_url(one, one_url(rng, parts, [*values, "more"])), one
    data = "/".join(parts).encode() * rng.randint(1, 9)
    packed = base64.b64encode(data) if rng.random() < 0.5 else base64.urlsafe_b64encode(data)
    text = packed.decode().rstrip("=" * (rng.random() < 0.5) or None)
    if rng.random() < 0.3:
        text = quote(text, safe="")
    folded = "".join(char + ("\n " if rng.random() < 0.05 else "") for char in text) if "%" not in text else text
    assert fetch.data_uri(f"data:image/png;base64,{folded}") == data
    assert fetch.data_uri(f"data:,{quote(data)}") == unquote(quote(data)).encode()


def test_urls_and_data_uris_in_other_spellings_are_the_same() -> None:
    fuzz("spellings of URLs", 18, spellings, spelled_alike, short=2000, share=0.054)
