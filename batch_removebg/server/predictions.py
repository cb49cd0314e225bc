"""The endpoints under `/v1/predictions`, and the outputs that they link to."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from anyio import Path, to_thread

from batch_removebg.errors import OutputBroken, SourceError
from batch_removebg.net.fetch import data_uri

from . import protocol
from .answers import STATE, State, base_url, not_found
from .blob_store import BlobStore
from .jobs import Cursor, Job, Source
from .protocol import Refusal

OPEN_ROUTE = "output"
"""The one route that needs no key: an output's name is the key to it."""

routes = web.RouteTableDef()


@routes.post("/v1/predictions")
async def create(request: web.Request) -> web.Response:
    """201 with the prediction: the finished one, if the client waits and it ends in time."""
    state, base = request.app[STATE], base_url(request)
    wanted = protocol.parse_create(await _json_body(request), state.served)
    cancel_after = protocol.cancel_after(request.headers.get("Cancel-After"))
    wait = protocol.prefer_wait(request.headers.get("Prefer"))
    job = state.jobs.create(
        await _source(wanted.image, base, state),
        model=wanted.model,
        version=wanted.version,
        given={} if protocol.is_data(wanted.image) else {"image": wanted.image},
        logs="".join(f"ignored the input {key!r}: the model has only `image`\n" for key in wanted.ignored),
        cancel_after=cancel_after,
    )
    if wait is None:
        return web.json_response(protocol.prediction(job, base), status=201)
    await state.jobs.wait(job.id, wait)
    body = protocol.prediction(job, base, still_waiting=not job.status.terminal)
    return web.json_response(body, status=201, headers={"Preference-Applied": "wait"})


@routes.get("/v1/predictions", allow_head=False)
async def list_predictions(request: web.Request) -> web.Response:
    """A page of predictions, newest first, with the URLs of the pages around it."""
    times = {key: request.query[key] for key in ("created_after", "created_before") if request.query.get(key)}
    bounds = {key.removeprefix("created_"): protocol.parse_time(key, text) for key, text in times.items()}
    cursor = protocol.parse_cursor(request.query["cursor"]) if request.query.get("cursor") else None
    page = request.app[STATE].jobs.page(cursor, **bounds)

    def link(cursor: Cursor | None) -> str | None:
        return str(request.url.with_query(times | {"cursor": protocol.write_cursor(cursor)})) if cursor else None

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


@routes.get("/v1/outputs/{name}/output.png", name=OPEN_ROUTE)
async def output(request: web.Request) -> web.FileResponse:
    """The cutout."""
    blob = request.app[STATE].jobs.outputs.get(request.match_info["name"])
    if blob is None:
        raise not_found("the output")
    return web.FileResponse(blob.path, headers={"Content-Type": "image/png"})


def _answer(request: web.Request, job: Job | None) -> web.Response:
    if job is None:
        raise not_found("the prediction")
    return web.json_response(protocol.prediction(job, base_url(request)))


async def _json_body(request: web.Request) -> object:
    # A web page of another origin can send other content types without a preflight request, but not this one.
    if request.content_type != "application/json":
        raise Refusal(415, "Unsupported media type", "send the body as application/json")
    try:
        body: object = await request.json()
    except ValueError as error:
        raise Refusal(400, "Bad request", f"the body is not JSON: {error}") from error
    return body


async def _source(image: str, base: str, state: State) -> Source:
    """What reads the picture when its job runs; a data URI is stored on disk, so that a long queue needs no memory."""
    store = state.jobs.inputs
    if protocol.is_data(image):
        try:
            data = await to_thread.run_sync(data_uri, image)
        except OutputBroken:
            return partial(_read, store, "", "the image is a data URI that can't be decoded")
        blob = await store.put(data)
        return partial(_read, store, blob.id, "the input's hour was over before its turn came", once=True)
    file_id = protocol.file_id(image)
    if file_id and (store.get(file_id) or image.startswith(f"{base}/")):
        return partial(_read, store, file_id, "the uploaded file does not exist, or its hour is over")
    return partial(state.fetch, image)


async def _read(store: BlobStore, name: str, gone: str, *, once: bool = False) -> bytes:
    blob = store.get(name)
    if blob is None:
        raise SourceError(gone)
    try:
        return await Path(blob.path).read_bytes()
    finally:
        if once:
            store.drop(name)
