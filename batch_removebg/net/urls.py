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
    r"(x-(amz|goog)-.+|x-(oss|tos|cos)-(signature|credential|date|expires|signature-version|signedheaders"
    r"|algorithm|additional-headers|security-token)|q-(sign-algorithm|ak|sign-time|key-time|header-list|url-param-list"
    r"|signature)|hdn(ts|ea|tl)|__(token|gda)__|bcdn_token|tempauth|(access|auth|security)[_-]token|api[_-]?key"
    r"|access[_-]?key|client[_-]secret|authorization|jwt|password|passwd|(x-|url)?(signature|sig))=.*"
    r"|verify=\d{10}-.+|[^=]*=(exp=\d+.*hmac=.*|st=\d+.*hmac=.*|eyJ[\w-]+\.[\w-]+\.[\w-]*|\d{10}-\w+-\w+-[0-9a-f]{32})",
    re.DOTALL,
)
"""Of AWS, Google, Alibaba, Volcengine, Tencent, Akamai, Bunny, SharePoint and Cloudflare; keys, whosever they are."""
_WITH: tuple[tuple[str, str], ...] = (
    (r"sv=\d{4}-\d\d-\d\d", r"s([etripvs]|rt|pr|ip|k(oid|tid|[tesv])|dd|[au]oid|cid|es)"),  # Azure
    (r"key-pair-id=.*", r"key-pair-id|policy|expires|hash-algorithm"),  # CloudFront
    (r"(aws|google|oss|)access(key)?id=.*", r"(aws|google|oss|)access(key)?id|expires"),
    (r"hm=[0-9a-f]+", r"hm|ex|is"),  # Discord
    (r"oe=[0-9a-f]{8}", r"oe|oh|_nc_\w+"),  # Facebook, Instagram
    (r"alt=media", r"token"),  # Firebase
)
"""What is left out where a parameter of the first kind is there."""
_MOMENT = r"=(\d{9,13}|20\d\d-?\d\d-?\d\d([T%: ].*)?)"
_UNTIL = re.compile(r"((x-)?exp(ires?|iry|iration)?|e|se|verify_expires|valid_?(to|until)|ttl)" + _MOMENT)
_SINCE = re.compile(r"(ts|timestamp)" + _MOMENT)
_NAMED = re.compile(r"((x-|url)?(signature|sig|sign|hmac)|token)=.*", re.DOTALL)
_LIKELY = re.compile(
    r"key=[0-9a-f]{32,}|(h|hash|md5|secure|st?|t)=([\da-fA-F]{16,}|(?=.*[a-z])(?=.*[A-Z])[\w+/=~-]{20,})"
)
"""Proofs that are left out, with the moment, where one is there; likely ones where none is named so."""
_BESIDE = re.compile(
    r"(nonce|token_path)=.*|policy=eyJ.{20,}|(st?|t|ts|timestamp)=([12]\d{9}(\d{3})?|20\d\d-\d\d-\d\dT.*)", re.DOTALL
)
"""Left out beside both."""
_AND = re.compile(r"(&(?:amp;)?|\\u0026)")
_WORD = re.compile(r"""(?:(?![,;|]https?://)[^\s"'<>])+""")  # as much of a text as may be a URL
_INNOCENT = re.compile(r"[^?#@]*(\?((v|ver|version|w|h|width|height|size|quality|id)=[\w.-]{0,40}(&|\Z))+)?", re.ASCII)
"""Most URLs, which are recognised by one match."""
_KEY = re.compile(r"\W*(s3|gs|az)://", re.IGNORECASE)  # of an object: all of it, `?` and `#` too, tells it apart
_USER = re.compile(
    r"(\w+://|(?<![^\s\"'(<>=,;|\[])(?://|(?=www\.)))"
    r"((?<=(?i:s3|gs|az)://)[^/\s]*:\S*|[^/?#\s]*)@"  # no bucket has a colon, and secrets of AWS may have a slash
)


def host_of(url: str) -> str:
    """Host and port of a URL, without user and password; empty for what has no host, or is no URL."""
    try:
        # A copy: urlsplit remembers its last arguments, and with them the file of a picture inside an answer.
        return urlsplit(url[:4096]).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def clean(url: str, ignored: Collection[str] = ()) -> str:
    """A URL without password, signature and the `ignored` parameters (in lower case); other texts stay as they are."""
    if ("?" not in url and "@" not in url) or "/" not in url or (not ignored and _INNOCENT.fullmatch(url)):
        return url
    return _clean(url, ignored)


def scrubbed(text: str, ignored: Collection[str] = ()) -> str:
    """A text with every URL in it cleaned, those without a scheme too: a message, or a cell of a manifest."""
    if "?" not in text and "@" not in text:
        return text
    return _WORD.sub(lambda found: _clean(found[0], ignored), text)


def _clean(url: str, ignored: Collection[str]) -> str:
    url = _USER.sub(r"\1", url, count=1) if "@" in url else url
    base, mark, rest = url.partition("?")
    query, hash_mark, fragment = rest.partition("#")
    if not query or "#" in base or _KEY.match(url):
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
    names = {f"{name}={value}": name for name, value in pairs}

    def those(rule: re.Pattern[str]) -> set[str]:
        return {name for text, name in names.items() if rule.fullmatch(text)}

    drop = those(_ALWAYS)
    for needed, taken in _WITH:
        if any(re.fullmatch(needed, text) for text in names):
            drop |= {name for name in names.values() if re.fullmatch(taken, name)}
    proof = those(_NAMED) or those(_LIKELY)
    until = those(_UNTIL) or (those(_SINCE) if those(_NAMED) - {"token"} else set())
    return drop | (until | proof | those(_BESIDE) if until and proof else set())
