"""Files that survive a power cut: the only module that renames or fsyncs.

The order is write, flush, fsync, rename, fsync of the folder. Until the rename the data lies beside its target in a
temp file; after the last step the target is durable under its final name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import random
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from batch_removebg.errors import BatchError, DiskError, SourceError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_TEMP_NAME = re.compile(r"\.[0-9a-f]{16}\.batch-removebg\.tmp")
_AGAIN = "then run the same command again"
_REMEDIES = {
    errno.ENOSPC: f"the disk is full; make room, {_AGAIN}",
    errno.EDQUOT: f"the disk quota is used up; make room or raise it, {_AGAIN}",
    errno.EROFS: "the file system is read-only; mount it writable or choose another --out",
    errno.EACCES: f"permission is denied; give yourself the right to write there, {_AGAIN}, or choose another --out",
    errno.EPERM: f"the operation is not permitted; give yourself the right to write there, {_AGAIN}",
    errno.ENOENT: f"the folder is gone; bring it back (a drive that was unplugged?), {_AGAIN}",
    errno.EEXIST: "a file of that name is in the way; move it away or choose another --out",
    errno.ENOTDIR: "a file is in the way where a folder is needed; move it away or choose another --out",
    errno.EFBIG: "the file is too large for this file system; choose another --out",
    errno.EMFILE: f"too many files are open; lower --concurrency or raise `ulimit -n`, {_AGAIN}",
    errno.ENFILE: f"too many files are open on this machine; close some programs, {_AGAIN}",
}
_NAME_REFUSED = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})
_FOLDER_FSYNC_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS})


@contextlib.contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError met while writing `path` into a DiskError that says what to do.

    A name the file system refuses is one item's matter: SourceError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NAME_REFUSED:
            raise SourceError(f"{path} can't be written: {reason}; give the item a shorter, plainer name.") from error
        remedy = _REMEDIES.get(error.errno or 0, f"{reason}; see to the disk, {_AGAIN}")
        raise DiskError(f"{path} can't be written: {remedy}.") from error


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` under `path`, durably and in one step: whoever looks sees the old file or the new one.

    Raises DiskError, or SourceError where the file system refuses the name.
    """
    _replace(path, data)
    fsync_dir(path.parent)


def write_all(root: Path, pictures: Sequence[tuple[str, bytes]]) -> list[BatchError | None]:
    """Put each of (name, data) under `root/name` as `inside` and `write_atomic` do, with one fsync for each folder.

    Returns for each what kept it from being durable, or None: one that fails is no other's matter.
    """
    errors: list[BatchError | None] = [None] * len(pictures)
    folders: dict[str, list[int]] = {}
    known: dict[str, str] = {}
    for place, (name, data) in enumerate(pictures):
        try:
            path = _inside(root, name, known)
            _replace(path, data)
        except BatchError as error:
            errors[place] = error
        else:
            folders.setdefault(os.path.dirname(path), []).append(place)  # noqa: PTH120  # as below
    for folder, places in folders.items():
        try:
            fsync_dir(Path(folder))
        except BatchError as error:
            for place in places:
                errors[place] = error
    return errors


def _replace(path: Path | str, data: bytes) -> None:
    """Give `path` a new content; its bytes are durable then, its name is not.

    As few calls of the system as there can be: each lets go of the interpreter, and has to wait to get it back.
    """
    temp = _temp(path)
    with disk_errors(path):
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            try:
                written = os.write(descriptor, data)
                while written < len(data):  # as a signal, or a limit of the system, may have it
                    written += os.write(descriptor, data[written:])
                os.fsync(descriptor)
            finally:
                os.close(descriptor)  # Windows renames closed files only
            os.replace(temp, path)  # noqa: PTH105  # strings: a Path for each of a million takes as long as the calls
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temp)  # noqa: PTH108
            raise


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write to; it becomes `path`, durably, when the block ends well, and vanishes otherwise.

    Writing raises DiskError; other errors of the block pass through as they are.
    """
    temp = Path(_temp(path))
    with disk_errors(path):
        file = io.BufferedWriter(_GuardedFile(temp, path))
    try:
        yield cast("BinaryIO", file)
        with disk_errors(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()  # Windows renames closed files only
            temp.replace(path)
    except BaseException:
        with contextlib.suppress(OSError, DiskError):  # closing flushes once more, and fails once more
            file.close()
        with contextlib.suppress(OSError):
            temp.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def _temp(path: Path | str) -> str:
    folder = os.path.dirname(path)  # noqa: PTH120
    return f"{folder}{os.sep if folder else ''}.{random.getrandbits(64):016x}.batch-removebg.tmp"  # a name, no secret


class _GuardedFile(io.FileIO):
    """A new file whose failed writes name the target: the caller's own OSErrors are not mistaken for them."""

    def __init__(self, temp: Path, target: Path) -> None:
        super().__init__(temp, "xb")
        self._target = target

    def write(self, data: ReadableBuffer, /) -> int:
        with disk_errors(self._target):
            return super().write(data)


def fsync_dir(path: Path) -> None:
    """Make the names in the folder `path` durable, where the system can; raises DiskError."""
    if os.name == "nt":  # folders can't be opened, NTFS journals their changes
        return
    with disk_errors(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except PermissionError:  # a folder may be writable without being readable
            return
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _FOLDER_FSYNC_UNSUPPORTED:
                raise
        finally:
            os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create the folder `path` and what is missing above it, durably; raises DiskError."""
    with disk_errors(path):
        if path.is_dir():
            return
        if path.parent != path:
            make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync_dir(path.parent)


def inside(root: Path, name: str) -> Path:
    """`root/name`, its folders created durably below an existing `root`, ready to be written.

    Raises SourceError where that would leave `root` (`..`, a symlink planted on the way) or something is in the way,
    DiskError where a folder can't be created, or `root` is not there.
    """
    return Path(_inside(root, name, {}))


def _inside(root: Path, name: str, known: dict[str, str]) -> str:
    """The same as a string; folders in `known` are not looked at again."""
    folder, _, last = name.rpartition("/")
    place = known.get(folder)
    # A plain name in a folder that was looked at; anything else is taken apart.
    if place is None or not last or last in (".", "..") or "\0" in last or "\\" in last or ":" in last:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or "\0" in name or Path(name).is_absolute() or Path(name).drive:
            raise SourceError(f"{name!r} is no name inside {root}.")
        _look_at_folders(root, parts[:-1])
        place, last = str(root.joinpath(*parts[:-1])), parts[-1]
        if "/".join(parts[:-1]) == folder:
            known[folder] = place
    path = f"{place}{os.sep}{last}"
    with disk_errors(path):
        try:
            status = os.lstat(path)
        except FileNotFoundError:  # as it mostly is
            return path
        if stat.S_ISLNK(status.st_mode):
            _stays(Path(path), root)
        if Path(path).is_dir():
            raise SourceError(
                f"{path} can't be written: a folder of that name is in the way; move it or choose another name."
            )
    return path


def _look_at_folders(root: Path, parts: Sequence[str]) -> None:
    with disk_errors(root):
        root.stat()  # never created here: a folder removed during a run must end it, not be filled without its ledger
    folder = root
    for part in parts:
        folder = folder / part
        with disk_errors(folder):
            _stays(folder, root)
            _step(folder)


def _stays(path: Path, root: Path) -> None:
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise SourceError(f"{path} is a symlink that leads outside {root}; remove it, nothing was written there.")


def _step(path: Path) -> None:
    """Create one folder, if it is missing."""
    if path.is_dir():
        return
    try:
        path.mkdir()
    except FileExistsError as error:
        if path.is_dir():  # someone else was quicker
            return
        raise SourceError(f"{path} must be a folder, but a file of that name is in the way; move it away.") from error
    fsync_dir(path.parent)


def sweep(root: Path) -> int:
    """Remove the temp files that a killed run left anywhere below `root`; returns how many went."""
    removed = 0
    for folder, _, names in os.walk(root):
        for name in names:
            if _TEMP_NAME.fullmatch(name):
                with contextlib.suppress(OSError):
                    Path(folder, name).unlink()
                    removed += 1
    return removed


def digest(path: Path, chunk: int = 1 << 20) -> str:
    """The SHA-256 of a file's bytes, in hex, read `chunk` bytes at a time.

    Raises OSError as it comes, SourceError for a pipe or a device, on which reading might never end.
    """
    _require_regular(path.stat(), path)
    state = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(chunk):
            state.update(data)
    return state.hexdigest()


def signature(path: Path) -> str:
    """`size:mtime_ns:ctime_ns`: as long as it stays the same, so does the file; raises like `digest`."""
    status = path.stat()
    _require_regular(status, path)
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{str(path)!r} is no file to read from, but a folder, a pipe or a device.")
