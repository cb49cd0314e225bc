"""Configuration files as commands use them: `run`, `config show`, `config init`, and `jobs` with one exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import tomllib
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli import config
from batch_removebg.cli.parser import parser
from batch_removebg.errors import BatchError, KeyRejected, PredictionFailed, SettingsError
from batch_removebg.model import CreateRequest, Prediction
from batch_removebg.run import batch, night
from batch_removebg.run.config_file import KEYS
from batch_removebg.run.declare import declared
from batch_removebg.run.options import CONFIG, Options
from batch_removebg.run.settings import Settings
from tests.support.doubles import ScriptedProvider
from tests.support.shop import Said, provider, said, shop, tree

__all__ = ["provider", "said", "shop"]

TOP = 'provider = "replicate"\nbase-url = "http://127.0.0.1:9/v1"\nconcurrency = 1\n'


def job(name: str, more: str = "") -> str:
    return f'[[job]]\nname = "{name}"\ninputs = ["in"]\nout = "{name}"\n{more}'


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch, said: Said, shop: Path) -> Any:
    """The settings that a `run` begins with."""
    seen: list[Settings] = []

    async def run(inputs: list[str], settings: Settings, **others: Any) -> None:
        seen.append(settings)
        raise KeyRejected("enough")

    monkeypatch.setattr(batch, "run", run)

    def settings(*argv: str, out: str | None = "out") -> Settings:
        assert said("run", "in", *(("--out", out) if out else ()), *argv)[0] == 4
        return seen[-1]

    return settings


# run


def test_a_run_takes_its_options_from_the_file_of_this_folder(
    settings_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(CONFIG).write_text('quality = 70\ntrim = true\n[profile.white]\nformat = "jpeg"\nquality = 80\n')
    shown = settings_of()
    assert (shown.quality, shown.trim, shown.format, shown.given) == (70, True, "png", {"quality", "trim"})
    assert settings_of("--quality", "60").quality == 60
    assert settings_of("--no-trim").trim is False
    white = settings_of("--profile", "white")
    assert (white.quality, white.format) == (80, "jpeg")
    bare = settings_of("--no-config", "--mask-only")
    assert (bare.quality, bare.trim, bare.given) == (None, False, {"mask_only"})
    monkeypatch.setenv("BATCH_REMOVEBG_QUALITY", "65")
    assert settings_of("--no-config").quality == settings_of().quality == 65


def test_a_header_gets_its_value_from_the_variable_that_it_names(
    settings_of: Any, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(CONFIG).write_text('header = ["cdn.example=Authorization: env:CDN_KEY", "Referer: https://shop.example/"]\n')
    assert said("run", "in", "--out", "out") == (
        2,
        "",
        f"error: --header: env:CDN_KEY is not set (--header is from {CONFIG}:1)\n",
    )
    monkeypatch.setenv("CDN_KEY", "Bearer sesame")
    assert settings_of().header == ("cdn.example=Authorization: Bearer sesame", "Referer: https://shop.example/")


@pytest.mark.parametrize(
    ("text", "argv", "words"),
    [
        ('canvas = "2x"\n', [], f"(--canvas is from {CONFIG}:1)"),
        ('\npreset = "amazon"\n', ["--lossless"], f"leave --lossless out (--preset is from {CONFIG}:2)"),
        ("max-cost = 2\n", [], f"(--max-cost is from {CONFIG}:1)"),
        ('model = "u2net"\n', ["--class", "fast"], f"give one of them (--model is from {CONFIG}:1)"),
    ],
)
def test_what_the_settings_refuse_is_told_with_where_it_is_from(
    shop: Path, said: Said, text: str, argv: list[str], words: str
) -> None:
    Path(CONFIG).write_text(text)
    code, out, err = said("run", "in", "--out", "out", *argv)
    assert (code, out) == (2, "")
    assert words in err


def test_out_may_be_a_variable_and_the_flag_wins_and_jobs_have_their_own(
    settings_of: Any, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCH_REMOVEBG_OUT", "elsewhere")
    assert settings_of().out == Path("out")
    assert settings_of(out=None).out == Path("elsewhere")
    Path(CONFIG).write_text(job("a"))
    assert said("jobs") == (2, "", "error: BATCH_REMOVEBG_OUT: unset it: each [[job]] has an out of its own\n")


def test_an_end_that_is_past_is_refused_before_a_run_begins(shop: Path, said: Said) -> None:
    code, out, err = said("run", "in", "--out", "out", "--until", "2020-01-31T06:00")
    assert (code, out, Path("out").exists()) == (2, "", False)
    assert err.startswith("error: --until 2020-01-31T06:00: 2020-01-31 06:00")


def test_config_and_no_config_exclude_each_other(shop: Path, said: Said) -> None:
    code, _, err = said("run", "in", "--out", "out", "--config", "x", "--no-config")
    assert (code, "not allowed with" in err) == (2, True)


# config show


def test_show_names_the_place_of_every_value_and_masks_secrets(
    shop: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'limit = 5\nheader = ["Referer: https://shop.example/", "a.example=X: env:NAME"]\n'
    Path(CONFIG).write_text(text + job("a", 'profile = "p"\n') + "[profile.p]\nquality = 3\n")
    monkeypatch.setenv("BATCH_REMOVEBG_INPUT", "mode=sesame")
    code, out, _ = said("config", "show", "a", "--limit", "4", "--base-url", "https://me:sesame@host/v1")
    lines = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert code == 0
    assert [line for line in lines if line[-1] != "default" and len(line) == 3] == [
        ["base-url", '"https://host/v1"', "--base-url"],
        ["input", '["mode=…"]', "BATCH_REMOVEBG_INPUT"],
        ["header", '["Referer: …", "a.example=X: env:NAME"]', f"{CONFIG}:2"],
        ["quality", "3", f"{CONFIG}:9"],
        ["limit", "4", "--limit"],
        ["inputs", '["in"]', f"{CONFIG}:5"],
        ["out", '"a"', f"{CONFIG}:6"],
    ]
    assert ["format", '"png"', "default"] in lines
    assert [f"files: {CONFIG}"] in lines
    monkeypatch.setenv("BATCH_REMOVEBG_HEADER", "Authorization: Bearer sesame")
    found = json.loads(said("config", "show", "--json")[1])
    assert found["files"] == [CONFIG]
    assert list(found["options"])[: len(KEYS)] == list(KEYS)
    assert found["options"]["limit"] == {"value": 5, "from": f"{CONFIG}:1"}
    assert found["options"]["header"] == {"value": ["Authorization: …"], "from": "BATCH_REMOVEBG_HEADER"}
    assert found["options"]["quality"] == {"value": None, "from": "default"}


def test_show_tells_of_notify_names_and_places_and_refuses_what_a_run_would(
    shop: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[notify]\nping = "env:PING"\ncommand = ["./tell", "--all"]\n' + job("a", '[job.notify]\non = "change"\n')
    Path(CONFIG).write_text(text)
    monkeypatch.setenv("PING", "https://hc.example/c4n4ry")
    _, out, _ = said("config", "show", "a")
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert [row for row in rows if row[0].startswith("notify.")] == [
        ["notify.on", '["change"]', f"{CONFIG}:9"],
        ["notify.apprise", "-", "default"],
        ["notify.webhook", "-", "default"],
        ["notify.webhook-secret", "-", "default"],
        ["notify.command", '["tell", "--all"]', f"{CONFIG}:3"],
        ["notify.ping", '"env:PING"', f"{CONFIG}:2"],
    ]
    found = json.loads(said("config", "show", "--json")[1])["options"]
    assert found["notify.on"] == {"value": ["failure"], "from": "default"}
    assert found["notify.ping"] == {"value": "env:PING", "from": f"{CONFIG}:2"}
    Path(CONFIG).write_text(text.replace('"change"', '"chance"'))
    code, out, err = said("config", "show", "a")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {CONFIG}:9: on: Invalid enum value 'chance'")
    monkeypatch.delenv("PING")
    assert said("config", "show") == (2, "", f"error: {CONFIG}:2: ping: env:PING is not set\n")


# config init


def test_init_writes_a_file_that_means_what_the_flags_did_and_overwrites_none(
    shop: Path, said: Said, settings_of: Any
) -> None:
    flags = ["--format", "jpg", "--preset", "ebay", "--preset", "otto", "--input", "a=0.5", "--input", 'b="0.5"']
    flags += ["--grace", "inf", "--no-trim", "--mask-only", "--name", 'q"\x7f\\ü', "--rate", "6", "--memory", "2G"]
    flags += ["--header", "Referer: https://shop.example/", "--exclude", "[ab]*"]
    given = config._flags(parser().parse_args(["run", "in", "--out", "out", *flags]))
    assert said("config", "init", *flags) == (0, f"{CONFIG}\n", "")
    options = {name: one.value for name, one in config.files(None, {})[0].options.items()}
    assert options == {name: one.value for name, one in given.items()}
    before = tree(shop)
    code, _, err = said("config", "init")
    assert (code, err) == (2, f"error: {CONFIG} is there already, and stays; give another name, or - for stdout\n")
    code, out, _ = said("config", "init", "-", *flags)
    assert (code, out) == (0, Path(CONFIG).read_text())
    assert tree(shop) == before


def test_init_explains_every_option_and_its_defaults_are_the_tables(shop: Path, said: Said) -> None:
    _, text, _ = said("config", "init", "-")
    assert tomllib.loads(text) == {}
    lines = dict(re.findall(r"^#([a-z-]+) = (.*)$", text.partition("#[profile")[0], re.MULTILINE))
    assert list(lines) == list(KEYS)
    plain = "".join(f"{key} = {value}\n" for key, value in lines.items() if not value.startswith("<"))
    options = config.parsed(Path(CONFIG), plain).options
    assert len(options) > 20
    assert {name: one.value for name, one in options.items()} == {
        name: declared(Options)[name].default for name in options
    }
    example = re.sub(r"^#(?=name|inputs|out|profile =|\[)", "", text[text.index("#[profile") :], flags=re.MULTILINE)
    found = config.parsed(Path(CONFIG), example)
    assert list(found.jobs) == list(found.profiles) == ["catalogue"]


def test_init_refuses_what_has_no_place_in_a_file(shop: Path, said: Said) -> None:
    before = tree(shop)
    for flags, words in (
        (["--header", "Authorization: Bearer sesame"], "a secret doesn't belong in a file"),
        (["--token-env", "r8_sesame1234567"], "a secret doesn't belong in a file"),
        (["--force"], "there is no flag --force"),
    ):
        code, out, err = said("config", "init", *flags)
        assert (code, out) == (2, "")
        assert words in err
        assert "sesame" not in err
    assert tree(shop) == before


# jobs


def test_jobs_run_in_turn_and_go_on_after_one_that_failed_with_the_gravest_exit_code(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    missing = '[[job]]\nname = "gone"\ninputs = ["gone.csv"]\nout = "gone"\n'
    Path(CONFIG).write_text(TOP + job("first", "limit = 1\n") + missing + job("last"))
    provider.script.append(PredictionFailed("no product in the picture"))
    code, out, err = said("jobs")
    assert (code, out) == (2, "first/results.json\nlast/results.json\n")
    assert "error: gone.csv" in err
    assert [re.split(r"\s{2,}", line) for line in err.splitlines()[-4:]] == [
        ["first", "exit code 3", "0 saved, 1 failed; see first/results.json"],
        ["gone", "exit code 2", next(line[7:] for line in err.splitlines() if line.startswith("error: gone.csv"))],
        ["last", "exit code 0", "3 saved, 0 failed; see last/results.json"],
        ["all jobs", "exit code 2"],
    ]
    assert (shop / "last" / "a.png").is_file()


@pytest.mark.parametrize("flag", ["--summary", "--metrics"])
def test_a_file_of_another_kind_is_not_replaced_by_what_is_told_of_a_run(shop: Path, said: Said, flag: str) -> None:
    Path("mine.prom").write_text("other_metric 1\n")
    code, _, err = said("run", "in", "--out", "out", flag, "mine.prom")
    assert (code, Path("mine.prom").read_text()) == (2, "other_metric 1\n")
    assert err == f"error: {flag} mine.prom: there is a file that this program hasn't written; name another\n"


def test_jobs_with_one_summary_give_a_list_of_theirs_and_none_runs_again_by_itself(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    Path(CONFIG).write_text(TOP + 'summary = "night.json"\n' + job("first") + job("last"))
    assert said("jobs")[0] == 0
    assert [Path(one["out"]).name for one in json.loads(Path("night.json").read_text())] == ["first", "last"]
    Path(CONFIG).write_text(TOP + job("first", 'every = "1h"\n'))
    assert "job first: --every is for a single run" in said("jobs")[2]


def test_the_summaries_of_jobs_name_them_and_what_they_cost(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    Path(CONFIG).write_text(TOP + "price = 0.1\n" + job("first") + job("last"))
    _, out, err = said("jobs", "first", "--progress", "json")
    [told] = [json.loads(line) for line in out.splitlines() if '"summary"' in line]
    assert (told["job"], told["cost"]) == ("first", 0.3)
    assert "3 bought from http://127.0.0.1:9/v1, 0.3 USD" in err


@pytest.mark.parametrize(
    "wrong", ["quality = 900\n", 'canvas = "2x"\n', 'profile = "nowhere"\n', 'token-env = "UNSET"\n']
)
def test_no_job_begins_where_one_of_them_is_wrong(
    shop: Path, provider: ScriptedProvider, said: Said, wrong: str
) -> None:
    Path(CONFIG).write_text(
        TOP.replace("http:", "https:").replace("127.0.0.1:9", "h.example") + job("a") + job("b", wrong)
    )
    code, out, err = said("jobs")
    assert (code, out, provider.calls) == (2, "", [])
    assert re.match(rf"error: ({CONFIG}:\d+|job b): ", err)
    assert not (shop / "a").exists()


def test_a_signal_ends_the_jobs_and_those_that_follow_do_not_begin(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    def interrupted(request: CreateRequest) -> Prediction:
        os.kill(os.getpid(), signal.SIGINT)
        return provider.succeed(request)

    Path(CONFIG).write_text(TOP + job("a") + job("b"))
    provider.script.append(interrupted)
    code, _, err = said("jobs")
    assert code == 130
    assert [line.split()[0] for line in err.splitlines()[-3:]] == ["a", "b", "all"]
    assert err.splitlines()[-2].split(maxsplit=1)[1] == "not begun"
    assert not (shop / "b").exists()


@pytest.mark.parametrize(
    ("codes", "gravest"), [((0, 3), 3), ((5, 3), 5), ((11, 5, 0), 11), ((4, 11), 4), ((2, 4), 2), ((1, 2), 1)]
)
def test_the_exit_code_of_jobs_is_the_gravest(
    shop: Path, said: Said, monkeypatch: pytest.MonkeyPatch, codes: tuple[int, ...], gravest: int
) -> None:
    ended = iter(codes)

    async def told(inputs: list[str], settings: Settings, *_: object, **others: Any) -> None:
        error = BatchError("over")
        error.exit_code = next(ended)  # type: ignore[misc]
        raise error

    monkeypatch.setattr(night, "told", told)
    Path(CONFIG).write_text("".join(job(f"j{nth}") for nth, _ in enumerate(codes)))
    assert said("jobs")[0] == gravest


def test_jobs_are_chosen_by_name_and_an_unknown_one_is_refused(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    Path("night.toml").write_text(TOP + job("catalogue") + job("lookbook"))
    assert said("jobs", "lookbook", "--config", "night.toml", "-q") == (0, "lookbook/results.json\n", "")
    assert not (shop / "catalogue").exists()
    code, _, err = said("jobs", "catalog", "--config", "night.toml")
    assert (code, err) == (2, "error: there is no job 'catalog'; did you mean catalogue?\n")
    code, _, err = said("jobs")
    assert (code, err) == (
        2, f"error: there is no [[job]] in {CONFIG}; write one, or name another file with --config\n",
    )  # fmt: skip


def test_a_dry_run_of_jobs_writes_nothing_and_asks_nobody(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    Path(CONFIG).write_text(TOP + job("a") + job("b"))
    before = tree(shop)
    code, out, _ = said("jobs", "--dry-run")
    assert (code, out.count("3 items, and nothing is done about them"), provider.calls) == (0, 2, [])
    assert tree(shop) == before


def test_progress_as_json_tells_the_jobs_apart_and_ends_with_their_exit_codes(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    Path(CONFIG).write_text(TOP + job("a") + job("b", "limit = 1\n"))
    _, out, _ = said("jobs", "--progress", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    ours = [line for line in lines if line["event"] in ("job", "summary", "jobs")]
    assert [line["event"] for line in ours] == ["job", "summary", "job", "summary", "jobs"]
    assert (ours[0]["job"], ours[2]["job"]) == ("a", "b")
    assert ours[-1] == {"event": "jobs", "jobs": {"a": 0, "b": 3}, "exit_code": 3}


def test_who_is_told_of_a_job_is_in_its_notify_and_the_files(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[notify]\non = "always"\nping = "env:PING"\n' + job("a", '[job.notify]\non = "failure"\n') + job("b")
    Path("night.toml").write_text(text)
    monkeypatch.setenv("PING", "https://hc.example/1")
    args = parser().parse_args(["jobs", "--config", "night.toml"])
    read = config.found(args)
    told = {
        name: config.settings(args, read, name, one)[1].notifier.notify for name, one in config.jobs(read, []).items()
    }
    assert {name: (notify.on, notify.ping) for name, notify in told.items()} == {
        "a": (("failure",), "env:PING"), "b": (("always",), "env:PING"),
    }  # fmt: skip
    monkeypatch.delenv("PING")
    with pytest.raises(SettingsError, match=r"^night\.toml:3: ping: env:PING is not set"):
        config.settings(args, read, "out")


def test_init_writes_paths_relative_to_its_file(shop: Path, said: Said) -> None:
    Path("conf").mkdir()
    assert said("config", "init", "conf/night.toml", "--root", "in", "--summary", "-")[0] == 0
    assert {'root = "../in"', 'summary = "-"'} <= set(Path("conf/night.toml").read_text().splitlines())
