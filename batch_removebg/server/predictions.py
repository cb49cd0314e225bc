"""The endpoints under `/v1/predictions`, and the outputs that they link to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from aiohttp import web
from anyio import Path, move_on_after, to_thread

from batch_removebg.errors import OutputBroken, SourceError
from batch_removebg.net.fetch import data_uri

from . import protocol
from .answers import OPEN, STATE, State, base_url, body, connection, found, readable, version_of
from .blob_store import BlobStore
from .jobs import Job, Source
from .protocol import Refusal

_MAX_JSON = 33 << 20  # bytes
_IN_MEMORY = 16  # what a byte of JSON counts for, beside one of an upload, which goes to the disk
_MAX_LOGS = 2000  # characters
_LARGE = 1 << 20  # bytes

T = TypeVar("T", str, bytes)
R = TypeVar("R")

routes = web.RouteTableDef()


@routes.post("/v1/predictions")
@routes.post("/v1/models/{owner}/{name}/predictions")
async def create(request: web.Request) -> web.Response:
    """201 with the prediction: the finished one, if the client waits and it ends in time."""
    state, base = request.app[STATE], base_url(request)
    wait = protocol.prefer_wait(request.headers.get("Prefer"))
    state.jobs.require_room()  # before the body is read
    version = version_of(request) if "owner" in request.match_info else None
    wanted = protocol.parse_create(await _json_body(request, state), state.served, version)
    cancel_after = protocol.cancel_after(request.headers.get("Cancel-After"))
    source, once = await _source(wanted.image, base, state)
    given = {} if once is not None else {"image": wanted.image}
    logs = "".join(f"ignored the input {key!r}: the model has only `image`\n" for key in wanted.ignored)
    job = Job(source, wanted.model, wanted.version, given, logs[:_MAX_LOGS], cancel_after, once)
    state.jobs.create(job)
    connection(request).held = 0
    if wait is None:
        return web.json_response(protocol.prediction(job, base), status=201)
    with move_on_after(wait):
        await job.done.wait()
    body = protocol.prediction(job, base, still_waiting=not job.status.terminal)
    return web.json_response(body, status=201, headers={"Preference-Applied": "wait"})


@routes.get("/v1/predictions", allow_head=False)
async def list_predictions(request: web.Request) -> web.Response:
    """A page of predictions, newest first, with the URLs of the pages around it."""
    times = {key: request.query[key] for key in ("created_after", "created_before") if request.query.get(key)}
    bounds = {key.removeprefix("created_"): protocol.parse_time(key, text) for key, text in times.items()}
    page = request.app[STATE].jobs.page(protocol.check_cursor(request.query.get("cursor", "")), **bounds)

    def link(cursor: str | None) -> str | None:
        query = request.rel_url.with_query(times | {"cursor": cursor or ""})
        return cursor and f"{base_url(request)}{str(query).removeprefix('/v1')}"

    results = [protocol.prediction(job, base_url(request)) for job in page.jobs]
    return web.json_response({"previous": link(page.newer), "next": link(page.older), "results": results})


@routes.get("/v1/predictions/{id}", allow_head=False)
async def get(request: web.Request) -> web.Response:
    """The prediction as it stands."""
    return _answer(request, request.app[STATE].jobs.get(request.match_info["id"]))


@routes.post("/v1/predictions/{id}/cancel")
async def cancel(request: web.Request) -> web.Response:
    """The prediction, canceled unless it had ended."""
    return _answer(request, request.app[STATE].jobs.cancel(request.match_info["id"]))


@routes.get("/v1/outputs/{name}/output.png", name=f"{OPEN}output")  # its name is the key to it
async def output(request: web.Request) -> web.FileResponse:
    """The cutout."""
    blob = found(request.app[STATE].jobs.outputs.get(request.match_info["name"]), "the output")
    return web.FileResponse(blob.path, headers={"Content-Type": "image/png"})


def _answer(request: web.Request, job: Job | None) -> web.Response:
    return web.json_response(protocol.prediction(found(job, "the prediction"), base_url(request)))


async def _json_body(request: web.Request, state: State) -> object:
    # A web page of another origin can send other content types without a preflight request, but not this one.
    if request.content_type != "application/json":
        raise Refusal(415, "Unsupported media type", "send the body as application/json")
    limit = min(state.max_file + (1 << 20), _MAX_JSON)
    with readable("the JSON body"):
        data = b"".join([chunk async for chunk in body(request, request.content.readany, limit, weight=_IN_MEMORY)])
        return await _decoded(state, protocol.parse_json, data)


async def _decoded(state: State, decode: Callable[[T], R], data: T) -> R:
    """What is decoded from a text: a large one in a thread, when its turn has come."""
    if len(data) < _LARGE:
        return decode(data)
    return await to_thread.run_sync(decode, data, limiter=state.decoding)


async def _source(image: str, base: str, state: State) -> tuple[Source, str | None]:
    """What reads the picture when its job runs, and the file that ends with the job."""
    store = state.jobs.inputs
    if protocol.is_data(image):  # stored on disk, so that a long queue needs no memory
        try:
            data = await _decoded(state, data_uri, image)
        except OutputBroken:
            return partial(_read, store, "", "the image is a data URI that can't be decoded"), ""
        blob = await store.put(data)
        return partial(_read, store, blob.id, "the input's hour was over before its turn came"), blob.id
    file_id = protocol.file_id(image)
    if file_id and (store.get(file_id) or image.startswith(f"{base}/")):
        return partial(_read, store, file_id, "the uploaded file does not exist, or its hour is over"), None
    return partial(state.fetch, image), None


async def _read(store: BlobStore, name: str, gone: str) -> bytes:
    blob = store.get(name)
    if blob is None:
        raise SourceError(gone)
    return await Path(blob.path).read_bytes()
