"""The endpoints under `/v1/files`."""

from __future__ import annotations

import hashlib
import json

from aiohttp import BodyPartReader, web
from anyio import to_thread

from . import protocol
from .answers import STATE, base_url, not_found
from .blob_store import Blob
from .protocol import Fault, Refusal

_CHUNK = 1 << 16
_MAX_METADATA = 1 << 16  # bytes

routes = web.RouteTableDef()


@routes.post("/v1/files")
async def create(request: web.Request) -> web.Response:
    """201 with the file in the multipart field `content`."""
    if not request.content_type.startswith("multipart/"):
        raise Refusal(415, "Unsupported media type", "send the file as multipart/form-data, in the field `content`")
    state = request.app[STATE]
    data, name, kind, metadata = None, "file", "application/octet-stream", b"{}"
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "content":
                data = await _read_part(part, state.max_file)
                name, kind = part.filename or name, part.headers.get("Content-Type", kind)
            elif part.name == "metadata":
                metadata = await _read_part(part, _MAX_METADATA) or metadata
        fields = json.loads(metadata)
    except ValueError as error:
        raise Refusal(400, "Bad request", f"the multipart body can't be read: {error}") from error
    if data is None:
        raise protocol.invalid(Fault("required", "", "content is required"))
    if not isinstance(fields, dict):
        raise protocol.invalid(Fault("invalid_type", "metadata", "Invalid type. Expected: object"))
    digest = (await to_thread.run_sync(hashlib.sha256, data)).hexdigest()
    upload = {"name": name, "content_type": kind, "etag": digest, "checksums": {"sha256": digest}, "metadata": fields}
    blob = await state.jobs.inputs.put(data, **upload)
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
    if blob is None or not blob.upload:
        raise not_found("the file")
    return blob


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit)
    return bytes(data)
