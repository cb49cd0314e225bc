"""The reader as a whole: its checks, its memory, and any bytes at all."""

from __future__ import annotations

import gzip
import io
import json
import pathlib
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import ManifestError
from batch_removebg.manifest.columns import Choice
from batch_removebg.manifest.reader import Reading, check
from batch_removebg.manifest.text import lines
from tests.support.items import buffered, read
from tests.support.listings import here, ids, make

__all__ = ["here"]

SAMPLES = Path(__file__).parents[2] / "samples"


# The reader as a whole


@pytest.mark.parametrize(
    ("inputs", "stdin"),
    [([], b""), (["empty"], b""), (["-"], b"# nothing\n"), (["a.csv"], b""), (["a.csv", "-"], b"\n")],
)
def test_nothing_to_do_is_an_error(inputs: list[str], stdin: bytes) -> None:
    Path("empty").mkdir()
    Path("a.csv").write_text("image,id\n")
    with pytest.raises(ManifestError, match="nothing to do"):
        list(read(inputs, out=None, stdin=buffered(stdin)))


def test_the_check_finds_a_bad_manifest_before_anything_is_bought() -> None:
    make(*(f"photos/{number}.jpg" for number in range(20)))
    Path("a.csv").write_text("image,id\n" + "".join(f"{number}.jpg,{number}\n" for number in range(20)) + "b.jpg,1,2\n")
    strict = Choice(strict=True)
    assert check(["a.csv"], Reading(strict), rows=19) is None
    with pytest.raises(ManifestError, match=r"a\.csv:22"):
        check(["a.csv"], Reading(strict))
    with pytest.raises(ManifestError, match=r"a\.csv:22"):
        check(["photos", "a.csv"], Reading(strict), rows=21)
    assert check(["a.csv"], Reading()) == 21
    with pytest.raises(ManifestError, match="nothing to do"):
        check([], Reading())
    with pytest.raises(ManifestError, match="does not exist"):
        check(["-", "gone.csv"], Reading())


def test_the_check_counts_what_it_has_read_to_the_end_and_shows_each_item() -> None:
    make("photos/a.jpg", "photos/b.jpg")
    shown: list[str] = []
    assert check(["photos"], Reading(), look=lambda item: shown.append(item.id)) == 2
    assert shown == ["a.jpg", "b.jpg"]
    assert check(["photos"], Reading(), rows=2) == 2
    assert check(["photos"], Reading(), rows=1) is None


def test_names_of_single_pictures_start_below_their_folder_and_those_of_globs_below_the_first_wildcard() -> None:
    make("p/x/main.jpg", "p/y/main.jpg")
    assert [item.name for item in read(["p/x/main.jpg"], out=None)] == ["main.jpg"]
    assert [item.name for item in read([f"{Path.cwd()}/p/x/main.jpg"], out=None)] == ["main.jpg"]
    assert [item.name for item in read(["p/*/main.jpg"], out=None)] == ["x/main.jpg", "y/main.jpg"]
    assert [item.name for item in read(["p/**/*.jpg"], out=None)] == ["x/main.jpg", "y/main.jpg"]


def test_the_check_leaves_stdin_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    check(["-"], Reading())
    Path("a.csv").write_text("image\n")
    check(["a.csv", "-"], Reading())


def test_an_abandoned_reader_lets_go_of_its_file() -> None:
    Path("a.txt").write_text("a.jpg\nb.jpg\n")
    items = read(["a.txt"], out=None)
    assert next(items).id == "a.jpg"
    del items  # a ResourceWarning would be an error


class Endless(io.RawIOBase):
    """A list of pictures without an end."""

    def __init__(self) -> None:
        self._numbers = iter(range(1 << 60))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # narrower than Buffer
        line = b"%d.jpg\n" % next(self._numbers)
        buffer[: len(line)] = line
        return len(line)


def test_a_list_without_an_end_is_read_lazily_in_few_bytes_a_row() -> None:
    items = read(["-"], out=None, stdin=io.BufferedReader(Endless()))
    next(items)
    tracemalloc.start()
    try:
        for _ in range(2_000):
            next(items)
        # pathlib interns names: where the interpreter's table of them has to grow, that is no row's cost.
        kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
        size = sum(trace.size for trace in kept.traces)
    finally:
        tracemalloc.stop()
    assert size / 2_000 < 250


FRAGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            [b"image", b"id", b"output", b"a.jpg", b"https://h/", b"data:", b'{"image":', b"}", b'"', b"#"]
        ),
        st.sampled_from(
            [b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\\ud83d", b"[["]
        ),
        st.binary(max_size=4),
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FRAGMENTS, st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.txt", "a.csv.gz", "-"]), st.booleans())
@example(b'{"image": "x", "y": "\\ud83d\\ude00"}', "-", False)
def test_any_bytes_give_items_or_a_manifest_error(content: bytes, name: str, with_header: bool) -> None:
    data = b"image,id,output\n" + content if with_header else content
    if name != "-":
        Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    try:
        items = list(read([name], out=None, stdin=buffered(data)))
    except ManifestError as error:
        str(error).encode()
        return
    for item in items:
        json.dumps([item.id, item.source, item.origin, dict(item.meta)], ensure_ascii=False, allow_nan=False).encode()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_called_gz_give_a_manifest_error(content: bytes) -> None:
    Path("b.jsonl.gz").write_bytes(content)
    with pytest.raises(ManifestError):
        ids("b.jsonl.gz")


def test_lines_keep_their_ends_and_leave_the_stream_open() -> None:
    stream = buffered(b"\xef\xbb\xbfa\r\nb\rc")
    assert list(lines(stream, "x")) == ["a\r\n", "b\r", "c"]
    assert not stream.closed
    stream.seek(0)
    with closing(lines(stream, "x")) as some:  # type: ignore[type-var]  # a generator by construction
        next(some)
    assert not stream.closed


# The samples


@pytest.mark.parametrize("name", ["catalogue.csv", "catalogue.jsonl"])
def test_the_samples_name_pictures_that_are_there(name: str) -> None:
    items = list(read([str(SAMPLES / name)], out=None))
    assert len(items) >= 3
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert item.path is not None
        assert item.path.is_file(), item.path
        assert item.meta["title"]
