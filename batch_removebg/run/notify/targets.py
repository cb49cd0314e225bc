"""Those who are told, and how each of them is."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.to_thread import run_sync

from batch_removebg.clock import Clock
from batch_removebg.errors import SettingsError
from batch_removebg.manifest.text import printable
from batch_removebg.net.post import Answer, post
from batch_removebg.storage.layout import OUTBOX

from . import by_apprise, process, rules
from .outbox import Outbox, signed, tried

_PING = 10_000  # bytes of a ping's body
_GROUPS = 50  # kinds of failures, and flags, that a webhook is told
_GONE = 410
_SECRET = re.compile(r"key|token|secret|passw|credential|webhook|_url$", re.IGNORECASE)
_URL = re.compile(r"(?:(https?://)(?:[^\s/@]*@)?([\w.:\[\]-]*)|\w+://)[^\s'\"<>]*")
Acts = dict[str, Callable[[], Awaitable[str]]]
"""By name; each gives what went wrong, empty where nothing did, or raises SettingsError for a name without a secret."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is waited, in seconds."""

    request: float = 10.0
    command: float = 60.0
    each: float = 65.0  # for one of those to be told, with all tries
    ping: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)  # between tries
    webhook: tuple[float, ...] = (1.0, 5.0, 15.0, 35.0)
    quiet: float = 2.0  # until it is said that there is something to wait for


PACE = Pace()
BRIEF = Pace(request=5.0, command=5.0, each=6.0, ping=(1.0,), webhook=())
"""Where the next run waits for it; what can't be delivered so soon is in the outbox."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is told of a run."""

    type: str  # `run.finished`, or `run.aborted` while the run is still ending
    title: str
    text: str
    data: dict[str, Any]  # `Summary.as_json`; of an aborted run what is known by then

    def event(self, stamp: str) -> bytes:
        """Without items: it is to have less than 20 kB."""
        groups = {name: self.data[name][:_GROUPS] for name in ("failures", "flags") if name in self.data}
        short = {name: [{**each, "examples": []} for each in found] for name, found in groups.items()}
        return json.dumps({"type": self.type, "timestamp": stamp, "data": {**self.data, **short}}).encode()


@dataclass(frozen=True, slots=True)
class Targets:
    """Those of `notify`."""

    notify: rules.Notify
    out: Path
    public_only: bool
    clock: Clock
    pace: Pace
    detail: Callable[[str], None] | None = None  # hears what commands write
    delivering: anyio.Lock = field(default_factory=anyio.Lock)

    def pings(self, suffix: str, run: str, text: str) -> Acts:
        """By the convention of healthchecks; `run` is a UUID that a start and its end share."""
        name = self.notify.ping
        return {f"ping {name}": partial(self._ping, name, suffix, run, text)} if name else {}

    def webhook(self, message: Message | None = None) -> Acts:
        """Also what waits in the outbox; that alone is tried once."""
        name = self.notify.webhook
        return {f"webhook {name}": partial(self._deliver, name, message)} if name else {}

    def people(self, message: Message) -> Acts:
        """All that aren't told of each run."""
        acts, argv = self.webhook(message), self.notify.command
        if argv:
            acts[f"command {argv[0]}"] = partial(self._run, argv, json.dumps(message.data).encode())
        for name in self.notify.apprise:
            acts[f"apprise {name}"] = partial(self._apprise, name, message)
        return acts

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        return await post(url, body, headers, seconds=self.pace.request, public_only=self.public_only)

    async def _ping(self, name: str, suffix: str, run: str, text: str) -> str:
        parts = urlsplit(rules.url(name))
        query = "&".join(filter(None, (parts.query, f"rid={run}")))
        url = parts._replace(path=parts.path.rstrip("/") + suffix, query=query).geturl()
        send = partial(self._post, url, text.encode()[:_PING], {"Content-Type": "text/plain; charset=utf-8"})
        return (await tried(send, self.pace.ping, self.clock)).problem

    async def _deliver(self, name: str, message: Message | None) -> str:
        url, key = rules.url(name), rules.signing_key(self.notify.webhook_secret or "")
        box, problem = Outbox(self.out / OUTBOX, name), ""

        async def attempt(ident: str, body: bytes) -> Answer:
            return await self._post(url, body, signed(key, ident, int(self.clock.wall()), body))

        async with self.delivering:
            events = await run_sync(box.waiting, self.clock.wall())
            if message is not None:
                events.append(await run_sync(box.put, message.event(self.clock.stamp()), self.clock.wall()))
            for event in events:
                answer = await tried(partial(attempt, *event), self.pace.webhook if message else (), self.clock)
                if answer.status == _GONE:
                    await run_sync(box.clear)
                    return "it answers 410, and wants nothing more: take it out of [notify]"
                if not answer.problem:
                    await run_sync(box.remove, event[0])
                problem = problem or answer.problem
                if answer.again:
                    break
        return problem

    def waits(self, act: str) -> str:
        """The end of a warning about one of Acts: what becomes of what it was to tell. Blocks."""
        kind, _, name = act.partition(" ")
        waiting = kind == "webhook" and Outbox(self.out / OUTBOX, name).waiting(self.clock.wall())
        return f"; what is in {self.out / OUTBOX} is sent by the next run" if waiting else ""

    async def _run(self, argv: tuple[str, ...], given: bytes) -> str:
        problem, said = await process.tell(argv, given, self.pace.command, heard=True)
        said = self._masked(said)
        if said and self.detail is not None:
            self.detail(f"{argv[0]}: {said}")
        last = said.rpartition("\n")[2].strip()
        return f"{problem}: {printable(last)[:200]}" if problem and last else problem

    def _masked(self, text: str) -> str:
        """Without what [notify] and variables with such names hold, and of URLs only the host on the web."""
        named = (self.notify.ping, self.notify.webhook, self.notify.webhook_secret, *self.notify.apprise)
        held = [value for name, value in os.environ.items() if len(value) > 5 and _SECRET.search(name)]
        for name in filter(None, named):
            with suppress(SettingsError):
                held.append(rules.secret(name))
        for value in sorted(held, key=len, reverse=True):
            text = text.replace(value, "…")
        return _URL.sub(r"\1\2…", text)

    async def _apprise(self, name: str, message: Message) -> str:
        failed = message.data["exit_code"] not in rules.FINE
        given = {"title": message.title, "body": message.text, "notify_type": "failure" if failed else "success"}
        told = json.dumps({"url": rules.secret(name), **given}).encode()
        problem, _ = await process.tell([sys.executable, "-P", by_apprise.__file__], told, self.pace.command)
        return problem.replace("it ended with 1", "not every service took it; `apprise -vv` with the same URL says why")
