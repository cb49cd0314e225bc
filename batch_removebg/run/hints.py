"""What the system tells of changes in folders, by the library that is here."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from batch_removebg.errors import INSTALL, SettingsError

Wake = Callable[[str | None], None]
"""Is told of each change; by its path where that is a file that its writer has closed, or that was moved in."""
Hints = Callable[[Sequence[Path], Path, Wake, anyio.Event], Awaitable[None]]
"""Tells of changes in places, but for those in OUT, until an event is set; raises OSError where it can't."""


def system() -> Hints:
    """The best that is here; raises SettingsError where nothing is."""
    for name, hints in (("asyncinotify", inotify), ("watchfiles", watchfiles)):
        with suppress(ImportError):
            return hints(import_module(name))
    raise SettingsError(f"watch needs the extra `watch`: {INSTALL.format('watch')}; or look each S s by --poll S")


def inotify(library: Any) -> Hints:
    """Those of Linux itself, which tells when a file is closed."""
    kinds = library.Mask
    whole = kinds.CLOSE_WRITE | kinds.MOVED_TO

    async def hints(places: Sequence[Path], out: Path, wake: Wake, stop: anyio.Event) -> None:
        def follow(folder: str) -> None:
            followed, stack = {os.path.realpath(out)}, [folder]
            while stack:
                here = stack.pop()
                if (real := os.path.realpath(here)) in followed:
                    continue
                followed.add(real)
                with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    told.add_watch(here, whole | kinds.CREATE)  # before it is read, so that nothing is missed
                    with os.scandir(here) as entries:
                        stack += [each.path for each in entries if os.path.isdir(each.path)]  # noqa: PTH112  # no error

        async def listen() -> None:
            async for event in told:
                path = event.path
                if path is not None and event.mask & kinds.ISDIR:
                    await anyio.to_thread.run_sync(follow, str(path))
                    wake(None)
                elif path is None or path.parent not in around or path in files:
                    wake(str(path) if path is not None and event.mask & whole else None)

        folders = [each for each in places if each.is_dir()]
        files = {*places} - {*folders}
        around = {each.parent for each in files if not any(each.is_relative_to(folder) for folder in folders)}
        with library.Inotify() as told:
            for each in folders:
                await anyio.to_thread.run_sync(follow, str(each))
            for each in around:
                told.add_watch(each, whole | kinds.CREATE | kinds.MODIFY)
            async with anyio.create_task_group() as beside:
                beside.start_soon(listen)
                wake(None)  # for what came before it was listened for
                await stop.wait()
                beside.cancel_scope.cancel()

    return hints


def watchfiles(library: Any) -> Hints:
    """Those of any system."""

    async def hints(places: Sequence[Path], out: Path, wake: Wake, stop: anyio.Event) -> None:
        async def follow(some: Sequence[Path], *, recursive: bool) -> None:
            ours = f"{out}{os.sep}"
            own = {
                "watch_filter": lambda _, path: not path.startswith(ours),
                "stop_event": stop,
                "ignore_permission_denied": True,
            }
            async for _ in library.awatch(*some, **own, recursive=recursive, debounce=400, step=100):
                wake(None)

        folders = [each for each in places if each.is_dir()]
        async with anyio.create_task_group() as both:
            for some, recursive in ((folders, True), ({each.parent for each in places} - {*folders}, False)):
                if some:
                    both.start_soon(partial(follow, [*some], recursive=recursive))
            await anyio.sleep(1)
            wake(None)  # for what came before it was listened for
            await stop.wait()

    return hints
