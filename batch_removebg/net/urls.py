"""URLs as they identify pictures and are shown: without what only lets somebody in for a while. Pure.

What is left out says nothing of the picture, changes from night to night, and is a secret. A parameter of a plain name,
such as `token`, is left out only where its company or its value shows that it is a signature: two pictures that are
told apart by it must not become one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote_plus, urlsplit

_ALWAYS = re.compile(
    r"x-(amz|goog)-.+|x-(oss|tos|cos)-(signature|credential|date|expires|signature-version|signedheaders"
    r"|algorithm|additional-headers|security-token)|q-(sign-algorithm|ak|sign-time|key-time|header-list|url-param-list"
    r"|signature)|hdn(ts|ea|tl)|__(token|gda)__|bcdn_token|(access|auth|security)[_-]token|api[_-]?key|authorization"
)
"""Of AWS, Google, Alibaba, Volcengine and Tencent; of Akamai and Bunny; keys, whosever they are."""
_WITH: tuple[tuple[str, str], ...] = (
    (r"sig", r"s([etripvs]|ig|rt|pr|ip|k(oid|tid|[tesv])|dd|[au]oid|cid|es)"),  # Azure
    (r"key-pair-id", r"key-pair-id|policy|signature|expires|hash-algorithm"),  # CloudFront
    (r"(aws|google|oss|)access(key)?id", r"(aws|google|oss|)access(key)?id|signature|expires"),
    (r"hm", r"hm|ex|is"),  # Discord
    (r"oe", r"oe|oh|_nc_\w+"),  # Facebook, Instagram
)
"""What is left out where a parameter of the first kind is there."""
_UNTIL = re.compile(r"(x-)?exp(ires?|iry|iration)?|e|se|verify_expires|ttl", re.IGNORECASE)
_MOMENT = re.compile(r"\d{9,13}|20\d\d-?\d\d-?\d\d([T%: ].*)?")
_PROOF = re.compile(r"(x-|url)?(signature|sig|sign|hmac|hash|md5|token|token_path|secure|st|s|t|policy|key|keyname)")
"""Left out where a moment of expiry stands beside it, together with that."""
_SIGNED = re.compile(
    r"exp=\d+.*hmac=.*|st=\d+.*hmac=.*|eyJ[\w-]+\.[\w-]+\.[\w-]*|\d{10}-\w+-\w+-[0-9a-f]{32}", re.DOTALL
)
"""A value that is a signature, whatever its name: Akamai's tokens, JSON web tokens, Alibaba's `auth_key`."""
_AND = re.compile(r"(&(?:amp;)?|\\u0026)")
_WORD = re.compile(r"""(?:(?![,;|]https?://)[^\s"'<>])+""")  # as much of a text as may be a URL
_INNOCENT = re.compile(r"[^?#@]*(\?((v|ver|version|w|h|width|height|size|quality|id)=[\w.-]{0,40}(&|\Z))+)?", re.ASCII)
"""Most URLs, which are recognised by one match."""
_USER = re.compile(r"(\w+://)[^/?#]*@")


def host_of(url: str) -> str:
    """Host and port of a URL, without user and password; empty for what has no host, or is no URL."""
    try:
        # A copy: urlsplit remembers its last arguments, and with them the file of a picture inside an answer.
        return urlsplit(url[:4096]).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def clean(url: str, ignored: Collection[str] = ()) -> str:
    """A URL without password, signature and the `ignored` parameters (in lower case); other texts stay as they are."""
    if ("?" not in url and "@" not in url) or "://" not in url or (not ignored and _INNOCENT.fullmatch(url)):
        return url
    return _clean(url, ignored)


def scrubbed(text: str) -> str:
    """A text with every URL in it cleaned: a message, or a cell of a manifest."""
    if "?" not in text and "@" not in text:
        return text
    return _WORD.sub(lambda found: _clean(found[0], ()), text)


def _clean(url: str, ignored: Collection[str]) -> str:
    url = _USER.sub(r"\1", url, count=1) if "@" in url else url
    base, mark, rest = url.partition("?")
    query, hash_mark, fragment = rest.partition("#")
    if not query or "#" in base:
        return url
    first, *others = _AND.split(query)
    parts = [("", first), *zip(others[::2], others[1::2], strict=True)]
    pairs = [_pair(part) for _, part in parts]
    drop = _signing(pairs)
    kept = [joint for joint, (name, _) in zip(parts, pairs, strict=True) if name not in drop and name not in ignored]
    if len(kept) == len(parts):
        return url
    left = "".join(part if not nth else mark + part for nth, (mark, part) in enumerate(kept))
    return base + (mark + left if left else "") + hash_mark + fragment


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return unquote_plus(name).lower(), unquote_plus(value)


def _signing(pairs: list[tuple[str, str]]) -> set[str]:
    """The names of the parameters that sign the rest."""
    names = {name for name, _ in pairs}
    drop = {name for name, value in pairs if _ALWAYS.fullmatch(name) or _SIGNED.fullmatch(value)}
    for needed, taken in _WITH:
        if any(re.fullmatch(needed, name) for name in names):
            drop |= {name for name in names if re.fullmatch(taken, name)}
    until = {name for name, value in pairs if _UNTIL.fullmatch(name) and _MOMENT.fullmatch(value)}
    proof = {name for name in names if _PROOF.fullmatch(name)}
    return drop | (until | proof if until and proof else set())
