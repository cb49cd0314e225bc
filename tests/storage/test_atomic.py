from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batch_removebg.errors import DiskError, SourceError
from batch_removebg.storage import atomic
from batch_removebg.storage.atomic import (
    digest,
    disk_errors,
    fsync_dir,
    make_folder,
    move_beside,
    signature,
    sweep,
    write_atomic,
)

TEMP = re.compile(r"\.[0-9a-f]{16}\.batch-removebg\.tmp")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def inside(root: Path, name: str) -> Path:
    return Path(atomic.inside(root, name, {}))


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the disk, in order."""
    made: list[str] = []

    def watched(name: str, real: Callable[..., object], describe: Callable[..., str]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            result = real(*args, **kwargs)
            made.append(f"{name} {describe(*args)}")
            return result

        return call

    def of_descriptor(descriptor: int) -> str:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        return "temp" if TEMP.fullmatch(name) else name

    monkeypatch.setattr(os, "fsync", watched("fsync", os.fsync, of_descriptor))
    monkeypatch.setattr(os, "replace", watched("rename", os.replace, lambda _, target: Path(target).name))
    monkeypatch.setattr(Path, "mkdir", watched("mkdir", Path.mkdir, lambda path, *_: path.name))
    return made


def test_a_name_appears_only_after_its_bytes_are_on_disk_and_is_then_made_durable(
    tmp_path: Path, calls: list[str]
) -> None:
    write_atomic(tmp_path / "a.png", b"picture")
    assert calls == ["fsync temp", "rename a.png", f"fsync {tmp_path.name}"]
    assert (tmp_path / "a.png").read_bytes() == b"picture"
    assert names(tmp_path) == ["a.png"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def parts() -> Iterator[bytes]:
        yield b"ne"
        assert target.read_bytes() == b"old"
        [temp] = set(names(tmp_path)) - {"a.png"}
        assert TEMP.fullmatch(temp)
        assert (tmp_path / temp).read_bytes() == b"ne"
        yield b"w"

    write_atomic(target, parts())
    assert target.read_bytes() == b"new"


def test_a_new_file_has_the_rights_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a.png", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, ConnectionResetError])
def test_parts_that_fail_leave_nothing_behind_and_keep_their_error(tmp_path: Path, fault: type[BaseException]) -> None:
    def parts() -> Iterator[bytes]:
        yield b"half"
        raise fault

    with pytest.raises(fault):
        write_atomic(tmp_path / "a.png", parts())
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_a_full_disk_while_writing_is_a_disk_error_that_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(DiskError, match=r"a\.png can't be written: the disk is full; make room"):
        write_atomic(tmp_path / "a.png", b"x" * size)
    assert names(tmp_path) == []


def test_what_the_system_takes_in_parts_arrives_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_atomic(tmp_path / "a.png", b"0123456789")
    assert (tmp_path / "a.png").read_bytes() == b"0123456789"


def test_a_full_disk_at_the_fsync_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DiskError, match="make room"):
        write_atomic(tmp_path / "a.png", b"x")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        (errno.ENOSPC, DiskError, "the disk is full; make room, then run the same command again"),
        (errno.EDQUOT, DiskError, "quota"),
        (errno.EROFS, DiskError, "read-only"),
        (errno.EACCES, DiskError, "permission"),
        (errno.EMFILE, DiskError, "--concurrency"),
        (errno.EIO, DiskError, "Input/output error; check the disk"),
        (errno.ENAMETOOLONG, SourceError, "shorter"),
        (errno.EILSEQ, SourceError, "plainer"),
    ],
)
def test_every_disk_error_names_the_path_and_what_to_do(number: int, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught, disk_errors(Path("out/a.png")):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith("out/a.png can't be written: ")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_missing_folder_is_a_disk_error_and_an_overlong_name_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="the folder is gone"):
        write_atomic(tmp_path / "gone" / "a.png", b"")
    with pytest.raises(SourceError, match="shorter"):
        write_atomic(tmp_path / ("a" * 300), b"")
    assert names(tmp_path) == []


def test_a_file_system_that_can_not_fsync_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(number: int) -> Callable[[int], None]:
        def fsync(_: int) -> None:
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    fsync_dir(tmp_path)
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(DiskError):
        fsync_dir(tmp_path)


def test_new_folders_are_durable_before_a_file_is_put_into_them(tmp_path: Path, calls: list[str]) -> None:
    root = tmp_path / "out"
    make_folder(root)
    path = inside(root, "a/b/shoe.png")
    assert path == root / "a/b/shoe.png"
    assert calls == ["mkdir out", f"fsync {tmp_path.name}", "mkdir a", "fsync out", "mkdir b", "fsync a"]
    calls.clear()
    assert inside(root, "a/b/shoe.png") == path
    assert calls == []


def test_an_out_that_is_gone_is_never_created_anew(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="the folder is gone"):
        inside(tmp_path / "out", "a.png")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../a.png", "a/../../b.png", "/etc/passwd", "a\0b"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="is not a name inside"):
        inside(tmp_path / "out", name)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["link/a.png", "sub/link/new/a.png", "link"])
def test_a_planted_symlink_never_leads_outside(tmp_path: Path, name: str) -> None:
    root, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (root / "sub").mkdir(parents=True)
    elsewhere.mkdir()
    (root / "link").symlink_to(elsewhere)
    (root / "sub" / "link").symlink_to("../../elsewhere")
    with pytest.raises(SourceError, match="leads outside"):
        inside(root, name)
    assert names(elsewhere) == []


def test_symlinks_inside_out_and_out_itself_as_one_are_fine(tmp_path: Path) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "out").symlink_to("disk")
    (tmp_path / "disk" / "link").symlink_to("real")
    write_atomic(inside(tmp_path / "out", "link/a.png"), b"x")
    assert (tmp_path / "disk/real/a.png").read_bytes() == b"x"


def test_a_link_in_a_circle_is_one_items_matter(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(SourceError):
        inside(tmp_path, "circle/a.png")


def test_what_is_in_the_way_is_one_items_matter(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"file")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(SourceError, match="a file of that name is in the way"):
        inside(tmp_path, "a/b.png")
    with pytest.raises(SourceError, match="a folder of that name is in the way"):
        inside(tmp_path, "b.png")
    with pytest.raises(SourceError, match="shorter"):
        inside(tmp_path, f"{'x' * 300}/b.png")
    with pytest.raises(DiskError, match="a file"):
        make_folder(tmp_path / "a" / "sub")


def test_the_sweep_takes_our_temp_files_and_nothing_else(tmp_path: Path) -> None:
    ours = [".0123456789abcdef.batch-removebg.tmp", "sub/.fedcba9876543210.batch-removebg.tmp"]
    others = ["a.png", ".x.tmp", ".0123456789abcdef.tmp", "0123456789abcdef.batch-removebg.tmp", "sub/b.tmp"]
    (tmp_path / "sub").mkdir()
    for name in ours + others:
        (tmp_path / name).touch()
    assert sweep(tmp_path) == 2
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        others
    )
    assert sweep(tmp_path / "gone") == 0


def test_a_killed_run_leaves_no_target_and_the_sweep_takes_what_it_left(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, pathlib\nfrom batch_removebg.storage import atomic\n"
        "def parts():\n"
        "    yield bytes(100_000)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic.write_atomic(pathlib.Path(sys.argv[1]), parts())\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.png")], check=False)
    assert killed.returncode == -signal.SIGKILL
    [left] = names(tmp_path)
    assert TEMP.fullmatch(left)
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20])
def test_the_digest_is_the_sha256_of_all_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(os.urandom(size))
    assert digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_signature_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    before = signature(path)
    status = path.stat()
    assert before == f"3:{status.st_mtime_ns}:{status.st_ctime_ns}"
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert signature(path) != before


@pytest.mark.parametrize("read", [digest, signature])
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path, read: Callable[[Path], str]) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SourceError, match="a pipe"):
        read(tmp_path / "pipe.jpg")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "gone.jpg")


def test_a_file_that_is_moved_beside_others_keeps_its_tree_and_overwrites_none(tmp_path: Path) -> None:
    source, to = tmp_path / "a.jpg", tmp_path / "done"
    for nth in range(3):
        source.write_text(str(nth))
        move_beside(source, to, "sub/a.jpg")
    assert {path.name: path.read_text() for path in (to / "sub").iterdir()} == {
        "a.jpg": "0",
        "a-2.jpg": "1",
        "a-3.jpg": "2",
    }
    assert not source.exists()
