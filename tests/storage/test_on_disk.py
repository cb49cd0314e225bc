"""A data URI on disk is what it was, and leaves nothing behind."""

from pathlib import Path

import pytest

from batch_removebg.errors import DiskError
from batch_removebg.storage import on_disk
from batch_removebg.storage.atomic import sweep

URI = "data:image/png;base64," + "iVBORw0KGgo" * 10_000


def test_a_data_uri_on_disk_is_read_as_it_was(tmp_path: Path) -> None:
    waiting = on_disk.put(tmp_path, URI + "\ufffd")
    assert on_disk.read(waiting.path) == URI + "\ufffd"
    assert len(waiting) < 200


def test_its_stand_in_is_equal_where_the_data_are(tmp_path: Path) -> None:
    one, same, other = (on_disk.put(tmp_path, uri) for uri in (URI, URI, URI + "="))
    assert len({one, same, other, on_disk.stand_in(URI)}) == 2
    assert one.startswith("data:image/png;base64,")


def test_its_file_goes_with_the_last_who_holds_it(tmp_path: Path) -> None:
    waiting = on_disk.put(tmp_path, URI)
    held = [waiting]
    del waiting
    assert on_disk.read(held[0].path) == URI
    held.clear()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_leaves_is_swept(tmp_path: Path) -> None:
    waiting = on_disk.put(tmp_path, URI)
    assert sweep(tmp_path) == 1
    with pytest.raises(DiskError):
        on_disk.read(waiting.path)


def test_a_folder_that_is_gone_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        on_disk.put(tmp_path / "gone", URI)
