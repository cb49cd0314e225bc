"""The page as a folder of files, read-only, that opens without a server.

Its modules become one classic script, since browsers load no modules from the disk, and rows come by scripts, too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from batch_removebg.clock import Clock
from batch_removebg.errors import SettingsError
from batch_removebg.ledger import codec
from batch_removebg.resources import cores
from batch_removebg.server.protocol import Refusal
from batch_removebg.storage.atomic import make_folder, write_atomic

from .app import PAGE
from .desk import Desk
from .items import Items

_ROWS = 5000  # in a file
_PICTURES, _LONGEST = 1000, 1024  # items that have more than thumbnails; pixels a side of what these have
_THUMB = 256
_MODULE = re.compile(r'<script type="module"[^>]*></script>')
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w/]+\.js)";\n', re.MULTILINE)
Say = Callable[[str], None]


async def report(out: Path, to: Path, *, say: Say) -> Path:
    """Write the report of an OUT into a folder, or as `to` and a folder beside it; returns the file to open.

    Raises SettingsError where something else is there, LedgerError, DiskError.
    """
    index = to if to.suffix == ".html" else to / "index.html"
    files = to.with_name(f"{to.stem}_files") if index == to else to
    if files.exists() and any(files.iterdir()) and not (files / "data/about.js").exists():
        raise SettingsError(f"{files} holds something else; name a new folder with --to")
    prefix = "" if files == index.parent else f"{files.name}/"
    desk = Desk(Items(out, Clock()), Clock())
    try:
        await desk.open()
        await desk.ready()
        await _write(desk, files, prefix, say)
    finally:
        desk.close()
    page = (PAGE / "index.html").read_text("utf-8")
    scripts = [*sorted(f"data/{path.name}" for path in (files / "data").glob("*.js")), "page/page.js"]
    tags = "\n".join(f'<script defer src="{name}"></script>' for name in scripts)
    text = re.sub(r'((?:src|href)=")(?=page/|data/)', rf"\g<1>{prefix}", _MODULE.sub(tags, page))
    write_atomic(index, text.encode())
    return index


async def _write(desk: Desk, files: Path, prefix: str, say: Say) -> None:
    for folder in ("data", "page", "pictures"):
        make_folder(files / folder)
    for old in (files / "data").glob("rows-*.js"):
        old.unlink()
    for style in PAGE.glob("*.css"):
        write_atomic(files / "page" / style.name, style.read_bytes())
    write_atomic(files / "page/page.js", joined(PAGE).encode())
    numbers = await to_thread.run_sync(desk.flagged_first)
    if len(numbers) > _PICTURES:
        say(f"{len(numbers)} items: thumbnails of all, larger pictures of the first {_PICTURES}, what is flagged first")
    about = await desk.about() | {"read_only": True, "report": True, "total": len(numbers)}
    _put(files / "data/about.js", {"about": about}, first=True)
    for start in range(0, len(numbers), _ROWS):
        some = numbers[start : start + _ROWS]
        rows = await to_thread.run_sync(desk.told, some)
        limiter = anyio.CapacityLimiter(2 * cores())
        shown = (_illustrate(desk, row, files, prefix, nth < _PICTURES, limiter) for nth, row in enumerate(rows, start))
        await asyncio.gather(*shown)
        _put(files / f"data/rows-{start // _ROWS:04}.js", {"rows": rows})


async def _illustrate(
    desk: Desk, row: dict[str, Any], files: Path, prefix: str, larger: bool, limiter: anyio.CapacityLimiter
) -> None:
    """Put an item's pictures beside the page, under names of our own, and these into its row."""
    thumbs, shown = dict[str, str](), dict[str, str]()
    row["files"] = {"thumb": thumbs, "picture": shown}

    async def put(names: dict[str, str], kind: str, size: int) -> None:
        with suppress(Refusal):  # there is none, which the page says
            data, form, _ = await desk.pictures.picture(state, kind, size)
            name = f"pictures/{row['n']:07}-{kind}-{size}.{form.rpartition('/')[2]}"
            await to_thread.run_sync(write_atomic, files / name, data)
            names[kind] = prefix + name

    async with limiter:
        _, _, state = await desk.find(row["n"])
        await put(thumbs, "cutout", _THUMB)
        for kind in ("source", "cutout", "alpha", *(["bare"] if state.outputs else [])) if larger else ():
            await put(shown, kind, _LONGEST)
        shown |= {} if state.outputs or not shown else {"bare": shown.get("cutout", "")}


def _put(path: Path, part: dict[str, Any], *, first: bool = False) -> None:
    """Write a script that hands over a part of the data; no name in that ends the script."""
    text = codec.encode(part).decode("utf-8", "surrogatepass").replace("<", "\\u003c")
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    begin = "window.batchRemovebgReport = [];\n" if first else ""
    write_atomic(path, f"{begin}batchRemovebgReport.push({text});\n".encode("utf-8", "surrogatepass"))


def joined(page: Path) -> str:
    """The page's modules as one classic script, each behind those that it imports."""

    def needed(name: str, seen: dict[str, str]) -> Iterator[str]:
        if name not in seen:
            seen[name] = text = (page / name).read_text("utf-8")
            for other in _IMPORT.findall(text):
                yield from needed((page / name).parent.joinpath(other).relative_to(page).as_posix(), seen)
            yield re.sub(r"^export (?=async |function |class |const )", "", _IMPORT.sub("", text), flags=re.MULTILINE)

    return '"use strict";\n(() => {\n' + "\n".join(needed("main.js", {})) + "})();\n"
