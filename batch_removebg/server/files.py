"""The endpoints under `/v1/files`."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any, BinaryIO

from aiohttp import BodyPartReader, web

from . import protocol
from .answers import STATE, base_url, body, found, readable
from .blob_store import Blob, write
from .protocol import Fault, Refusal

_CHUNK = 1 << 16
_MAX_METADATA = 1 << 11  # bytes; kept in memory for as long as the file

routes = web.RouteTableDef()


@routes.post("/v1/files")
async def create(request: web.Request) -> web.Response:
    """201 with the file in the multipart field `content`."""
    if not request.content_type.startswith("multipart/"):
        raise Refusal(415, "Unsupported media type", "send the file as multipart/form-data, in the field `content`")
    inputs = request.app[STATE].jobs.inputs
    async with inputs.incoming() as file:
        blob = await inputs.keep(file, **await _form(request, file))
    return web.json_response(protocol.file(blob, base_url(request)), status=201)


@routes.get("/v1/files", allow_head=False)
async def list_files(request: web.Request) -> web.Response:
    """All files, newest first, on one page."""
    results = [protocol.file(blob, base_url(request)) for blob in request.app[STATE].jobs.inputs.uploads()]
    return web.json_response({"previous": None, "next": None, "results": results})


@routes.get("/v1/files/{id}", allow_head=False)
async def get(request: web.Request) -> web.Response:
    """The file's record."""
    return web.json_response(protocol.file(_found(request), base_url(request)))


@routes.delete("/v1/files/{id}")
async def delete(request: web.Request) -> web.Response:
    """204; the file is removed."""
    request.app[STATE].jobs.inputs.drop(_found(request).id)
    return web.Response(status=204)


@routes.get("/v1/files/{id}/download")
async def download(request: web.Request) -> web.FileResponse:
    """The file's bytes, with headers that keep a browser from showing it as a page of this server."""
    blob = _found(request)
    headers = {"Content-Type": blob.upload["content_type"], "Content-Disposition": "attachment"}
    return web.FileResponse(blob.path, headers=headers | {"X-Content-Type-Options": "nosniff"})


def _found(request: web.Request) -> Blob:
    blob = request.app[STATE].jobs.inputs.get(request.match_info["id"])
    return found(blob if blob and blob.upload else None, "the file")


async def _form(request: web.Request, file: BinaryIO) -> dict[str, Any]:
    """What the Files API shows of an upload, whose bytes go to `file`."""
    kind, metadata, digest, upload = "application/octet-stream", b"{}", hashlib.sha256(), None
    with readable("the multipart body"):
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise ValueError("it has parts within parts")
            read = partial(part.read_chunk, _CHUNK)
            if part.name == "content" and upload is None:
                upload = {"name": part.filename or "file", "content_type": part.headers.get("Content-Type", kind)}
                async for chunk in body(request, read, request.app[STATE].max_file):
                    digest.update(chunk)
                    await write(file, chunk)
            elif part.name == "metadata":
                metadata = b"".join([chunk async for chunk in body(request, read, _MAX_METADATA)]) or metadata
        fields = protocol.parse_json(metadata)
    if upload is None:
        raise protocol.invalid(Fault("required", "", "content is required"))
    if not isinstance(fields, dict):
        raise protocol.invalid(Fault("invalid_type", "metadata", "Invalid type. Expected: object"))
    sha256 = digest.hexdigest()
    return {**upload, "etag": sha256, "checksums": {"sha256": sha256}, "metadata": fields}
