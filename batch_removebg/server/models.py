"""The endpoints under `/v1/models`: the one network, under its own name and that of the model it stands in for.

Beside them, what the server says of itself.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from . import protocol
from .answers import OPEN, STATE, State, base_url, found, version_of

_MODEL = "/v1/models/{owner}/{name}"

routes = web.RouteTableDef()


@routes.get(_MODEL, allow_head=False)
async def get(request: web.Request) -> web.Response:
    """The model and its only version."""
    state, owner, name = request.app[STATE], request.match_info["owner"], request.match_info["name"]
    model = {
        "url": f"{base_url(request)}/models/{owner}/{name}",
        "owner": owner,
        "name": name,
        "description": f"{state.model.name} run by batch-removebg on this machine; takes `image`, gives a cutout",
        "visibility": "private",
        **dict.fromkeys(("github_url", "paper_url", "license_url", "cover_image_url", "default_example")),
        "run_count": state.jobs.count,
        "latest_version": _version(state, version_of(request)),
    }
    return web.json_response(model)


@routes.get(f"{_MODEL}/versions", allow_head=False)
async def list_versions(request: web.Request) -> web.Response:
    """The model's only version, as a page."""
    version = _version(request.app[STATE], version_of(request))
    return web.json_response({"previous": None, "next": None, "results": [version]})


@routes.get(_MODEL + "/versions/{version}", allow_head=False)
async def get_version(request: web.Request) -> web.Response:
    """The version, with the schema of its input and output."""
    version, asked = version_of(request), request.match_info["version"]
    return web.json_response(_version(request.app[STATE], found(version if asked == version else None, "the version")))


@routes.get("/v1/account", allow_head=False)
async def account(request: web.Request) -> web.Response:
    """Who the key belongs to: there is one account."""
    return web.json_response(
        {"type": "organization", "username": "batch-removebg", "name": "batch-removebg", "github_url": None}
    )


@routes.get("/healthz", name=f"{OPEN}health")
async def health(request: web.Request) -> web.Response:
    """That the server answers, and how much is waiting; asks no key."""
    state = request.app[STATE]
    shown = {"ok": True, "model": state.model.name, "device": state.device, "queue": state.jobs.waiting}
    return web.json_response(shown)


def _version(state: State, version: str) -> dict[str, Any]:
    uri = {"type": "string", "format": "uri"}
    image = {**uri, "title": "Image", "description": "Picture whose background is removed.", "x-order": 0}
    given = {"type": "object", "title": "Input", "required": ["image"], "properties": {"image": image}}
    openapi = {
        "openapi": "3.0.2",
        "info": {"title": "batch-removebg", "version": state.model.version},
        "paths": {},
        "components": {"schemas": {"Input": given, "Output": {**uri, "title": "Output"}}},
    }
    # No Cog built this version, but clients expect the field.
    return {"id": version, "created_at": protocol.timestamp(state.since), "cog_version": "", "openapi_schema": openapi}
