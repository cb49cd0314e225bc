"""Requests that break HTTP, JSON, multipart or the API: each is refused as a problem document, none is a bug."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import anyio
import pytest

from batch_removebg.server import protocol
from tests.support.local_doubles import MODEL, Api, api_server, data_uri, picture

pytestmark = pytest.mark.anyio
HOST = b"Host: localhost\r\n"
JSON = HOST + b"Content-Type: application/json\r\n"
FORM = HOST + b"Content-Type: multipart/form-data; boundary=b\r\n"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server() as running:
        yield running


def get(target: bytes, headers: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + headers + b"\r\n"


def post(path: bytes, headers: bytes, body: bytes) -> bytes:
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"POST /v1/" + path + b" HTTP/1.1\r\n" + headers + length + body


def create(body: object) -> bytes:
    return post(b"predictions", JSON, body if isinstance(body, bytes) else json.dumps(body).encode())


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return post(b"files", FORM, b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end)


def part(name: bytes, body: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + body


async def exchange(api: Api, sent: bytes) -> tuple[int, dict[str, object]]:
    """The status and the body of the answer to raw bytes."""
    port = int(api.base.split(":")[2].partition("/")[0])
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(sent)
        head, answer = b"", b""
        with anyio.fail_after(20):
            while b"\r\n\r\n" not in head:
                head += await stream.receive()
            head, _, answer = head.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            while len(answer) < int(fields[b"content-length"]):
                answer += await stream.receive()
    assert fields[b"content-type"].startswith(b"application/json")
    return int(head.split()[1]), json.loads(answer)


NESTED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
VERSION = {"version": MODEL.sha256}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        # HTTP
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (get(b"/v1/files", HOST + b"no colon\r\n"), 400),
        (get(b"/v1/files", HOST + b"X: a\x00b\r\n"), 400),
        (get(b"/v1/files", HOST + b" folded: x\r\n"), 400),
        (get(b"/v1/files", HOST + b"Content-Length: -1\r\n"), 400),
        (get(b"/v1/files", HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
        (get(b"/v1/files", HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n", 400),
        (get(b"/v1/files", HOST + b"X: " + b"x" * 10_000 + b"\r\n"), 400),
        (get(b"/v1/files", HOST + b"X: x\r\n" * 1000), 400),
        (get(b"/v1/" + b"x" * 10_000), 400),
        (get(b"/v1/fi les"), 400),
        (get(b"/v1/files", b""), 400),
        (get(b"/v1/files", HOST * 2), 400),
        (get(b"/v1/files", b"Host: [::1\r\n"), 400),
        (get(b"/v1/files", b"Host: local host\r\n"), 400),
        (get(b"/v1/files", b"Host: a@localhost\r\n"), 400),
        (get(b"/v1/files", b"Host: localhost:port\r\n"), 400),
        (b"POST /v1/predictions HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /v1/predictions HTTP/1.1\r\n" + JSON + b"Content-Length: 999999999999\r\n\r\n", 413),
        (post(b"predictions", JSON + b"Content-Encoding: gzip\r\n", b"{}"), 415),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        # URLs
        (get(b"/v1/predictions?cursor=%00"), 400),
        (get(b"/v1/predictions?cursor=o" + b"9" * 400), 400),
        (get(b"/v1/predictions?cursor=%ff%fe"), 400),
        (get(b"/v1/predictions?created_before=2026-01-01T00:00:00%2B99:99"), 422),
        (get(b"/v1/predictions?created_after=%00"), 422),
        (get(b"/v1/predictions/%zz"), 404),
        (get(b"/v1/predictions/%00"), 404),
        (get(b"/v1/files/%ff%00/download"), 404),
        (get(b"/v1/models/%2f%2f/%00"), 404),
        (get(b"/v1/outputs/%2e%2e%2f/output.png"), 404),
        # JSON
        (create(b"["), 400),
        (create(b"[" * 900), 400),
        (create(b'{"input":' * 900), 400),
        (create(b"[" * 1_000_000), 400),
        (create(b"[[]" + b",[]" * 100_000 + b"]"), 400),
        (create(b'{"version":' + b"9" * 5000 + b"}"), 400),
        (create(b"\x00"), 400),
        (create(b"\xff\xfe{}"), 400),
        (create(b'{"version": "\x00"}'), 400),
        (create(b""), 400),
        (create(b"NaN"), 422),
        (create([]), 422),
        (create(VERSION | {"input": {"image": None}}), 422),
        (create(VERSION | {"input": {"image": "\ud800"}}), 422),
        (create({"version": "\ud800\x00", "input": {"image": "data:,"}}), 422),
        (create(VERSION | {"input": {"image": "data:,"}, "\ud800": 1}), 422),
        (post(b"predictions", HOST + b"Content-Type: application/json; charset=punycode\r\n", b"{"), 400),
        (post(b"predictions", HOST + b"Content-Type: application/json; charset=none-such\r\n", b"{"), 400),
        (post(b"predictions", JSON + b"Cancel-After: 99999999999999999999h\r\n", b'{"version":"x","input":{}}'), 422),
        # forms
        (post(b"files", HOST + b"Content-Type: multipart/form-data\r\n", b"x"), 400),
        (post(b"files", HOST + b"Content-Type: multipart/form-data; boundary=" + b"b" * 80 + b"\r\n", b"x"), 400),
        (post(b"files", HOST + b'Content-Type: multipart/form-data; boundary=""\r\n', b"x"), 400),
        (post(b"files", FORM, b""), 400),
        (post(b"files", FORM, b"--c--"), 400),
        (form(NESTED * 3000), 400),
        (form(part(b"content", b"x"), end=b""), 400),
        (form(b"\xff: \x00\r\n\r\n"), 400),
        (form(b"X: " + b"x" * 100_000 + b"\r\n\r\n"), 400),
        (form(b"X: x\r\n" * 1000 + b"\r\n"), 400),
        (form(part(b"_charset_", b"x" * 40)), 400),
        (form(part(b"content", b"x"), part(b"metadata", b"[" * 1000)), 400),
        (form(part(b"content", b"x"), part(b"metadata", b"\xff")), 400),
        (form(part(b"content", b"x"), part(b"metadata", b" " * 3000)), 413),
        (form(part(b"content", b"x"), part(b"metadata", b"1")), 422),
        (form(b"\r\n"), 422),
        (form(), 422),
    ],
)
async def test_what_is_malformed_is_refused_as_a_problem_document_and_leaves_nothing(
    api: Api, sent: bytes, status: int
) -> None:
    answered, body = await exchange(api, sent)
    assert (answered, body["status"]) == (status, status), ascii(body)
    assert {"title", "detail", "status"} <= body.keys()
    assert (await api.ask("GET", "/predictions"))[1]["results"] == []
    assert (await api.ask("GET", "/files"))[1]["results"] == []


@pytest.mark.parametrize("image", ["http://\ud800", "http://[", "http://%00", "data:,\ud800", "data:;base64,\ud800"])
async def test_an_image_that_no_parser_reads_fails_its_own_prediction(api: Api, image: str) -> None:
    assert (await api.create(image))["status"] == "failed"


async def test_the_names_of_ignored_inputs_fill_no_memory(api: Api) -> None:
    sent = VERSION | {"input": {"image": data_uri(picture()), "x" * 100_000: 1}}
    _, made = await api.ask("POST", "/predictions", json=sent)
    assert len(made["logs"]) == 2000


def test_a_body_of_many_tiny_values_is_not_parsed() -> None:
    assert protocol.parse_json(b"[" + b"[]," * 499 + b"[]]") == [[]] * 500
    with pytest.raises(ValueError, match="more than 1000 values"):
        protocol.parse_json(b"[" + b"[]," * 500 + b"[]]")
