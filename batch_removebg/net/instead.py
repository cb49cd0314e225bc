"""What came instead of a picture, told by its first bytes: the one table of it, for files, sources and outputs."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

_HEAD = 1 << 14  # bytes that are looked at
_BEFORE = rb"(?>(?:<\?xml[^>]*>|<!--.*?-->|<!doctype\s+svg[^>]*>|\s+)*)"
_PAGE = _BEFORE + rb"<(!doctype\s+html|html|head|body|title|script|meta)\b"
_VIDEO = rb"....ftyp(iso|mp4|avc1|M4V|qt|3g|dash)|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]|FLV\x01|OggS"
_SIGNS = (
    (_PAGE, "a web page", "give the link to the picture itself"),
    (_BEFORE + rb"<([\w-]+:)?svg\b", "an SVG drawing", "save it as PNG"),
    (rb"\s*(<\?xml|<\w+>)", "an XML answer", "see what the host says"),
    (rb"\s*[{\[]\s*[\"{}\[\]]", "a JSON answer", "see what the host says"),
    (rb"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull` for the file itself"),
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP archive, or an Office document", "unpack it first"),
    (rb"Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar", "an archive", "unpack it first"),
    (rb"%PDF", "a PDF", "save its page as PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript", "save it as PNG"),
    (_VIDEO, "a video", "save a frame of it as PNG"),
)
_TITLE = re.compile(rb"<title[^>]*>(.{0,300}?)</title", re.IGNORECASE | re.DOTALL)
_SAID = re.compile(
    rb'<(?:Code|Message)>([^<]{1,200})<|"(?:code|error|message|detail)"\s*:\s*"([^"]{1,200})"', re.IGNORECASE
)
_LOG_IN = re.compile(rb"""type=["']?password|<title[^>]*>[^<]*\b(sign|log)[ -]?in\b""", re.IGNORECASE)
_SHARES = {
    "drive.google.com": "Google Drive", "docs.google.com": "Google Drive", "dropbox.com": "Dropbox",
    "1drv.ms": "OneDrive", "onedrive.live.com": "OneDrive", "sharepoint.com": "OneDrive",
    "we.tl": "WeTransfer", "wetransfer.com": "WeTransfer",
}  # fmt: skip
_DRIVE = re.compile(r"/file/(?:u/\d+/)?d/([\w-]+)")


def named(data: bytes) -> str | None:
    """What it is and what to do, such as `is not a picture but a PDF: …`; None for what isn't known, or may be one."""
    head = data[:_HEAD].removeprefix(b"\xef\xbb\xbf")
    for sign, what, remedy in _SIGNS:
        if re.match(sign, head, re.IGNORECASE | re.DOTALL):
            if sign is _PAGE and _LOG_IN.search(head):
                what, remedy = "a web page to log in", "give a link that needs no log-in"
            return f"is not a picture but {what}{says(head)}: {remedy}"
    return None


def says(data: bytes) -> str:
    """What a page says of itself, or an error in XML or JSON, as ` (TITLE)`; empty where that is nothing."""
    head = data[:_HEAD]
    title = _TITLE.search(head)
    found = [title[1]] if title else [one or other for one, other in _SAID.findall(head)[:2]]
    text = " ".join(html.unescape(b": ".join(found).decode("utf-8", "replace")).split())
    return f" ({text[:120]})" if text and text.isprintable() else ""


def share(url: str) -> tuple[str | None, str | None]:
    """The service whose share link it is, and the link to the file itself, where there is a rule for it.

    Raises ValueError where it is no URL.
    """
    parts = urlsplit(url)
    host, query, link = parts.hostname or "", dict(parse_qsl(parts.query)), None
    service = next((name for of, name in _SHARES.items() if host == of or host.endswith(f".{of}")), None)
    if service == "Dropbox" and query.get("dl") != "1":
        link = parts._replace(query=urlencode({**query, "dl": "1"})).geturl()
    elif service == "Google Drive" and "export" not in query:
        found = _DRIVE.search(parts.path)
        if name := found[1] if found else query.get("id"):
            link = f"https://drive.google.com/uc?export=download&{urlencode({'id': name})}"
    return service, link
