"""Pictures that lie in a file where all workers reach them, in the place of their bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from batch_removebg.errors import SourceError
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Reference

from .atomic import disk_errors, temp_name


@dataclass(frozen=True, slots=True)
class Spooled(Reference):
    """A file's bytes as they were when they were hashed."""

    path: Path
    sha256: str
    size: int

    @staticmethod
    def of(folder: Path, data: bytes, *, durable: bool = False) -> Spooled:
        """The bytes in a file of their own, which whoever uses it up moves or removes; raises DiskError. Blocks."""
        path = folder / temp_name()
        # The folder is never created here: that of a run that has ended is gone.
        with disk_errors(path), path.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        return Spooled(path, sha256_hex(data), len(data))

    def __len__(self) -> int:
        return self.size

    def drop(self, folder: Path) -> None:
        """Remove the file, if it is one of that folder."""
        if self.path.parent == folder:
            self.path.unlink(missing_ok=True)

    def read(self) -> bytes:
        """The bytes; raises SourceError where they can't be read, or are others now. Blocks."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise SourceError(f"can't be read: {error.strerror or error}") from error
        if sha256_hex(data) != self.sha256:
            raise SourceError("changed while it was being done; run again to do it anew")
        return data


Held = bytes | Spooled


def loaded(held: Held) -> bytes:
    """The bytes; raises as `Spooled.read`. Blocks where they lie in a file."""
    return held if isinstance(held, bytes) else held.read()
