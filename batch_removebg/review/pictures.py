"""Pictures of an item as browsers show them: thumbnails, sources, alphas. Made in processes that can be killed."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from anyio import to_thread

from batch_removebg.engine import weights
from batch_removebg.errors import BatchError, Busy, ItemError, SettingsError
from batch_removebg.finish.cut import cut_out, full_size
from batch_removebg.finish.options import Finish
from batch_removebg.finish.resample import resampled
from batch_removebg.hashing import sha256_hex
from batch_removebg.imaging.arrays import Picture, to_8_bits
from batch_removebg.imaging.colour import convert
from batch_removebg.imaging.decode import lanczos, read, reduced
from batch_removebg.imaging.encode import encode
from batch_removebg.imaging.format import Encoding, Limits, identify
from batch_removebg.imaging.png_write import write
from batch_removebg.imaging.probe import measure
from batch_removebg.ledger.events import Rendition
from batch_removebg.ledger.state import ItemState
from batch_removebg.matting.matte import decode_matte
from batch_removebg.model import ProxySpec
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.resources import Cpu, cores, patience
from batch_removebg.server.protocol import Refusal
from batch_removebg.storage import layout
from batch_removebg.storage.alpha_cache import AlphaCache
from batch_removebg.storage.atomic import disk_errors, make_folder, write_atomic
from batch_removebg.storage.naming import is_url

from .items import Items
from .protocol import pictures, refused, row

SIZES = (256, 512)  # longest sides of thumbnails
LONGEST = 8192  # pixels a side that a browser gets
_LIMITS = Limits(max_pixels=250_000_000)
_DIGEST = re.compile("[0-9a-f]{64}")
_LARGEST = 1 << 30  # bytes of a file that is shown
_WAITING = 64  # pictures that wait to be made
_QUICK = 60.0  # seconds for what a picture's header says
_WEBP = Encoding("webp", 80, lossless=False, effort=1)
_HEAD = 12  # bytes of a WebP before its chunks
_IN_MEMORY = 500  # thumbnails, where OUT can't be written
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif"}
"""Formats that browsers show as they are."""
Size = tuple[int, int]
Made = tuple[bytes, str, Size]  # a file, its media type, and the size of the picture that it was reduced from


def shown(data: bytes, longest: int | None, plain: bool) -> Made:
    """A picture reduced to `longest`, as WebP, `plain` on white; else as it is, where browsers can show it."""
    size, form = _size(data), identify(data)
    if longest is None and form in _TYPES and max(size) <= LONGEST:
        return data, _TYPES[form], size
    picture = _reduced(data, min(longest or LONGEST, LONGEST), plain=plain)
    return encode(picture, _WEBP), "image/webp", size


def bare(data: bytes, alpha: bytes, longest: int | None, refine: str) -> Made:
    """The subject of a source on transparency, before anything is laid out, as WebP."""
    picture, size = _reduced(data, min(longest or LONGEST, LONGEST)), _size(data)
    cut = cut_out(picture, decode_matte(alpha), Finish(colours="srgb", refine=refine))
    return encode(replace(cut.picture, alpha=cut.mask), _WEBP), "image/webp", size


def alpha_of(data: bytes, alpha: bytes, longest: int | None, refine: str) -> Made:
    """The alpha of a source at its size, as grey PNG."""
    fitted = full_size(_reduced(data, min(longest or LONGEST, LONGEST)), decode_matte(alpha), refine)
    return write(Picture(fitted), 0), "image/png", _size(data)


def own_alpha(data: bytes, longest: int | None) -> Made:
    """The alpha of a cutout, as grey PNG."""
    picture = read(data, _LIMITS, hollow=True)
    size = picture.pixels.shape[1::-1]
    alpha = np.full(picture.pixels.shape[:2], 255, np.uint8) if picture.alpha is None else picture.alpha
    return write(Picture(lanczos(alpha, _within(size, min(longest or LONGEST, LONGEST)))), 0), "image/png", size


def _size(data: bytes) -> Size:
    found = measure(data, _LIMITS)
    return found.width, found.height


def _within(size: Size, longest: int) -> Size:
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _reduced(data: bytes, longest: int, *, plain: bool = False) -> Picture:
    """The picture in sRGB of 8 bits, no larger than that; `plain`: without its own transparency."""
    if plain or identify(data) == "JPEG":
        return Picture(reduced(data, lambda size: _within(size, longest), _LIMITS)[0])
    picture = read(data, _LIMITS, hollow=True)
    pixels, _, _ = convert(to_8_bits(picture.pixels), picture.icc)
    alpha = None if picture.alpha is None else to_8_bits(picture.alpha)
    return Picture(*resampled(pixels, alpha, *_within(pixels.shape[1::-1], longest)))


def kept(out: Path, state: ItemState, one: Rendition) -> Path | None:
    """Where a picture lies, if it is there as it was made, by its size; never outside OUT."""
    path = Path(os.path.realpath(out / state.place(one.output)))
    with suppress(OSError, ValueError):
        if path.is_relative_to(os.path.realpath(out)) and path.is_file() and one.bytes in (None, path.stat().st_size):
            return path
    return None


def rows(items: Items, numbers: Sequence[int], first: int | None = None) -> list[dict[str, Any]]:
    """The items with these numbers as the grid shows them; `first`: the place of the first of them. Blocks."""
    found = []
    for at, (n, key, state) in enumerate(items.several(numbers), first or 0):
        edit, made = items.edit(state), pictures(state)
        waits = edit != state.edited or (state.held and items.verdict(key, state) == "accepted")
        missing = any(kept(items.out, state, one) is None for one in made)
        decided = items.decisions.last(key, state)
        place, more = None if first is None else at, {"edited": edit is not None, "waits": waits, "missing": missing}
        found.append(row(place, n, key, state, decided=decided, **more))
    return found


class Pictures:
    """Reads and makes pictures of an OUT, thumbnails once for each content; its methods raise Refusal."""

    def __init__(self, items: Items, cpu: Cpu) -> None:
        self.out, self._items, self._cpu = items.out, items, cpu
        self._alphas = AlphaCache(items.out / layout.ALPHAS)
        self._slots, self._waiting = anyio.Semaphore(cores()), 0
        self._under_way = set[anyio.CancelScope]()
        self._memory: OrderedDict[str, bytes] = OrderedDict()

    async def thumb(self, state: ItemState, kind: str, size: int) -> bytes:
        """A thumbnail of the `source`, or of the first picture, as WebP."""
        known = state.source_sha256 if kind == "source" else state.sha256
        known = known if known is not None and _DIGEST.fullmatch(known) else None
        key = f"{known}-{size}.webp"
        if known is not None and (found := await to_thread.run_sync(self._found, key)) is not None:
            return found
        thumb, _, _ = await self.picture(state, kind, size)
        if known is not None:
            await to_thread.run_sync(self._keep, key, thumb)
        return thumb

    async def picture(
        self, state: ItemState, kind: str, longest: int | None, output: int = 0, version: str = ""
    ) -> Made:
        """The `source`, a `cutout`, the `alpha` or the `bare` subject; for the last two see `versions`."""
        if kind == "source":
            return await self._made(shown, await to_thread.run_sync(self.source, state), longest, True)
        if kind == "cutout":
            return await self._made(shown, await to_thread.run_sync(self.cutout, state, output), longest, False)
        alpha, refine = await to_thread.run_sync(self._alpha, state, version)
        if alpha is not None:
            with suppress(Refusal):  # the source is gone: what is left is the cutout
                data = await to_thread.run_sync(self.source, state)
                return await self._made(bare if kind == "bare" else alpha_of, data, alpha, longest, refine)
        data = await to_thread.run_sync(self.cutout, state)
        if kind == "bare":
            return await self._made(shown, data, longest, False)
        return await self._made(own_alpha, data, longest)

    async def size(self, state: ItemState) -> Size | None:
        """Width and height of the source as people see it; None where it isn't at hand."""
        try:
            data = await to_thread.run_sync(self.source, state)
            found = await self._cpu.isolated(_QUICK, measure, data, _LIMITS)
        except (BatchError, Refusal):
            return None
        return found.width, found.height

    def cutout(self, state: ItemState, output: int = 0) -> bytes:
        """The bytes of a picture, as it was made. Blocks."""
        made = pictures(state)
        if output >= len(made):
            raise refused(state.error_message or "there is no picture of this item", 404)
        path = kept(self.out, state, made[output])
        data = path.read_bytes() if path is not None else None
        if data is None or made[output].sha256 not in (None, sha256_hex(data)):
            raise refused(f"{made[output].output} is gone, or was changed since it was made", 404)
        return data

    def source(self, state: ItemState) -> bytes:
        """The bytes of the source, if it is still the one that the picture was made of. Blocks."""
        if is_url(state.source):
            raise refused(f"the source is at {state.source}", 404)
        there = False
        for folder in dict.fromkeys((Path.cwd(), self.out.resolve().parent, self.out.resolve())):
            with suppress(OSError, ValueError):
                path = folder / state.source
                if path.is_file() and path.stat().st_size <= _LARGEST:
                    there, data = True, path.read_bytes()
                    if state.source_sha256 in (None, sha256_hex(data)):
                        return data
        raise refused(f"the source {state.source} {'was changed since' if there else 'is gone'}", 404)

    def versions(self, state: ItemState) -> list[dict[str, Any]]:
        """The alphas that there are of an item, one for each network, the one in use first. Blocks."""
        sha256, edited = state.source_sha256, self._items.edit(state) is not None
        if sha256 is None:
            return []
        known = [(name, recipe.fingerprint(sha256)) for name, recipe in self._recipes()]
        ids = {key: name for name, key in known if self._alphas.has(key)}
        found = [
            {"id": key, "name": name, "current": not edited and n == 0} for n, (key, name) in enumerate(ids.items())
        ]
        return [{"id": "", "name": "edit", "current": True}, *found] if edited else found

    def _recipes(self) -> Iterator[tuple[str, Recipe]]:
        """What alphas may have been bought by, with a name: the last run's first."""
        provider, version, settings = *self._items.last_used(), self._items.settings()
        if provider != "local":
            inputs = {str(settings.get("input_field", "image")): None}
            proxy = ProxySpec(longest=settings.get("proxy_size", 2048))
            yield version[:12], Recipe(provider, version, inputs, proxy, Finish(), False)
        models = list(weights.MODELS.values())
        with suppress(SettingsError):  # a network of the user's own may be gone
            models += [weights.known(settings["model"])] if settings.get("model") else []
        for model in sorted(models, key=lambda each: each.version != version):
            yield model.name, Recipe("local", model.version, {}, model.proxy, Finish(), False)

    def _alpha(self, state: ItemState, version: str) -> tuple[bytes | None, str]:
        """An encoded alpha, and how it is refined; without a version, the one in use."""
        edit = self._items.edit(state)
        if edit is not None and _DIGEST.fullmatch(edit) and not version:
            with suppress(OSError):
                return (self.out / layout.EDITS / f"{edit}.png").read_bytes(), "none"
        ids = [each["id"] for each in self.versions(state) if each["id"]]
        wanted = [version] if version in ids else ids[:1] if version in ("", "bought") else []
        if not wanted and version not in ("", "bought"):
            raise refused("there is no such version of this item's alpha", 404)
        return (self._alphas.load(wanted[0]) if wanted else None), self._items.settings().get("refine", "auto")

    async def _made(self, function: Callable[..., Made], data: bytes, *args: Any) -> Made:
        """What a function makes of a file, in a process of its own, once it is its turn; seen to its end."""
        if self._waiting >= _WAITING:
            raise Busy("too many pictures are being made; ask again in a moment", retry_after=1)
        self._waiting += 1
        try:
            await self._slots.acquire()  # given up by who goes away
        finally:
            self._waiting -= 1
        made, scope = None, anyio.CancelScope(shield=True)
        self._under_way.add(scope)
        try:
            with scope:
                found = await self._cpu.isolated(_QUICK, measure, data, _LIMITS)
                async with self._cpu.memory(found.cost):
                    made = await self._cpu.isolated(patience(found.width * found.height), function, data, *args)
        except ItemError as error:
            raise refused(f"the picture {error}", 422) from error
        finally:
            self._under_way.discard(scope)
            self._slots.release()
        if made is None:
            raise Busy("the review is ending")
        return made

    def close(self) -> None:
        """Give up what is being made."""
        for scope in self._under_way:
            scope.cancel()

    def _found(self, key: str) -> bytes | None:
        """A kept thumbnail, if it is whole: it wasn't made durable."""
        with suppress(OSError):
            data = (self.out / layout.THUMBS / key[:2] / key).read_bytes()
            if len(data) >= _HEAD and int.from_bytes(data[4:8], "little") + 8 == len(data):
                return data
        return self._memory.get(key)

    def _keep(self, key: str, data: bytes) -> None:
        path = self.out / layout.THUMBS / key[:2] / key
        try:
            with disk_errors(path):
                (self.out / layout.STATE).stat()  # never created here: OUT may be gone
            make_folder(path.parent)
            write_atomic(path, data, durable=False)
        except BatchError:  # OUT can't be written
            self._memory[key] = data
            if len(self._memory) > _IN_MEMORY:
                self._memory.popitem(last=False)
