"""Compiled networks, kept for the next run: loading one takes a third of the time of compiling it, or less.

A blob's file name is the hash of all it depends on; one that can't be read or written is done without. OpenVINO's own
cache (2026.4.1) loads damaged blobs, which give wrong masks, and trusts pipes and folders that others can write to.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from isal import isal_zlib

from batch_removebg.engine import weights
from batch_removebg.storage import atomic

FOLDER = "compiled"  # in the folder of weights, also for a network from elsewhere
_SUFFIX = ".blob"
_KEPT = 4  # blobs kept for the same weights, the newest: those of an old version go a few runs after an upgrade
_KEPT_LARGE = 2  # of those made for another size: isnet's take 177 MB each, and `best` has two
_MAX_WEIGHTS = 32 << 20  # bytes above which a blob doesn't pay: u2net's 176 MB load in 1.3 s, and compile in 1.5 s
# One that is made for another size first does: isnet's loads in half the time.
_CHECKSUM = 4  # bytes at the end of a file: the CRC-32 of all before, against damage; it takes a twentieth of SHA-256

T = TypeVar("T")

log = logging.getLogger(__name__)


class BlobCache:
    """The place of one compiled network."""

    def __init__(self, model: weights.Weights, facts: Mapping[str, object]) -> None:
        """`facts`: all that the compiled network depends on beside the weights, as JSON values."""
        self._weights = model.path
        self._folder = weights.cache_dir() / FOLDER
        self._facts = {**facts, "size": model.size, "output": model.output}
        self._pays = bool(model.exported) or self._weights.stat().st_size <= _MAX_WEIGHTS
        self._kept = _KEPT_LARGE if model.exported else _KEPT

    def read(self, load: Callable[[memoryview], T]) -> T | None:
        """What `load` makes of the blob kept, to be used while this object lives; None if there is none that works."""
        try:
            if not self._pays or not self._is_private():
                return None
            path = self._path()
            if not path.is_file():  # a pipe would block the run
                return None
            with path.open("rb") as file:
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # OpenVINO takes no read-only memory
            blob = memoryview(self._file)[:-_CHECKSUM]
            if _checksum(blob) != self._file[-_CHECKSUM:]:
                raise ValueError(f"{path} is damaged")
            loaded = load(blob)
            if hasattr(mmap, "MADV_DONTNEED"):  # the network has its own form of the weights
                self._file.madvise(mmap.MADV_DONTNEED)
            return loaded
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it, the network can be compiled
            log.info("no compiled network can be loaded, so it is compiled again: %s", error)
            return None

    def write(self, export: Callable[[], bytes]) -> None:
        """Keep the blob that `export` returns, if that is possible and pays; raises nothing."""
        try:
            if not self._pays:
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_private() or not os.access(self._folder, os.W_OK):
                return
            atomic.sweep(self._folder)
            blob = export()
            atomic.write_atomic(self._path(), (blob, _checksum(blob)))
            blobs = self._folder.glob(f"{self._weights.stem}-{'[0-9a-f]' * 64}{_SUFFIX}")
            for old in sorted(blobs, key=lambda path: path.stat().st_mtime_ns, reverse=True)[self._kept :]:
                old.unlink()
        except Exception as error:  # noqa: BLE001  # a faster next run is no reason to fail this one
            log.info("the compiled network can't be kept for the next run: %s", error)

    def _is_private(self) -> bool:
        """Whether nobody else can put files into the folder: a runtime trusts every blob that it loads."""
        if not hasattr(os, "geteuid"):  # Windows, where the user's cache is the user's own
            return True
        status = self._folder.stat()
        return status.st_uid == os.geteuid() and not status.st_mode & 0o022

    def _path(self) -> Path:
        facts = [weights.digest(self._weights), dict(self._facts)]
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return self._folder / f"{self._weights.stem}-{key}{_SUFFIX}"


def _checksum(blob: bytes | memoryview) -> bytes:
    return isal_zlib.crc32(blob).to_bytes(_CHECKSUM, "big")
