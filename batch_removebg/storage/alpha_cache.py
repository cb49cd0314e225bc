"""Cache of purchased alphas: another format, size or background later, or the same content, needs no new prediction."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .atomic import disk_errors, make_folder, write_atomic


@dataclass(frozen=True, slots=True)
class AlphaCache:
    """A folder of encoded mattes; its methods block and belong in threads."""

    folder: Path

    def has(self, fingerprint: str) -> bool:
        """Whether a file exists for the fingerprint; it may turn out to be damaged."""
        return self._path(fingerprint).is_file()

    def load(self, fingerprint: str) -> bytes | None:
        """The encoded matte, or None."""
        try:
            return self._path(fingerprint).read_bytes()
        except OSError:
            return None

    def keep(self, fingerprint: str, data: bytes) -> None:
        """Store an encoded matte durably; raises DiskError."""
        path = self._path(fingerprint)
        with disk_errors(self.folder):
            self.folder.stat()  # never created here: see `atomic._make_folders`
        make_folder(path.parent)
        write_atomic(path, data)

    def set_aside(self, fingerprint: str) -> None:
        """Give one another name, by which it isn't found."""
        path = self._path(fingerprint)
        with suppress(OSError):
            path.replace(path.with_suffix(".was"))

    def _path(self, fingerprint: str) -> Path:
        return self.folder / fingerprint[:2] / f"{fingerprint}.png"
