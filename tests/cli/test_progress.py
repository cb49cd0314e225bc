"""How a run is shown: the bar, JSON lines, or nothing."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import sys

import pytest

from batch_removebg.cli.console import Console
from batch_removebg.cli.progress import Bar, JsonLines, Silent, Tally, listener, ticking
from batch_removebg.errors import DiskError
from batch_removebg.events import Event, Kind

RUN = [
    Event(Kind.TOTAL, count=4),
    Event(Kind.FOUND, "a"),
    Event(Kind.FOUND, "b"),
    Event(Kind.SKIPPED, "a", text="done"),
    Event(Kind.STARTED, "b"),
    Event(Kind.FOUND, "c"),
    Event(Kind.STARTED, "c"),
    Event(Kind.FAILED, "c", text="is empty", error_kind="source", started=True),
    Event(Kind.SAVED, "b", text="b.png", started=True),
    Event(Kind.FOUND, "d"),
    Event(Kind.STARTED, "d"),
    Event(Kind.PENDING, "d", started=True),
]
TROUBLE = [
    Event(Kind.WAITING, text="429: waiting 5 s"),
    Event(Kind.WARNING, "b", text="the profile was left out"),
    Event(Kind.WARNING, text="list.csv:7: named before"),
    Event(Kind.STOPPING, text="interrupted by SIGINT"),
]
HOSTILE = "x\x1b[2J\n\x9b31m\u202e\udc80"
SHOWN = r"x\x1b[2J\n\x9b31m\u202e\udc80"


class Screen:
    """All that has been written to stderr so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text

    @property
    def last(self) -> str:
        """The line that a person sees last."""
        return self.text.rstrip("\n").rpartition("\r")[2].rstrip()


@pytest.fixture
def screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.delenv("COLUMNS", raising=False)
    return Screen(capsys)


def tell(shown: Silent, events: list[Event]) -> None:
    with shown:
        for event in events:
            shown(event)


# Counting


def tally_of(events: list[Event]) -> Tally:
    tally = Tally()
    for event in events:
        tally.take(event)
    return tally


def test_events_add_up() -> None:
    assert tally_of(RUN) == Tally(total=4, found=4, done=3, skipped=1, failed=1, in_flight=0)
    assert tally_of(RUN[:7]) == Tally(total=4, found=3, done=1, skipped=1, failed=0, in_flight=2)


def test_the_reason_for_a_wait_is_known_until_an_item_is_done() -> None:
    assert tally_of([*RUN[:7], TROUBLE[0], RUN[5]]).waiting == "429: waiting 5 s"
    assert tally_of([*RUN[:7], TROUBLE[0], RUN[8]]).waiting == ""


def test_an_item_that_ends_without_having_started_was_not_in_flight() -> None:
    assert tally_of([Event(Kind.STARTED, "a"), Event(Kind.PENDING, "b"), Event(Kind.SKIPPED, "c")]).in_flight == 1
    assert tally_of([Event(Kind.FAILED, "a", started=True)]).in_flight == 0


# Nothing


def test_silent_says_nothing_of_what_goes_as_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Silent(Console()), RUN)
    assert capsys.readouterr() == ("", "")


def test_silent_says_what_a_user_must_know(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Silent(Console()), TROUBLE)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[:2] == [
        "warning: b: the profile was left out",
        "warning: list.csv:7: named before",
    ]
    assert err.splitlines()[2].startswith("warning: stopping: interrupted by SIGINT. Nothing more is created")
    assert len(err.splitlines()) == 3


def test_every_step_is_said_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Silent(Console(verbosity=1)), [*RUN, TROUBLE[0]])
    assert capsys.readouterr() == ("", "failed c: is empty\nsaved b → b.png\n429: waiting 5 s\n")


@pytest.mark.parametrize("kind", [Kind.WARNING, Kind.STOPPING, Kind.FAILED, Kind.SAVED, Kind.WAITING])
def test_names_and_texts_are_one_harmless_line(capsys: pytest.CaptureFixture[str], kind: Kind) -> None:
    tell(Silent(Console(verbosity=1)), [Event(kind, HOSTILE, text=HOSTILE)])
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert SHOWN in err
    assert err[:-1].isprintable()


# A line a minute


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_a_minute_says_how_far_the_run_is(capsys: pytest.CaptureFixture[str]) -> None:
    time = Time()
    shown = Silent(Console(), beats=True, now=time)
    done = [Event(Kind.SAVED, "a", started=True)] * 1337 + [Event(Kind.FAILED, "b")] * 3
    for event in (Event(Kind.TOTAL, count=5000), Event(Kind.SKIPPED, count=160), *done, TROUBLE[0]):
        shown(event)
    for _ in range(134):
        time.now += 1
        shown.tick()
    _, err = capsys.readouterr()
    assert err.splitlines() == [
        "01:00 1,497 of 5,000 saved, 3 failed, 22.3/s, about 3 min left, 429: waiting 5 s",
        "02:00 1,497 of 5,000 saved, 3 failed, 11.2/s, about 5 min left, 429: waiting 5 s",
    ]


def test_what_is_not_known_yet_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    time = Time()
    shown = Silent(Console(), beats=True, now=time)
    time.now += 60
    shown.tick()
    assert capsys.readouterr().err == "01:00 0 saved, 0 failed, 0.0/s\n"


@pytest.mark.parametrize("choice", ["auto", "json", "none"])
def test_a_line_a_minute_is_for_people_without_a_terminal_alone(
    choice: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_removebg.cli.progress._BEAT", 0.0)
    for verbosity in (0, -2):
        listener(choice, Console(verbosity=verbosity)).tick()
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", int(choice == "auto" and verbosity == 0))


@pytest.mark.anyio
async def test_the_listener_hears_of_every_second_while_there_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[float] = []
    shown = Silent(Console())
    enough = asyncio.Event()
    pause = asyncio.sleep

    async def sleep(delay: float) -> None:
        seconds.append(delay)
        if len(seconds) == 4:
            enough.set()
        await pause(0)

    async def work() -> str:
        await enough.wait()
        return "done"

    ticks: list[None] = []
    monkeypatch.setattr(shown, "tick", lambda: ticks.append(None))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await ticking(shown, work) == "done"
    assert (seconds[:4], len(ticks) >= 3) == ([1, 1, 1, 1], True)
    with pytest.raises(DiskError):
        await ticking(shown, failing)


async def failing() -> None:
    raise DiskError("full")


# The bar


def test_the_bar_moves_while_nothing_happens_and_says_what_is_waited_for(screen: Screen) -> None:
    with Bar(Console()) as shown:
        for event in (*RUN[:7], TROUBLE[0]):
            shown(event)
        before = screen.text
        shown.tick()
        assert len(screen.text) > len(before)
        assert screen.last.endswith(", 0 failed, 2 in flight, 429: waiting 5 s]")
        shown(RUN[8])
        shown.tick()
        assert screen.last.endswith(", 0 failed, 1 in flight, b]")


def test_the_bar_shows_done_of_total_failed_in_flight_and_the_name(screen: Screen) -> None:
    tell(Bar(Console()), RUN[:7])
    assert "| 1/4 [" in screen.last
    assert screen.last.endswith(", 0 failed, 2 in flight, c]")


def test_the_bar_ends_on_the_last_state(screen: Screen) -> None:
    tell(Bar(Console()), RUN)
    assert "75%" in screen.last
    assert "| 3/4 [" in screen.last
    assert screen.last.endswith(", 1 failed, 0 in flight, d]")


def test_without_a_total_the_bar_counts_what_was_found(screen: Screen) -> None:
    tell(Bar(Console()), RUN[1:4])
    assert "| 1/2 [" in screen.last


def test_a_long_name_shows_its_end(screen: Screen) -> None:
    tell(Bar(Console()), [Event(Kind.FOUND, "a/very/long/way/down/to/the/last/shoe.jpg")])
    assert "in flight, …y/down/to/the/last/shoe.jpg]" in screen.last


def test_control_characters_in_names_never_reach_the_terminal(screen: Screen) -> None:
    tell(Bar(Console(verbosity=1)), [Event(kind, HOSTILE, text=HOSTILE, started=True) for kind in Kind])
    assert screen.text.replace("\r", "").replace("\n", "").isprintable()
    assert SHOWN in screen.text


def test_words_stand_above_the_bar_and_the_bar_is_drawn_again(screen: Screen) -> None:
    console = Console()
    with Bar(console) as shown:
        shown(RUN[0])
        shown(Event(Kind.WARNING, "b", text="left out"))
        lines = screen.text.split("\n")
        assert lines[0].endswith("\rwarning: b: left out")
        assert "0/4" in lines[1]
    console.info("after")
    assert screen.text.endswith("\nafter\n")


def test_trouble_alone_draws_no_bar(screen: Screen) -> None:
    tell(Bar(Console()), TROUBLE)
    assert screen.text.count("warning: ") == 3
    assert "\r" not in screen.text


def test_weights_have_a_bar_of_their_own_that_goes_when_they_are_here(screen: Screen) -> None:
    with Bar(Console()) as shown:
        shown.weights(1_000_000, 4_000_000)
        assert "weights:" in screen.last
        assert "1.00M/4.00M" in screen.last
        shown.weights(4_000_000, 4_000_000)
        assert "4.00M/4.00M" in screen.text
        before = screen.text
    assert screen.text == before


def test_weights_of_unknown_size_end_with_the_bar(screen: Screen) -> None:
    with Bar(Console()) as shown:
        shown.weights(1_000_000, None)
        shown.weights(2_000_000, None)
    assert "2.00MB" in screen.last


def test_silent_and_json_show_no_bar_for_weights(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (Silent(Console()), JsonLines(Console())):
        shown.weights(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_that_has_gone_does_not_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        tell(Bar(Console(verbosity=1)), [*RUN, *TROUBLE])


# JSON lines


def test_json_lines_are_complete_and_one_object_each(capsys: pytest.CaptureFixture[str]) -> None:
    tell(JsonLines(Console()), RUN)
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    assert [line["event"] for line in found] == [event.kind.value for event in RUN]
    assert [line.get("item") for line in found] == [event.item or None for event in RUN]
    assert all(line.pop("t").endswith("Z") for line in found)
    assert found[0] == {"event": "total", "total": 4, "done": 0, "failed": 0, "in_flight": 0}
    assert found[7] == {
        "event": "failed",
        "item": "c",
        "text": "is empty",
        "error_kind": "source",
        "total": 4,
        "done": 2,
        "failed": 1,
        "in_flight": 1,
    }
    assert (found[-1]["done"], found[-1]["failed"], found[-1]["in_flight"]) == (3, 1, 0)


def test_warnings_are_on_stdout_for_scripts_and_on_stderr_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    tell(JsonLines(Console()), TROUBLE)
    out, err = capsys.readouterr()
    assert [json.loads(line)["text"] for line in out.splitlines()] == [event.text for event in TROUBLE]
    assert len(err.splitlines()) == 3


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_lines_are_json_whatever_the_names_and_the_stream(encoding: str) -> None:
    raw = io.BytesIO()
    name = f"鞋 é 👟 {HOSTILE}"
    stream = io.TextIOWrapper(raw, encoding=encoding)
    tell(JsonLines(Console(), stream), [Event(Kind.FOUND, name)])
    [line] = raw.getvalue().splitlines()
    assert json.loads(line)["item"] == name
    assert line.decode("ascii").isprintable()


def test_a_reader_who_has_gone_does_not_stop_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        shown = JsonLines(Console(), stream)
        tell(shown, RUN)
        shown.put({"event": "summary"})


def test_lines_that_were_lost_do_not_stop_the_run_and_are_told_at_its_end() -> None:
    class FullForAWhile(io.StringIO):
        full = True

        def flush(self) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stream = FullForAWhile()
    shown = JsonLines(Console(), stream)
    shown(RUN[0])
    stream.full = False
    shown(RUN[1])
    with pytest.raises(DiskError, match="stdout can't be written: No space left on device"):
        shown.put({"event": "summary"})


# Which one


@pytest.mark.parametrize(
    ("choice", "terminal", "kind"),
    [
        ("auto", True, Bar),
        ("auto", False, Silent),
        ("bar", True, Bar),
        ("bar", False, Bar),
        ("json", True, JsonLines),
        ("json", False, JsonLines),
        ("none", True, Silent),
        ("none", False, Silent),
    ],
)
def test_auto_is_a_bar_where_stderr_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch, choice: str, terminal: bool, kind: type[Silent]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert type(listener(choice, Console())) is kind
