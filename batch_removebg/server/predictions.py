"""The endpoints under `/v1/predictions`, and the outputs they lead to."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from batch_removebg.errors import Busy

from . import protocol
from .answers import base_url, disk_full, json_body, not_found
from .inputs import Inputs
from .jobs import Cursor, Jobs
from .protocol import Refusal

OPEN_ROUTE = "output"
"""The one route that needs no key: an output's name is the key to it."""


class PredictionHandlers:
    """`/v1/predictions`, and the outputs it leads to."""

    def __init__(self, jobs: Jobs, inputs: Callable[[], Inputs], served: dict[str, str]) -> None:
        """`served` maps version ids to `owner/name`; `inputs` is asked once the application runs."""
        self._jobs = jobs
        self._inputs = inputs
        self._served = served

    def routes(self) -> list[web.RouteDef]:
        """What these handlers answer."""
        return [
            web.post("/v1/predictions", self.create),
            web.get("/v1/predictions", self.list, allow_head=False),
            web.get("/v1/predictions/{id}", self.get, allow_head=False),
            web.post("/v1/predictions/{id}/cancel", self.cancel),
            web.get("/v1/outputs/{name}/output.png", self.output, name=OPEN_ROUTE),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """201 with the prediction, finished where the client waits and it is quick enough."""
        wanted = protocol.parse_create(await json_body(request), self._served)
        cancel_after = protocol.cancel_after(request.headers.get("Cancel-After"))
        wait = protocol.prefer_wait(request.headers.get("Prefer"))
        base = base_url(request)
        try:
            source = await self._inputs().source(wanted.image, base)
            job = self._jobs.create(
                source,
                model=wanted.model,
                version=wanted.version,
                input={} if protocol.is_data(wanted.image) else {"image": wanted.image},
                logs="".join(f"ignored the input {key!r}: the model has only `image`\n" for key in wanted.ignored),
                cancel_after=cancel_after,
            )
        except Busy as busy:
            headers = {"Retry-After": f"{busy.retry_after:.0f}"}
            raise Refusal(503, "Service unavailable", str(busy), headers) from busy
        except OSError as error:
            raise disk_full(error) from error
        if wait is None:
            return web.json_response(protocol.prediction(job, base), status=201)
        job = await self._jobs.wait(job.id, wait) or job
        body = protocol.prediction(job, base, still_waiting=not job.status.terminal)
        return web.json_response(body, status=201, headers={"Preference-Applied": "wait"})

    async def get(self, request: web.Request) -> web.Response:
        """The prediction as it stands."""
        job = self._jobs.get(request.match_info["id"])
        if job is None:
            raise not_found("the prediction")
        return web.json_response(protocol.prediction(job, base_url(request)))

    async def cancel(self, request: web.Request) -> web.Response:
        """The prediction, canceled unless it had ended."""
        job = self._jobs.cancel(request.match_info["id"])
        if job is None:
            raise not_found("the prediction")
        return web.json_response(protocol.prediction(job, base_url(request)))

    async def list(self, request: web.Request) -> web.Response:
        """A page of predictions, newest first, with the URLs of the pages around it."""
        moments = {key: request.query[key] for key in ("created_after", "created_before") if request.query.get(key)}
        bounds = {key.removeprefix("created_"): protocol.parse_time(key, text) for key, text in moments.items()}
        cursor = protocol.parse_cursor(request.query["cursor"]) if request.query.get("cursor") else None
        page = self._jobs.page(cursor, **bounds)
        base = base_url(request)

        def link(cursor: Cursor | None) -> str | None:
            if cursor is None:
                return None
            return str(request.url.with_query(moments | {"cursor": protocol.write_cursor(cursor)}))

        results = [protocol.prediction(job, base) for job in page.jobs]
        return web.json_response({"previous": link(page.newer), "next": link(page.older), "results": results})

    async def output(self, request: web.Request) -> web.FileResponse:
        """The cutout; its name is the key to it."""
        path = self._jobs.outputs.path(request.match_info["name"])
        if path is None:
            raise not_found("the output")
        return web.FileResponse(path, headers={"Content-Type": "image/png"})
