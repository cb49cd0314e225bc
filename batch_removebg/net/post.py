"""Posts to URLs that are secrets themselves: nothing of them but the host is ever said, and no error holds them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from batch_removebg.errors import BatchError

from . import proxies, ssrf
from .fetch import RETRIED, as_url, one_line, open_session, retry_after
from .patience import Patience


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a post."""

    problem: str = ""  # empty: a status of 2xx
    status: int = 0  # 0: there was no answer
    again: bool = False  # another try may help
    wait: float = 0.0  # seconds that the server asks for before that


async def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, public_only: bool) -> Answer:
    """What became of it, redirects not followed, within `seconds`; nothing is raised."""
    import aiohttp

    try:
        target = as_url(url)
        proxy = proxies.proxy_of(target)
        async with open_session(public_only=public_only, reuse=False) as session:
            with Patience(seconds, seconds).kept():
                await proxies.through(proxy, target, public_only=public_only)
                timeout = aiohttp.ClientTimeout(total=None)
                sent = session.post(
                    target, data=body, headers=headers, proxy=proxy, allow_redirects=False, timeout=timeout
                )
                async with sent as answer:
                    if 200 <= answer.status < 300:
                        return Answer(status=answer.status)
                    why = " (redirects are not followed)" if 300 <= answer.status < 400 else ""
                    wait = retry_after(answer.headers, now=time.time()) or 0.0
                    return Answer(f"it answers {answer.status}{why}", answer.status, answer.status in RETRIED, wait)
    except (aiohttp.ClientError, OSError, ValueError, BatchError) as error:  # TimeoutError is an OSError
        return _trouble(error)


def _trouble(error: Exception) -> Answer:
    """What is said of an error, whose own text may hold the URL, or what the server echoes of it."""
    import aiohttp

    refused = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(refused, ssrf.NotPublic):
        return Answer(str(refused.strerror))
    if isinstance(error, BatchError):  # of the proxy's settings
        return Answer(str(error))
    if isinstance(error, TimeoutError):
        return Answer("no answer in time", again=True)
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)):
        return Answer(one_line(error), again=True)
    if isinstance(error, ValueError):
        return Answer("this is no URL")
    return Answer(f"the connection broke ({type(error).__name__})", again=True)
