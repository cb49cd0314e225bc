"""The package as Python sees it: one picture, a batch, or a batch's results as they come; errors name arguments."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, partial
from inspect import iscoroutinefunction
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, cast, get_type_hints

import anyio.to_thread
import msgspec
from anyio.from_thread import start_blocking_portal

from batch_removebg.errors import BatchError, SettingsError
from batch_removebg.events import Event, Kind, Listener, ignore
from batch_removebg.ledger.journal import look
from batch_removebg.manifest.inputs import Feed
from batch_removebg.model import Provider
from batch_removebg.storage.layout import INDEX

from .declare import declared
from .night import extras, told
from .options import Options
from .place import named
from .rows import Row, picture_bytes, write_rows
from .settings import Settings
from .summary import Summary

if TYPE_CHECKING:
    from batch_removebg.engine.devices import Device, Precision
    from batch_removebg.engine.network import Network
    from batch_removebg.engine.weights import Weights
    from batch_removebg.imaging.pil import Image

_PROVIDER = ("name", "version", "capabilities", "proxy", "create")  # what each Provider has
_NAMES = {option.flag: name for name, option in declared(Options).items()}  # of arguments, by flag
Inputs = str | PathLike[str] | Iterable[str | PathLike[str] | Row]
P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Result:
    """An item once it has ended."""

    id: str
    source: str
    status: Literal["saved", "failed", "pending"]
    output: Path | str | None = None  # of a saved one; in a bucket its URL
    error: str | None = None
    flags: tuple[str, ...] = ()  # why a saved one is worth a look


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arguments(Options):
    """Keyword arguments of `run_batch`, for type checkers."""

    out: str | PathLike[str]
    provider: Literal["local", "replicate", "gateway"] | Provider = "local"  # type: ignore[assignment]  # wider
    rows: Iterable[Row] = ()
    on_event: Listener = ignore


class _Takes(Protocol[P, R_co]):
    def __call__(self, inputs: Inputs = (), *args: P.args, **settings: P.kwargs) -> R_co: ...


def _typed(_arguments: Callable[P, _Arguments]) -> Callable[[Callable[..., R_co]], _Takes[P, R_co]]:
    """Let type checkers read a function's keyword arguments from a class; the function itself stays as it is."""
    return lambda function: function


@_typed(_Arguments)
async def run_batch(inputs: Inputs = (), **given: Any) -> Summary:
    """Make cutouts of `inputs` and `rows`, into `out`, beside a ledger that a later call continues.

    `inputs`: folders, pictures, globs, URLs, or manifests (.csv .tsv .json .jsonl .xlsx .txt, also .gz, and at URLs).
    `rows`, read before the run: dicts as rows of a manifest, paths and URLs, or (id, picture), a picture being a path,
    a URL, a file's bytes or a PIL image. `on_event` gets every Event, in the event loop or the reader's thread, and
    must not block.
    Others are the fields of Settings; `provider` may also be a Provider of your own. The pictures have the size of
    their upright sources (H×W); they are RGBA unless the format or a background requires otherwise, of 8 bits a
    channel, or 16 where source and format have them; colours under opaque alpha are the source's own.

    Items that fail are counted, not raised, and neither is an abort (key, credit, budget, disk): see
    `Summary.stopped`. Raises TypeError and SettingsError for arguments, ManifestError and LockedError before anything
    is bought, and LedgerError where an existing ledger can't be read, is damaged, or held more once.
    """
    return await _run(inputs, *_parted(given))


@_typed(_Arguments)
def run_batch_sync(inputs: Inputs = (), **given: Any) -> Summary:
    """Do what `run_batch` does, from code that isn't async; in a thread, since a loop may run, as in notebooks."""
    with start_blocking_portal() as portal:
        return portal.call(partial(run_batch, inputs, **given))


@_typed(_Arguments)
async def stream_batch(inputs: Inputs = (), **given: Any) -> AsyncIterator[Result]:
    """Do what `run_batch` does, and give a Result for each item as it ends; those with nothing to do come at the end.

    Raises as `run_batch` does, and what stopped the run after the last result. Whoever leaves the loop early cancels
    the run, which a later call continues.
    """
    settings, rows, on_event = _parted(given)
    out, seen, ended = settings.out, set[str](), asyncio.Queue[Result | None]()

    def lies(name: str) -> Path | str:
        return f"{settings.bucket}/{name}" if settings.bucket else out / name

    def listen(event: Event) -> None:
        on_event(event)
        if event.item and event.kind in (Kind.SAVED, Kind.FAILED, Kind.PENDING):
            seen.add(event.item)
            status = cast('Literal["saved", "failed", "pending"]', event.kind.value)
            output, error = (lies(event.text), None) if status == "saved" else (None, event.text or None)
            ended.put_nowait(Result(event.item, event.source, status, output, error, event.flags))

    task = asyncio.ensure_future(_run(inputs, settings, rows, listen))
    task.add_done_callback(lambda _: ended.put_nowait(None))
    try:
        while (result := await ended.get()) is not None:
            yield result
        summary = await task
        with closing(look(summary.ledger, out / INDEX)) as fold:
            for key, state in fold.each():
                if key not in seen and not state.gone:
                    output = lies(state.place(state.output)) if state.output and state.outcome == "saved" else None
                    error = in_arguments(state.error_message) if state.error_message else None
                    yield Result(key, state.source, state.outcome, output, error, state.flags)
        if summary.stopped is not None:
            raise summary.stopped
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, BatchError):
            await task


def remove(image: str | PathLike[str] | bytes | Image, **settings: Any) -> Image:
    """One picture's cutout, upright and at its own size, RGBA unless `background` or `mask_only` say otherwise.

    `image`: a path, a file's bytes or a PIL image, whose EXIF orientation is applied. `settings` are fields of
    Settings for the engine on this machine, whose network stays loaded. Raises TypeError, SettingsError, or BatchError
    where there is no cutout. A `preset` gives its picture, the first of several theirs.
    """
    wanted, *_ = _parted({"out": "", **settings})
    if not wanted.local:
        raise SettingsError("remove works with the engine on this machine; give provider to run_batch")
    from batch_removebg.engine.cutout import cut

    data = picture_bytes(image)
    with _in_arguments():
        return cut(
            _network(wanted.network, wanted.device, wanted.precision), data, wanted.finishes()[0], wanted.limits()
        )


@cache
def _network(model: Weights, device: Device, precision: Precision) -> Network:
    from batch_removebg.engine import network

    return network.load(model, device=device, precision=precision)


async def _run(inputs: Inputs, settings: Settings, rows: Iterable[Row], on_event: Listener) -> Summary:
    if settings.every is not None:
        raise SettingsError("every belongs to the command line; call this again for another run")
    one = isinstance(inputs, str | bytes | PathLike | Mapping) or not isinstance(inputs, Iterable)
    listed: list[Any] = [inputs] if one else list(cast(Iterable[Any], inputs))
    named = [fspath(one) for one in listed if isinstance(one, str | PathLike)]
    more = [cast(Row, one) for one in listed if not isinstance(one, str | PathLike)]
    rows = [*more, *rows] if more else rows
    listener: Listener = lambda event: on_event(replace(event, text=in_arguments(event.text)))  # noqa: E731
    with _in_arguments(), tempfile.TemporaryDirectory() as folder:
        if not (isinstance(rows, tuple) and not rows):
            feed = Feed("rows")
            feed.path, feed.shown = Path(folder) / "rows.jsonl", "rows"
            await anyio.to_thread.run_sync(write_rows, rows, feed.path)
            named.append(feed)
        summary = await told(named, settings, extras(settings), listener=listener)
    if summary.stopped is not None:
        summary.stopped.args = (in_arguments(str(summary.stopped)),)
    groups = (replace(one, examples=tuple((i, in_arguments(m)) for i, m in one.examples)) for one in summary.failures)
    return replace(summary, failures=tuple(groups))


def _parted(given: dict[str, Any]) -> tuple[Settings, Iterable[Row], Listener]:
    """Settings, rows and listener; raises TypeError for an argument that doesn't exist, or of another type."""
    known, hints, own, given = declared(Options), get_type_hints(Options), None, dict(given)
    if "out" not in given:
        raise TypeError("out is missing: the folder for the pictures and the ledger")
    out, rows, on_event = given.pop("out"), given.pop("rows", ()), given.pop("on_event", ignore)
    if not isinstance(out, str | PathLike):
        raise TypeError(f"out is the path of a folder; not {type(out).__name__}")
    if not callable(on_event) or iscoroutinefunction(on_event):
        raise TypeError("on_event is a function that takes an Event, and isn't async")
    if not isinstance(given.get("provider", ""), str):
        own = given.pop("provider")
        if lacks := [name for name in _PROVIDER if not hasattr(own, name)]:
            what = "'local', 'replicate', 'gateway', or a Provider of your own"
            raise TypeError(f"provider is {what}; {type(own).__name__} has no {lacks[0]}")
    for name, value in given.items():
        if name not in known:
            nearest = get_close_matches(name, known, 1)
            raise TypeError(f"there is no argument {name!r}{f'; did you mean {nearest[0]!r}?' if nearest else ''}")
        value = fspath(value) if isinstance(value, PathLike) else value
        given[name] = value = (value,) if isinstance(value, str) and known[name].collect is tuple else value
        try:
            msgspec.convert(value, str if known[name].choices and isinstance(value, str) else hints[name])
        except msgspec.ValidationError as error:
            raise TypeError(f"{name}={value!r}: {error}") from None
    with _in_arguments():
        return Settings(**named(fspath(out), given.get("state")), own=own, **given), rows, on_event


@contextmanager
def _in_arguments() -> Iterator[None]:
    """Name arguments where an error names flags."""
    try:
        yield
    except BatchError as error:
        error.args = (in_arguments(str(error)),)
        raise


def in_arguments(text: str) -> str:
    """A message with the names of arguments in the place of flags: `--max-cost` is `max_cost`."""
    return re.sub(r"--[a-z][a-z-]*[a-z]", lambda flag: _NAMES.get(flag[0], flag[0].lstrip("-").replace("-", "_")), text)
