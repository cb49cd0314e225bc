"""Compiled networks, kept from one run for the next: to take one in takes a third of the time that to compile it does.

One file for each thing that a compiled network depends on, and its name is the hash of them all: where anything is
different nothing is found. Nothing here may cost a run its success: what can't be read or written is done without.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from batch_removebg.engine import weights
from batch_removebg.errors import BatchError
from batch_removebg.storage import atomic

FOLDER = "compiled"
"""Beside the weights."""
_SUFFIX = ".blob"
_AT_MOST = 4
"""Blobs kept for the same weights, the newest: after an upgrade those of the old version go, a few runs later."""
_LARGEST = 32 << 20
"""Bytes of weights above which it is not worth it: u2net's 176 MB take 1.3 s to read, check and take in, and 120 MB
more memory, where to compile them takes 1.5 s. u2netp's 4.5 MB take 0.1 s instead of 0.3 s."""
_KEY = re.compile(r"[0-9a-f]{64}" + re.escape(_SUFFIX))
_CHECKSUM = hashlib.sha256().digest_size  # bytes at a file's beginning, over the rest of it

log = logging.getLogger(__name__)


class Kept:
    """The place of one compiled network; it may be empty."""

    def __init__(self, path: Path, facts: Mapping[str, object]) -> None:
        """`path`: the weights' file; `facts`: whatever else the compiled form depends on, as JSON can say it."""
        self._weights = path
        self._folder = path.parent / FOLDER
        self._facts = facts

    def read(self) -> bytes | None:
        """What was kept for these weights and facts; None where there is nothing, or nothing that can be trusted."""
        try:
            if not self._worth_it() or not self._ours():
                return None
            path = self._path()
            if not path.is_file():  # nor a pipe, which would keep the run waiting
                return None
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except (OSError, BatchError) as error:
            log.info("the compiled network can't be read, and is made anew: %s", error)
            return None
        blob = data[_CHECKSUM:]
        if hashlib.sha256(blob).digest() != data[:_CHECKSUM]:
            log.info("the compiled network in %s is damaged, and is made anew", self._path())
            return None
        return blob

    def write(self, export: Callable[[], bytes]) -> None:
        """Keep what `export` gives, if there is a place for it; nothing is raised."""
        try:
            if not self._worth_it():
                return
            # Nobody else's to write to from the start, whatever the umask says.
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not self._ours() or not os.access(self._folder, os.W_OK):
                return
            atomic.sweep(self._folder)
            blob = export()
            atomic.write_atomic(self._path(), hashlib.sha256(blob).digest() + blob)
            self._thin_out()
        except Exception as error:  # noqa: BLE001  # a favour to the next run must not cost this one anything
            log.info("the compiled network can't be kept for the next run: %s", error)

    def _worth_it(self) -> bool:
        return self._weights.stat().st_size <= _LARGEST

    def _ours(self) -> bool:
        """Whether nobody else can put files into the folder.

        The weights' sha256 is known beforehand; a blob has only its own word, and a runtime trusts what it takes in.
        """
        if not hasattr(os, "geteuid"):  # Windows, where the user's cache is the user's own
            return True
        status = self._folder.stat()
        return status.st_uid == os.geteuid() and not status.st_mode & 0o022

    def _path(self) -> Path:
        facts = [weights.digest(self._weights), dict(self._facts)]
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return self._folder / f"{self._weights.stem}-{key}{_SUFFIX}"

    def _thin_out(self) -> None:
        stem = f"{self._weights.stem}-"
        kept = [one for one in self._folder.iterdir() if _KEY.fullmatch(one.name.removeprefix(stem))]
        for old in sorted(kept, key=lambda one: one.stat().st_mtime_ns, reverse=True)[_AT_MOST:]:
            old.unlink()
