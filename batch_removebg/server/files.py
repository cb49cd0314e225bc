"""The endpoints under `/v1/files`."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import BodyPartReader, web

from . import protocol, uploads
from .answers import base_url, disk_full, not_found
from .protocol import Refusal
from .uploads import UploadedFile, Uploads

_CHUNK = 1 << 16
_METADATA_AT_MOST = 1 << 16  # bytes


class FileHandlers:
    """`/v1/files`."""

    def __init__(self, files: Uploads, *, file_limit: int) -> None:
        """`file_limit`: bytes of the largest file taken."""
        self._files = files
        self._limit = file_limit

    def routes(self) -> list[web.RouteDef]:
        """What these handlers answer."""
        return [
            web.post("/v1/files", self.create),
            web.get("/v1/files", self.list, allow_head=False),
            web.get("/v1/files/{id}", self.get, allow_head=False),
            web.delete("/v1/files/{id}", self.delete),
            web.get("/v1/files/{id}/download", self.download),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """201 with the file out of the multipart field `content`."""
        if not request.content_type.startswith("multipart/"):
            raise Refusal(415, "Unsupported media type", "send the file as multipart/form-data, in the field `content`")
        data, name, kind, metadata = None, "file", "application/octet-stream", {}
        try:
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader):
                    continue
                if part.name == "content":
                    data = await _read_part(part, self._limit)
                    name, kind = part.filename or name, part.headers.get("Content-Type", kind)
                elif part.name == "metadata":
                    metadata = _parse_metadata(await _read_part(part, _METADATA_AT_MOST))
        except ValueError as error:
            raise Refusal(400, "Bad request", f"the multipart body can't be read: {error}") from error
        if data is None:
            raise protocol.invalid(protocol.Fault("required", "", "content is required"))
        try:
            file = await self._files.add(data, name=name, content_type=kind, metadata=metadata)
        except OSError as error:
            raise disk_full(error) from error
        return web.json_response(self._json(file, request), status=201)

    async def list(self, request: web.Request) -> web.Response:
        """All files, newest first, on one page."""
        results = [self._json(file, request) for file in self._files.list()]
        return web.json_response({"previous": None, "next": None, "results": results})

    async def get(self, request: web.Request) -> web.Response:
        """What is known of a file."""
        return web.json_response(self._json(self._found(request), request))

    async def download(self, request: web.Request) -> web.FileResponse:
        """The file itself, never to be shown by a browser as a page of this server."""
        file = self._found(request)
        headers = {"Content-Type": file.content_type, "Content-Disposition": "attachment"}
        path = self._files.path(file)
        if path is None:
            raise not_found("the file")
        return web.FileResponse(path, headers=headers | {"X-Content-Type-Options": "nosniff"})

    async def delete(self, request: web.Request) -> web.Response:
        """204; the file is gone."""
        if not self._files.drop(request.match_info["id"]):
            raise not_found("the file")
        return web.Response(status=204)

    def _found(self, request: web.Request) -> UploadedFile:
        file = self._files.get(request.match_info["id"])
        if file is None:
            raise not_found("the file")
        return file

    def _json(self, file: UploadedFile, request: web.Request) -> dict[str, Any]:
        return uploads.as_json(file, base_url(request), self._files.until(file))


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit)
    return bytes(data)


def _parse_metadata(data: bytes) -> dict[str, Any]:
    metadata = json.loads(data or b"{}")
    if not isinstance(metadata, dict):
        raise protocol.invalid(protocol.Fault("invalid_type", "metadata", "Invalid type. Expected: object"))
    return metadata
