"""Words on stderr: levels, JSON lines, harmless whatever they hold, and never the end of a run."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

import pytest

from batch_removebg.cli.console import Console, Repeats, logged, printable, result, unheard, write_line
from batch_removebg.errors import DiskError

HOSTILE = "a\x1b[2J\r\x07\x7f\x9b31m\u202eb\u2028c\udc80"


class Full(io.StringIO):
    """A stream that fails as a full disk does."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def deserted() -> TextIO:
    """The writing end of a pipe that nobody reads any more; its buffer fails at once."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


def say_everything(console: Console) -> None:
    console.error("e")
    console.warning("w")
    console.info("i")
    console.detail("d")


@pytest.mark.parametrize(
    ("verbosity", "said"),
    [
        (-2, "error: e\n"),
        (-1, "error: e\n"),
        (0, "error: e\nwarning: w\ni\n"),
        (1, "error: e\nwarning: w\ni\nd\n"),
    ],
)
def test_what_is_said_depends_on_how_much_was_asked_for(verbosity: int, said: str) -> None:
    stream = io.StringIO()
    say_everything(Console(verbosity=verbosity, stream=stream))
    assert stream.getvalue() == said


def test_the_default_stream_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say_everything(Console())
    assert capsys.readouterr() == ("", "error: e\nwarning: w\ni\n")


@pytest.mark.parametrize(
    ("json_lines", "written"), [(False, "<3>error: two\n<3>lines\n<6>done\n"), (True, '<3>{"t": "…"}\n<6>{"t": "…"}\n')]
)
def test_lines_for_the_journal_begin_with_their_priority_and_those_for_others_do_not(
    json_lines: bool, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, expected in (("journal", written), ("file", re.sub("^<.>", "", written, flags=re.MULTILINE))):
        with (tmp_path / name).open("w+", encoding="utf-8") as stream:
            if name == "journal":
                found = os.fstat(stream.fileno())
                monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
            console = Console(json_lines=json_lines, stream=stream)
            console.error("two\nlines")
            console.info("done")
            stream.seek(0)
            assert re.sub("(?<={).*(?=})", '"t": "…"', stream.read()) == expected


def test_json_lines_hold_stamp_level_event_and_message() -> None:
    stream = io.StringIO()
    console = Console(json_lines=True, verbosity=1, stream=stream)
    say_everything(console)
    console.error("two\nlines of 鞋 " + HOSTILE)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["message"]) for line in found] == [
        ("error", "e"),
        ("warning", "w"),
        ("info", "i"),
        ("detail", "d"),
        ("error", "two\nlines of 鞋 " + HOSTILE),
    ]
    for line in found:
        assert list(line) == ["ts", "level", "event", "msg", "t", "message"]
        assert datetime.fromisoformat(line["ts"]).utcoffset() == timedelta(0)
        assert (line["t"], line["message"], line["event"]) == (line["ts"], line["msg"], line["level"])
    assert stream.getvalue().replace("\n", "").isprintable()


def test_json_lines_name_event_item_and_run_where_there_are_any() -> None:
    stream = io.StringIO()
    console = Console(json_lines=True, stream=stream)
    console.run = "c0ffee"
    console.warning("a.jpg: is small", event="warning", item="a.jpg")
    line = json.loads(stream.getvalue())
    assert list(line) == ["ts", "level", "event", "run", "msg", "item", "t", "message"]
    assert (line["event"], line["item"], line["run"]) == ("warning", "a.jpg", "c0ffee")


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f45e", "\n"])
def test_no_json_line_is_longer_than_log_drivers_take_and_both_ends_of_the_text_stay(letter: str) -> None:
    stream = io.StringIO()
    Console(json_lines=True, stream=stream).error(f"begins {letter * 50_000} ends", item=letter * 50_000)
    assert len(stream.getvalue().encode()) <= 16 << 10
    said = json.loads(stream.getvalue())["msg"]
    assert said.startswith(f"begins {letter}")
    assert said.endswith(f"{letter} ends")
    assert len(stream.getvalue()) > 5_000


@pytest.mark.parametrize("level", ["error", "warning", "info", "detail"])
def test_control_characters_never_reach_the_terminal(level: str) -> None:
    stream = io.StringIO()
    getattr(Console(verbosity=1, stream=stream), level)(f"{HOSTILE}\nsecond line")
    first, second = stream.getvalue().splitlines()
    assert first.endswith(r"a\x1b[2J\r\x07\x7f\x9b31m\u202eb\u2028c\udc80")
    assert second == "second line"


def test_printable_keeps_what_can_be_read_and_shows_the_rest() -> None:
    assert printable("Schuh 鞋 👟 – “x”") == "Schuh 鞋 👟 – “x”"
    assert printable("a\nb\tc") == r"a\nb\tc"


@pytest.mark.parametrize(
    ("encoding", "written"), [("ascii", rb"\xe9\u978b"), ("latin-1", b"\xe9\\u978b"), ("utf-8", "é鞋".encode())]
)
def test_what_a_stream_cannot_say_is_spelled_out(encoding: str, written: bytes) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    write_line("é鞋", stream)
    assert raw.getvalue() == written + os.linesep.encode()


def test_a_stream_without_an_encoding_gets_the_text_as_it_is() -> None:
    stream = io.StringIO()
    write_line("é", stream)
    assert stream.getvalue() == "é\n"


def test_a_line_is_one_write_so_that_lines_of_threads_do_not_mix() -> None:
    written: list[str] = []

    class Recording(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    write_line("one", Recording())
    assert written == ["one\n"]


def test_a_terminal_that_has_gone_does_not_end_a_nights_run(deserted: TextIO) -> None:
    console = Console(stream=deserted)
    console.error("nobody reads this")
    console.error("nor this")
    deserted.close()  # what it still held would fail here


def test_a_full_disk_under_stderr_does_not_end_it_either() -> None:
    Console(stream=Full()).error("told to nobody")


def test_unheard_lets_other_errors_through() -> None:
    with pytest.raises(ValueError, match="not about the stream"), unheard(io.StringIO()):
        raise ValueError("not about the stream")


def test_results_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    result("out/results.json")
    assert capsys.readouterr() == ("out/results.json\n", "")


def test_a_reader_who_has_all_he_wanted_is_no_error(deserted: TextIO) -> None:
    result("first", deserted)
    result("second", deserted)
    deserted.close()


def test_results_that_cannot_be_kept_are_a_disk_error() -> None:
    with pytest.raises(DiskError, match=r"^stdout can't be written: No space left on device$"):
        result("out/results.json", Full())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_device_fails_once_and_not_again_when_the_process_leaves() -> None:
    stream = Path("/dev/full").open("w")  # noqa: SIM115  # closing it is what is looked at
    with pytest.raises(DiskError):
        result("x" * 10_000, stream)
    stream.close()


def test_a_flood_of_log_lines_is_one_line_from_each_place_and_a_count() -> None:
    stream, now = io.StringIO(), 0.0
    log = logging.getLogger("flood")
    with logged(Console(stream=stream), now=lambda: now):
        for now in (0.0, 1.0, 59.0, 119.0):
            log.warning("refused %s", now)
            log.error("a bug at %s", now)
            log.info("nothing")
    log.warning("later")
    assert stream.getvalue() == (
        "warning: refused 0.0\nerror: a bug at 0.0\n"
        "warning: 2 more like this, and none for a minute: refused …\nwarning: refused 119.0\n"
        "error: 2 more like this, and none for a minute: a bug at …\nerror: a bug at 119.0\n"
    )


def test_a_warning_is_said_once_and_counted_until_none_came_for_a_minute() -> None:
    said: list[str] = []
    now = 0.0
    repeats = Repeats(lambda text, **_: said.append(text), lambda: now)
    for now in (0.0, 30.0, 80.0):
        repeats.warn(f"no answer from https://api.example/v{now}; the run pauses for {now} s")
    repeats.warn("the photo's profile was left out", "a.jpg")
    assert said == [
        "no answer from https://api.example/v0.0; the run pauses for 0.0 s",
        "a.jpg: the photo's profile was left out",
    ]
    now = 139.0
    repeats.settle()
    assert len(said) == 2
    now = 140.0
    repeats.settle()
    over = "2 more like this, and none for a minute: no answer from … the run pauses for … s"
    assert said[2:] == [over]
    repeats.warn("the photo's profile was left out", "b.jpg")
    repeats.warn("the photo's profile was left out", "c.jpg")
    repeats.settle(ended=True)
    assert said[3:] == ["b.jpg: the photo's profile was left out", "1 more like this: the photo's profile was left out"]
