"""What predictions have bought: the alphas, kept under `OUT/.batch-removebg/alpha` by their fingerprint.

Another format, size or background later costs no new prediction, and the same content under two names costs one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batch_removebg.errors import OutputBroken
from batch_removebg.files import disk_errors, make_folder, write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from batch_removebg.pixels.decode import Told


class Alphas:
    """A folder of alphas; its methods block and belong in threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, fingerprint: str) -> bool:
        """Whether an alpha is kept under the fingerprint; it may turn out to be damaged."""
        return self._path(fingerprint).is_file()

    def load(self, fingerprint: str) -> NDArray[np.uint8] | None:
        """The alpha (H×W, uint8), or None where none is kept or it is damaged."""
        from batch_removebg.pixels import decode

        try:
            return decode.decode_alpha(self._path(fingerprint).read_bytes())
        except (OSError, OutputBroken):
            return None

    def told(self, fingerprint: str) -> Told:
        """What is told of that alpha; nothing where none is kept, or where it came without."""
        from batch_removebg.pixels import decode

        try:
            return decode.told_of(self._path(fingerprint).read_bytes())
        except (OSError, OutputBroken):
            return decode.Told()

    def keep(self, fingerprint: str, alpha: NDArray[np.uint8], told: Told | None = None) -> None:
        """Keep an alpha (H×W, uint8) durably, with what is told of it; raises DiskError."""
        from batch_removebg.pixels import decode

        path = self._path(fingerprint)
        with disk_errors(self._folder):
            self._folder.stat()  # never created here: see `files.inside`
        make_folder(path.parent)
        write_atomic(path, decode.encode_alpha(alpha, told))

    def _path(self, fingerprint: str) -> Path:
        return self._folder / fingerprint[:2] / f"{fingerprint}.png"
