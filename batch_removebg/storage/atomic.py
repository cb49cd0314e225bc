"""Durable, atomic writes: temp file beside the target, fsync, rename, fsync of the folder. Nothing else renames."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import re
import stat
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from batch_removebg.errors import BatchError, DiskError, SourceError

_TEMP_NAME = re.compile(r"\.[0-9a-f]{16}\.batch-removebg\.tmp")
_BLOCK = 1 << 20
_AGAIN = "then run the same command again"
_REMEDIES = {
    errno.ENOSPC: f"the disk is full; make room, {_AGAIN}; if there is room, it is out of inodes (`df -i`)",
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


class disk_errors:
    """Converts an OSError while `path` is written into a DiskError with a remedy, SourceError for a name refused."""

    __slots__ = ("_path",)  # a class enters in a third of a generator's time, and there are several for each picture

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            if error.errno in _NAME_REFUSED:
                remedy = f"{reason}; give the item a shorter, plainer name"
                raise SourceError(f"{self._path} can't be written: {remedy}.") from error
            remedy = _REMEDIES.get(error.errno or 0, f"{reason}; check the disk, {_AGAIN}")
            raise DiskError(f"{self._path} can't be written: {remedy}.") from error


def write_atomic(path: Path, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
    """Write `data`, whole or in parts, durably: readers see the old file or the new one, errors leave nothing.

    What needn't be `durable` is quicker, and a power cut may leave it torn. Raises DiskError, or SourceError where the
    file system refuses the name; errors of an iterable pass unchanged.
    """
    _replace(path, (data,) if isinstance(data, bytes) else data, durable=durable)
    if durable:
        fsync_dir(path.parent)


def write_all(root: Path, files: Sequence[tuple[str, bytes | Path]]) -> list[BatchError | None]:
    """Write each (name, data) to `root/name`, see `inside`, one fsync a folder; returns an error or None for each.

    A durable file in the place of data is moved there.
    """
    errors: list[BatchError | None] = [None] * len(files)
    folders: dict[str, list[int]] = {}
    known: dict[str, str] = {}
    for place, (name, data) in enumerate(files):
        try:
            path = inside(root, name, known)
            if isinstance(data, bytes):
                _replace(path, (data,))
            else:
                with disk_errors(path):
                    data.replace(path)
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


def _replace(path: Path | str, parts: Iterable[bytes], *, durable: bool = True) -> None:
    """Write a temp file and rename it to `path`: its bytes are durable afterwards, its name is not yet."""
    # In few system calls: each releases the interpreter's lock and then waits to get it back.
    folder = os.path.dirname(path)  # noqa: PTH120
    temp = f"{folder}{os.sep if folder else ''}{temp_name()}"
    with disk_errors(path):
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            for data in parts:
                with disk_errors(path):
                    written = os.write(descriptor, data)
                    while written < len(data):  # a signal or a system limit can cut a write short
                        written += os.write(descriptor, data[written:])
            if durable:
                with disk_errors(path):
                    os.fsync(descriptor)
        finally:
            os.close(descriptor)  # Windows renames closed files only
        with disk_errors(path):
            os.replace(temp, path)  # noqa: PTH105  # strings: a Path for each of a million takes as long as the calls
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp)  # noqa: PTH108
        raise


def temp_name() -> str:
    """A name for a file that `sweep` removes if a killed run leaves it."""
    return f".{random.getrandbits(64):016x}.batch-removebg.tmp"  # no secret


def put_aside(path: Path, stamp: str, start: int | None = None) -> Path:
    """Keep the file as an unused `NAME.cut-<time>`, or a copy from `start` on; returns where; raises DiskError."""
    name, number = f"{path.name}.cut-{re.sub('[^0-9TZ]', '', stamp)}", 1
    target = path.with_name(name)
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{name}-{number}")
    with disk_errors(path):
        if start is None:
            path.replace(target)
            fsync_dir(path.parent)
        else:
            with path.open("rb") as file:
                file.seek(start)
                write_atomic(target, iter(partial(file.read, _BLOCK), b""))
    return target


def move(root: Path, name: str, to: Path) -> None:
    """Move `root/name` to `to/name`, durably, and remove folders that are empty then; raises DiskError, SourceError."""
    make_folder(to)
    source, target = root / name, inside(to, name, {})
    with disk_errors(source):
        source.replace(target)
    fsync_dir(Path(target).parent)
    with contextlib.suppress(OSError):  # one that isn't empty
        for folder in source.parents[: name.count("/")]:
            fsync_dir(folder)
            folder.rmdir()


def move_beside(source: Path, to: Path, name: str) -> None:
    """Move a file to `to/name`, durably, with a number where that is taken; raises DiskError, SourceError."""
    make_folder(to)
    stem, ending = os.path.splitext(name)  # noqa: PTH122
    number, target = 1, inside(to, name, {})
    while os.path.lexists(target):
        number += 1
        target = inside(to, f"{stem}-{number}{ending}", {})
    with disk_errors(target):
        source.rename(target)
    fsync_dir(Path(target).parent)
    fsync_dir(source.parent)


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
    """Create the folder `path` and its missing parents, durably; raises DiskError."""
    with disk_errors(path):
        if path.is_dir():
            return
        if path.parent != path:
            make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync_dir(path.parent)


def inside(root: Path, name: str, known: dict[str, str]) -> str:
    """The path `root/name`, its folders created durably below an existing `root`; those in `known` aren't rechecked.

    Raises SourceError where it would leave `root` (`..`, a planted symlink) or something is in the way, or DiskError.
    """
    folder, _, last = name.rpartition("/")
    place = known.get(folder)
    # A plain name in a known folder is joined at once; anything else is taken apart.
    if place is None or not last or last in (".", "..") or "\0" in last or "\\" in last or ":" in last:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or "\0" in name or Path(name).is_absolute() or Path(name).drive:
            raise SourceError(f"{name!r} is not a name inside {root}.")
        _make_folders(root, parts[:-1])
        place, last = str(root.joinpath(*parts[:-1])), parts[-1]
        if "/".join(parts[:-1]) == folder:
            known[folder] = place
    path = f"{place}{os.sep}{last}"
    with disk_errors(path):
        try:
            status = os.lstat(path)
        except FileNotFoundError:  # the usual case
            return path
        if stat.S_ISLNK(status.st_mode):
            _require_inside(Path(path), root)
        if Path(path).is_dir():
            raise SourceError(
                f"{path} can't be written: a folder of that name is in the way; move it or choose another name."
            )
    return path


def _make_folders(root: Path, parts: Sequence[str]) -> None:
    with disk_errors(root):
        root.stat()  # never created here: a folder removed during a run must end it, not be filled without its ledger
    folder = root
    for part in parts:
        folder = folder / part
        with disk_errors(folder):
            _require_inside(folder, root)
            if os.path.lexists(folder) and not folder.is_dir():
                raise SourceError(f"{folder} must be a folder, but a file of that name is in the way; move it away.")
        make_folder(folder)


def _require_inside(path: Path, root: Path) -> None:
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise SourceError(f"{path} is a symlink that leads outside {root}; remove it, nothing was written there.")


def sweep(root: Path) -> int:
    """Remove the temp files that a killed run left anywhere below `root`; returns their number."""
    removed = 0
    for folder, _, names in os.walk(root):
        for name in filter(_TEMP_NAME.fullmatch, names):
            with contextlib.suppress(OSError):
                Path(folder, name).unlink()
                removed += 1
    return removed


def digest(path: Path) -> str:
    """A file's SHA-256, in hex; raises OSError unconverted, SourceError for a pipe or a device, which may never end."""
    _regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def signature(path: Path) -> str:
    """`size:mtime_ns:ctime_ns`, which changes whenever the file does; raises like `digest`."""
    status = _regular(path)
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _regular(path: Path) -> os.stat_result:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{str(path)!r} is not a regular file but a folder, a pipe or a device.")
    return status
