"""What servers were seen to answer in the place of what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from tests.support.doubles import cutout, encoded
from tests.support.fake_api import (
    Shape,
    output_in_dict,
    output_in_list,
    output_while_processing,
    wrapped,
)
from tests.support.wire import (  # fmt: skip
    bottomless,
    cut_short,
    empty,
    hang_up,
    not_gzip,
    page,
    picture,
    plain,
    redirect,
    reset,
    says,
    wrong_length,
)

THROTTLED = "Request was throttled. Your rate limit resets in ~7s."
PATIENCE = {
    "body": (says(429, {"detail": "slow down", "retry_after": 7}), (7, 8.1)),
    "header-seconds": (says(429, {}, Retry_After="7"), (7, 8.1)),
    # FakeClock starts at 08:00:00 on that day.
    "header-date": (says(429, {}, Retry_After="Fri, 15 Jan 2027 08:00:30 GMT"), (20, 31.1)),
    "text": (says(429, {"detail": THROTTLED}), (7, 8.1)),
    "nothing": (empty(429), (4, 6)),
    "absurd-body": (says(429, {"retry_after": 1e9}), (120, 121.1)),
    "absurd-header": (says(429, {}, Retry_After="99999999999"), (120, 121.1)),
    "absurd-date": (says(429, {}, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"), (120, 121.1)),
    "past-date": (says(429, {}, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"), (0, 6)),
    "negative": (says(429, {"retry_after": -5}), (0, 6)),
}  # fmt: skip
STATUSES = (408, 500, 502, 503, 504, 520, 521, 522, 524)
MAYBE_ACCEPTED = (500, 502, 504, 520, 524)
BROKEN = {
    "reset": reset,
    "hang-up": hang_up,
    "cut-short": cut_short(),
    "not-gzip": not_gzip(),
}
GARBLED = {
    "wrong-length": wrong_length(),
    "empty-200": empty(200),
    "invalid-json": plain('{"id": "p1", "status":'),
    "other-shape": says(200, {"hello": "world"}),
    "a-list": says(200, [1, 2, 3]),
    "a-number": says(200, 7),
    "null": plain("null"),
    "bottomless": bottomless,
}
TRANSIENT = {
    "PA": "Prediction interrupted; please retry (code: PA)",
    "E9828": "Director: unexpected error handling prediction (E9828)",
    "E6716": "Director: unexpected error handling prediction (E6716)",
    "E9243": "E9243",
    "E8765": "the run broke (E8765)",
    "unavailable": "Service is temporarily unavailable, please try again later",
}  # fmt: skip
PERMANENT = {
    "not-an-image": "cannot identify image file <_io.BytesIO object at 0x7f>",
    "out-of-memory": "CUDA out of memory (E1001)",
}
SHAPES: dict[str, Shape] = {
    "list": output_in_list,
    "dict": output_in_dict,
    "while-processing": output_while_processing,
    "wrapped": wrapped,
}
URLS: dict[str, Callable[[str], Any]] = {
    "relative": lambda url: urlsplit(url).path,
    "without-scheme": lambda url: url.partition(":")[2],
    "with-blanks": lambda url: f" {url}\n",
    "log-first": lambda url: {"preview": f"{url.rpartition('/')[0]}/log.txt", "image": url},
    "useless-one-first": lambda url: [f"{url.rpartition('/')[0]}/no.png", url],
}
"""Ways to write the URL of an output."""
INLINE: dict[str, Callable[[str], str]] = {
    "folded": lambda uri: "\n".join(uri[at : at + 76] for at in range(0, len(uri), 76)),
    "unpadded": lambda uri: uri.rstrip("="),
    "url-safe": lambda uri: uri.partition(",")[0] + "," + uri.partition(",")[2].replace("+", "-").replace("/", "_"),
    "bare": lambda uri: uri.partition(",")[2],
}
"""Ways to write an output that is in the answer itself."""
SHAPED: dict[str, Callable[[Any], Any]] = {
    "output-in-files": lambda made: made | {"output": None, "files": [made["output"]] if made["output"] else []},
    "without-id": lambda made: {name: value for name, value in made.items() if name != "id"},
    "task-id": lambda made: {
        **{name: made[name] for name in made if name not in ("id", "urls")},
        "task_id": made["id"],
    },
    "wrapped-with-status": lambda made: {"status": "success", "id": "req-1", "data": made},
    "wrapped-as-result": lambda made: {"code": 0, "result": made},
    "wrapped-in-a-list": lambda made: [made],
}
ENVELOPES = {
    "key": {"code": 401, "msg": "invalid api key", "data": None},
    "credit": {"code": 1102, "msg": "insufficient quota, please recharge", "data": None},
}
OUTPUTS = {
    "of-wrong-shape": picture(cutout(30, 40)),
    "without-alpha": picture(encoded(Image.new("RGB", (40, 30)), "PNG")),
    "not-a-picture": plain("busy", "text/plain"),
    "html": page(200),
    "empty": empty(200),
    "cut-off": picture(cutout()[:-20]),
    "forbidden": page(403),
}
NO_URLS = {
    "open-bracket": "https://[x",
    "words-after-an-address": "http://[::1]x@",
    "relative-open-bracket": "//[x",
    "half-a-surrogate": "https://\ud800.example/x.png",
    "data-of-half-a-surrogate": "data:image/png,\ud800",
}
STOPS = {
    "401": (says(401, {"title": "Unauthenticated"}), "key"),
    "402": (says(402, {"detail": "Insufficient credit"}), "credit"),
    "403": (says(403, {"detail": "Forbidden"}), "key"),
    "403-quota": (says(403, {"error": {"message": "no", "code": "insufficient_user_quota"}}), "credit"),
    "422-version": (says(422, {"detail": "Invalid version or not permitted"}), "version"),
    "404": (says(404, {"detail": "not found"}), "base-url"),
    "html-200": (page(200), "base-url"),
    "html-404": (page(404), "base-url"),
    "redirect": (redirect("/elsewhere", 301), "base-url"),
}
REJECTED = {
    "422-input": says(422, {"detail": "Input validation failed", "invalid_fields": []}),
    "400": says(400, {"detail": "bad request"}),
    "413-html": page(413),
    "500-invalid-request": says(500, {"error": {"message": "no", "code": "invalid_request"}}),
}
