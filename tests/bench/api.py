"""The simulated predictions API, in a process of its own: `python -m tests.bench.api` prints its URL and serves.

It ends when its stdin does. Beside the API's own paths (under /v1) there are `POST /_reset`, with a Behaviour as JSON,
and `GET /_facts` (`?series`): what has been seen since. Nothing asks for a key.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import math
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from tests.bench.behaviour import Behaviour, Bucket, refusal
from tests.bench.facts import Facts, Made
from tests.bench.http1 import Connection, Exchange, message
from tests.bench.material import cutout, cutout_of_bytes, size_of

LONGEST_WAIT = 60.0
"""Seconds that `Prefer: wait` waits at most, and where it names none."""
PAGE = 100
_NOT_FOUND = b'{"detail":"The requested resource could not be found.","status":404}'
_INTERRUPTED = "Prediction interrupted; please retry (code: PA)"
_EXPIRED = "the input's file does not exist: cannot identify image file"


class Api:
    """The endpoints. One event loop uses it, and no await interrupts it."""

    def __init__(self, behaviour: Behaviour | None = None, now: Callable[[], float] = time.time) -> None:
        self.url = ""
        self._now = now
        self.reset(behaviour or Behaviour())

    def reset(self, behaviour: Behaviour) -> None:
        """Begin anew; connections that are open now are not counted."""
        self.behaviour = behaviour
        self.facts, self._cpu = Facts(), time.process_time()
        self._random = random.Random(behaviour.seed)
        self._creates = Bucket(behaviour.creates, behaviour.rejected_count)
        self._others = Bucket(behaviour.others)
        self._changes = list(behaviour.changes)
        self._began: float | None = None
        self._busy_until = 0.0
        self._files: dict[str, tuple[float, tuple[int, int] | None]] = {}
        """By URL: when it expires, and its size in pixels."""
        self._picture = message(200, cutout_of_bytes(behaviour.picture), b"image/png")
        self._sized: dict[tuple[int, int], bytes] = {}

    async def listen(self, port: int = 0) -> asyncio.Server:
        """Serve on loopback; `url` is set then."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self.handle, self._connection), "127.0.0.1", port, backlog=1024
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    def _connection(self, change: int) -> None:
        self.facts.connection(change)

    def handle(self, exchange: Exchange) -> None:
        """Answer, now or later."""
        path = exchange.path.partition("?")[0]
        if path.startswith("/out/"):
            self._output(exchange, path)
        elif path == "/v1/predictions" and exchange.method == "POST":
            self._create(exchange)
        elif path == "/_reset":
            self.reset(Behaviour.from_json(exchange.body or b"{}"))
            exchange.answer(200, b"{}")
        elif path == "/_facts":
            more = self.facts.series() if exchange.path.endswith("?series") else {}
            cpu = {"cpu": time.process_time() - self._cpu}
            exchange.answer(200, json.dumps(self.facts.counts() | cpu | more).encode())
        else:
            self._other(exchange, path)

    def _create(self, exchange: Exchange) -> None:
        now, facts = self._now(), self.facts
        self._began = now if self._began is None else self._began
        while self._changes and now - self._began >= self._changes[0][0]:
            self._creates.become(self._changes.pop(0)[1], now)
        if wait := self._creates.take(now):
            facts.rejected.append(now)
            body, more = refusal(self._creates.limit, wait, low_credit=self.behaviour.low_credit)
            return exchange.answer(429, body, more=more)
        image = json.loads(exchange.body)["input"]["image"]
        expires, size = self._files.get(image, (math.inf, None))
        facts.expired += now >= expires
        facts.inputs.add(hash(image))
        run, unlucky = self.behaviour.run.draw(self._random), self._random.random() < self.behaviour.interrupted
        # Data URIs are not echoed, and so need not be kept.
        kept = "" if image.startswith("data:") else image
        made = Made(f"p{len(facts.made)}", kept, now, now + run, unlucky or now >= expires, size)
        facts.made.append(made)
        self._busy_until = max(self._busy_until, made.ready)
        return self._created(exchange, made)

    def _created(self, exchange: Exchange, made: Made) -> None:
        prefer = exchange.header(b"prefer") or ""
        self.facts.waits += prefer.startswith("wait")
        if not (prefer.startswith("wait") and self.behaviour.prefer_wait):
            return exchange.answer(201, self._told(made))
        seconds = LONGEST_WAIT
        with contextlib.suppress(ValueError):  # `wait` alone
            seconds = min(seconds, float(prefer.partition("=")[2]))
        return self._when_ready(made.created + seconds, exchange, made)

    def _when_ready(self, at_the_latest: float, exchange: Exchange, made: Made) -> None:
        left = min(made.ready, at_the_latest) - self._now()
        if left <= 0:
            exchange.answer(201, self._told(made), more=b"Preference-Applied: wait\r\n")
        else:
            # Looked at anew: a loop's timers are as coarse as a millisecond, and may be early by half of it.
            asyncio.get_running_loop().call_later(left, self._when_ready, at_the_latest, exchange, made)

    def _other(self, exchange: Exchange, path: str) -> None:
        if wait := self._others.take(self._now()):
            self.facts.throttled += 1
            body, more = refusal(self.behaviour.others, wait, low_credit=False)
            return exchange.answer(429, body, more=more)
        match exchange.method, path.strip("/").split("/"):
            case "GET", ["v1", "predictions", name] if made := self._made(name):
                made.polls += 1
                return exchange.answer(200, self._told(made))
            case "POST", ["v1", "predictions", name, "cancel"] if made := self._made(name):
                self._cancel(made)
                return exchange.answer(200, self._told(made))
            case "GET", ["v1", "predictions"]:
                return exchange.answer(200, self._list(exchange))
            case "POST", ["v1", "files"]:
                return exchange.answer(201, self._upload(exchange))
        self.facts.unknown += 1
        return exchange.answer(404, _NOT_FOUND)

    def _cancel(self, made: Made) -> None:
        self.facts.cancels += 1
        if (now := self._now()) < made.ready:
            made.canceled, made.ready = True, now

    def _list(self, exchange: Exchange) -> bytes:
        self.facts.lists += 1
        query = {name: values[0] for name, values in parse_qs(urlsplit(exchange.path).query).items()}
        after, begin = query.get("created_after"), int(query.get("cursor", 0))
        since = datetime.fromisoformat(after).timestamp() if after else 0.0
        newest = len(self.facts.made) - begin
        found = [made for made in reversed(self.facts.made[max(0, newest - PAGE) : newest]) if made.created >= since]
        following = f"{self.url}/v1/predictions?cursor={begin + PAGE}" if len(found) == PAGE else None
        return json.dumps({"previous": None, "next": following, "results": [self._json(m) for m in found]}).encode()

    def _upload(self, exchange: Exchange) -> bytes:
        boundary = (exchange.header(b"content-type") or "").partition("boundary=")[2].strip('"')
        # The header is kept in lower case, and a boundary need not be.
        first = exchange.body[: exchange.body.find(b"\r\n")]
        assert first.lower() == b"--" + boundary.encode()
        part = next(p for p in exchange.body.split(first) if b'name="content"' in p[:400])
        data = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        now, size = self._now(), size_of(data)
        self.facts.upload(data, size, overlapped=now < self._busy_until)
        expires = now + self.behaviour.file_seconds
        url = f"{self.url}/v1/files/f{self.facts.uploads}"
        self._files[url] = (expires, size)
        body = {"id": f"f{self.facts.uploads}", "urls": {"get": url}, "expires_at": _stamp(expires)}
        return json.dumps(body).encode()

    def _output(self, exchange: Exchange, path: str) -> None:
        made = self._made(path[5:].removesuffix(".png"))
        if made is None:
            return exchange.answer(404, _NOT_FOUND)
        self.facts.downloads += 1
        made.fetched = made.fetched or self._now()
        if made.size is None:
            return exchange.send(self._picture)
        if made.size not in self._sized:
            self._sized[made.size] = message(200, cutout(*made.size), b"image/png")
        return exchange.send(self._sized[made.size])

    def _made(self, name: str) -> Made | None:
        number = int(name[1:]) if name[1:].isdigit() else len(self.facts.made)
        return self.facts.made[number] if number < len(self.facts.made) else None

    def _told(self, made: Made) -> bytes:
        """The prediction as it stands, for an answer that goes out now."""
        now = self._now()
        if now >= made.ready and not made.told:
            made.told = now
        return json.dumps(self._json(made)).encode()

    def _json(self, made: Made) -> dict[str, object]:
        ended = made.told > 0 or self._now() >= made.ready
        status = "canceled" if made.canceled else "failed" if made.failed else "succeeded"
        run = made.ready - made.created
        return {
            "id": made.id,
            "model": "lucataco/remove-bg",
            "version": "hidden",
            "input": {"image": made.image} if made.image else {},
            "output": f"{self.url}/out/{made.id}.png" if ended and status == "succeeded" else None,
            "error": None if not (ended and made.failed) else _INTERRUPTED if self._lives(made) else _EXPIRED,
            "status": status if ended else "processing",
            "logs": "",
            "created_at": _stamp(made.created),
            "started_at": _stamp(made.created),
            "completed_at": _stamp(made.ready) if ended else None,
            "metrics": {"predict_time": round(run, 6), "total_time": round(run, 6)} if ended else {},
            "data_removed": False,
            "urls": {"get": f"{self.url}/v1/predictions/{made.id}"},
        }

    def _lives(self, made: Made) -> bool:
        return made.created < self._files.get(made.image, (math.inf, None))[0]


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


async def serve(port: int, behaviour: Behaviour) -> None:
    """Serve until stdin ends."""
    api = Api(behaviour)
    async with await api.listen(port):
        print(api.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    arguments = argparse.ArgumentParser(description="The simulated predictions API on loopback.")
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--behaviour", default="{}", help="a Behaviour as JSON")
    given = arguments.parse_args()
    gc.disable()  # nothing here makes cycles, and a million predictions would be walked again and again
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(given.port, Behaviour.from_json(given.behaviour)))


if __name__ == "__main__":
    main()
