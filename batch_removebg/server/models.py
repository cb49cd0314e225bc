"""The endpoints under `/v1/models`."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from batch_removebg.clock import Clock
from batch_removebg.engine.weights import Weights

from . import protocol
from .answers import base_url, not_found
from .jobs import Jobs


class ModelHandlers:
    """`/v1/models`: the one network, under its own name and under that of the model it stands in for."""

    def __init__(self, jobs: Jobs, model: Weights, served: dict[str, str], clock: Clock) -> None:
        self._jobs = jobs
        self._model = model
        self._versions = {name: version for version, name in served.items()}
        self._since = protocol.timestamp(clock.wall())

    def routes(self) -> list[web.RouteDef]:
        """What these handlers answer."""
        root = "/v1/models/{owner}/{name}"
        return [
            web.get(root, self.get, allow_head=False),
            web.get(f"{root}/versions", self.versions, allow_head=False),
            web.get(root + "/versions/{version}", self.version, allow_head=False),
        ]

    async def get(self, request: web.Request) -> web.Response:
        """The model and its one version."""
        name = self._found(request)
        owner, _, short = name.partition("/")
        model = {
            "url": f"{base_url(request)}/models/{name}",
            "owner": owner,
            "name": short,
            "description": f"{self._model.name} run by batch-removebg on this machine; takes `image`, gives a cutout",
            "visibility": "private",
            "github_url": None,
            "paper_url": None,
            "license_url": None,
            "run_count": self._jobs.count,
            "cover_image_url": None,
            "default_example": None,
            "latest_version": self._version(self._versions[name]),
        }
        return web.json_response(model)

    async def versions(self, request: web.Request) -> web.Response:
        """The model's one version, as a page."""
        version = self._version(self._versions[self._found(request)])
        return web.json_response({"previous": None, "next": None, "results": [version]})

    async def version(self, request: web.Request) -> web.Response:
        """The version and the schema of what it takes and gives."""
        version = self._versions[self._found(request)]
        if request.match_info["version"] != version:
            raise not_found("the version")
        return web.json_response(self._version(version))

    def _found(self, request: web.Request) -> str:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        if name not in self._versions:
            raise not_found("the model")
        return name

    def _version(self, version: str) -> dict[str, Any]:
        uri = {"type": "string", "format": "uri"}
        image = {**uri, "title": "Image", "description": "Picture whose background is removed.", "x-order": 0}
        given = {"type": "object", "title": "Input", "required": ["image"], "properties": {"image": image}}
        schemas = {"Input": given, "Output": {**uri, "title": "Output"}}
        openapi = {
            "openapi": "3.0.2",
            "info": {"title": "batch-removebg", "version": self._model.version},
            "paths": {},
            "components": {"schemas": schemas},
        }
        # No Cog built this version; clients want the field to be there.
        return {"id": version, "created_at": self._since, "cog_version": "", "openapi_schema": openapi}
