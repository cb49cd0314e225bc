"""The command line's words are the contract: each flag, its default as the help tells it, and nothing abbreviated."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from typing import Any, get_args

import pytest

from batch_removebg import __version__
from batch_removebg.cli.parser import EVERYDAY, parser
from batch_removebg.engine.devices import DEVICES, Precision
from batch_removebg.engine.weights import DEFAULT
from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import EXTENSIONS, Metadata
from batch_removebg.pipeline.concurrency import CAP
from batch_removebg.run.settings import Settings
from tests.support.commands import commands

CONTRACT = {
    "run": "--out --provider --base-url --token-env --model-version --input-field --input --class --model "
    "--concurrency --rate --workers --device --precision --format --mask-only --name --retry-failed --limit --dry-run "
    "--max-predictions --progress --log-format -q -v",
    "watch": "--out --provider --poll --move-done --move-failed --progress --log-format -q -v",
    "jobs": "--config --dry-run --progress --log-format -q -v",
    "config": "",
    "status": "--json",
    "diff": "--from --to --json",
    "merge": "--to",
    "repair": "--dry-run",
    "review": "--host --port --token-env --no-browser",
    "report": "--to",
    "export": "--decision --to --preset --flag",
    "serve": "--host --port --class --model --device --precision --token-env",
    "models": "",
    "presets": "",
    "check": "--preset --json --log-format --quiet --verbose",
    "bench-engine": "--model --device --seconds --json",
    "completion": "",
}
RUN = ["run", "in", "--out", "out"]


def parsed(*argv: str) -> dict[str, Any]:
    return vars(parser().parse_args([*RUN, *argv]))


def refusal(*argv: str) -> str:
    with pytest.raises(SettingsError) as refused:
        parser().parse_args(argv)
    return str(refused.value)


def test_the_commands_are_the_contracts() -> None:
    assert list(commands(parser())) == list(CONTRACT)


@pytest.mark.parametrize("command", list(CONTRACT))
def test_every_flag_of_the_contract_is_there_and_in_the_help(command: str) -> None:
    made = commands(parser())[command]
    shown = (action for action in made._actions if action.help != argparse.SUPPRESS)
    known = {option for action in shown for option in action.option_strings}
    assert set(CONTRACT[command].split()) <= known
    text = made.format_help()
    for option in known:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), option


WORDY = ("run", "status", "diff", "merge", "repair", "review", "report", "export", "serve", "check", "bench-engine")


@pytest.mark.parametrize("command", WORDY)
def test_every_word_of_the_help_is_explained(command: str) -> None:
    assert all(action.help for action in commands(parser())[command]._actions)


def test_help_and_version_are_answers_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, beginning in ((["--help"], "usage: batch-removebg "), (["--version"], f"batch-removebg {__version__}\n")):
        with pytest.raises(SystemExit) as left:
            parser().parse_args(argv)
        assert left.value.code == 0
        out, err = capsys.readouterr()
        assert (out[: len(beginning)], err) == (beginning, "")


def test_the_help_tells_the_exit_codes() -> None:
    told = {
        int(number): words
        for number, words in re.findall(r"\b(\d+) ([A-Za-z][^;(]*)", parser().format_help().partition("exit codes:")[2])
    }
    assert set(told) == {0, 1, 2, 3, 4, 5, 11, 130, 143}
    assert "OUT is locked" in told[11]


def test_the_defaults_that_the_help_tells_are_those_of_settings() -> None:
    text = " ".join(commands(parser())["run"].format_help().split())
    defaults = Settings(out=None)  # type: ignore[arg-type]  # not looked at here
    for name, said in [
        ("token_env", f"(default {defaults.token_env})"),
        ("input_field", f"(default {defaults.input_field})"),
        ("class", f"`{DEFAULT}` (default)".replace("`", "")),
        ("proxy_size", f"(default {defaults.proxy_size})"),
        ("quality", f"(default {defaults.finish().quality})"),
        ("effort", f"(default {defaults.effort}: "),
        ("max_size", f"(default {defaults.max_size})"),
        ("max_pixels", f"(default {defaults.max_pixels})"),
        ("grace", f"(default {defaults.grace:g})"),
        ("name", f"{defaults.name} (default)"),
        ("provider", f"default {defaults.provider}:"),
        ("concurrency", f"(default auto: what keeps the API's limit busy, {CAP} at most; local: cores + 2)"),
    ]:
        option = f"--{name.replace('_', '-')} "
        assert said in text[text.index(option, text.index("provider:")) :][:400], name
    assert defaults.on_lost == "retry"
    assert "once more (default)" in text
    assert f"default {defaults.format}" in text


def test_choices_are_those_of_settings() -> None:
    by_name = {action.dest: action.choices for action in commands(parser())["run"]._actions}
    assert by_name["provider"] == ("local", "replicate", "gateway")
    assert by_name["format"] == tuple(EXTENSIONS)
    assert by_name["metadata"] == get_args(Metadata)
    assert by_name["on_lost"] == ("retry", "fail")
    for command in ("run", "serve", "bench-engine"):
        offered = {action.dest: action.choices for action in commands(parser())[command]._actions}
        assert offered["device"] == DEVICES
        assert offered.get("precision", get_args(Precision)) == get_args(Precision)
    assert by_name["progress"] == ("auto", "bar", "json", "none")


def test_nothing_given_is_nothing_said() -> None:
    assert parsed() == {
        **dict.fromkeys(
            f.name for f in fields(Settings) if f.name not in ("bucket", "own", "given", "part", "lasting", "job")
        ),
        "command": "run",
        "inputs": ["in"],
        "out": "out",
        "dry_run": False,
        "config": None,
        "no_config": False,
        "profile": None,
        "progress": "auto",
        "log_format": "text",
        "quiet": False,
        "verbose": False,
    }


@pytest.mark.parametrize(("text", "mebibytes"), [("512", 512), ("512M", 512), ("2G", 2048), ("2g", 2048)])
def test_memory_is_told_in_mebibytes_or_with_a_unit(text: str, mebibytes: int) -> None:
    assert parsed("--memory", text)["memory"] == mebibytes


@pytest.mark.parametrize("text", ["", "M", "10K", "1.5G", "-5", "abc", "9" * 5000])
def test_memory_that_is_no_number_is_refused_with_an_example(text: str) -> None:
    assert refusal(*RUN, "--memory", text).startswith(f"--memory: {text!r}: give MiB, such as 512, 512M or 2G")


def test_values_have_their_types() -> None:
    given = parsed("--rate", "6", "--limit", "3", "--grace", "1.5", "--mask-only", "-q", "--progress", "json")
    assert [given[name] for name in ("rate", "limit", "grace", "mask_only", "quiet", "progress")] == [
        6.0, 3, 1.5, True, True, "json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k=0.5", 0.5),
        ("k=true", True),
        ("k=null", None),
        ("k=[1, 2]", [1, 2]),
        ('k="0.5"', "0.5"),
        ("k=white", "white"),
        ("k=a=b", "a=b"),
        ("k=", ""),
        ("k=NaN", "NaN"),
        ("k=-Infinity", "-Infinity"),
        ("k=1e999", "1e999"),
        ("k=" + "[" * 50_000, "[" * 50_000),
    ],
)
def test_further_inputs_are_json_where_they_can_be_and_text_otherwise(text: str, value: Any) -> None:
    assert parsed("--input", text)["model_inputs"] == [("k", value)]


@pytest.mark.parametrize("text", ["", "k", "=1"])
def test_further_inputs_have_a_name(text: str) -> None:
    assert "write KEY=VALUE" in refusal(*RUN, "--input", text)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["frobnicate"],
        ["run"],
        ["run", "in"],
        ["run", "--out", "out"],
        [*RUN, "--token", "r8_x"],
        [*RUN, "--api-key", "r8_x"],
        [*RUN, "--provid", "local"],
        [*RUN, "--retry"],
        [*RUN, "--dry"],
        [*RUN, "--format", "gif"],
        [*RUN, "--provider", "ours"],
        [*RUN, "--limit", "many"],
        [*RUN, "--concurrency", "1.5"],
        [*RUN, "--concurrency", "many"],
        ["ru", "in", "--out", "out"],
        ["status"],
        ["status", "out", "--js"],
        ["serve", "--por", "1"],
        ["models"],
        ["models", "lis"],
        ["models", "pull"],
    ],
)
def test_what_is_unknown_missing_or_abbreviated_is_refused_in_one_line(argv: list[str]) -> None:
    assert re.fullmatch(r".+ \(see batch-removebg[\w ]* --help\)", refusal(*argv))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([*RUN, "--formt", "jpg"], "there is no flag --formt; did you mean --format?"),
        ([*RUN, "--formt=jpg"], "there is no flag --formt; did you mean --format?"),
        (["run", "in", "--outt", "out"], "there is no flag --outt; did you mean --out?"),
        ([*RUN, "--format", "jpgg"], "--format: 'jpgg' is none of png, webp, jpeg, tiff, avif; did you mean jpeg?"),
        ([*RUN, "--format", "xyz"], "--format: 'xyz' is none of png, webp, jpeg, tiff, avif ("),
        ([*RUN, "--progress", "jsn"], "--progress: 'jsn' is none of auto, bar, json, none; did you mean json?"),
        ([*RUN, "--limit", "many"], "--limit: 'many' is no number ("),
        (["run", "in"], "required: --out ("),
        (["stats", "out"], "did you mean status?"),
        (["status", "out", "--jsn"], "there is no flag --jsn; did you mean --json?"),
        (["serve", "--prot", "80"], "there is no flag --prot; did you mean --port?"),
        (["models", "lis"], "did you mean list?"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_names_the_nearest_word(argv: list[str], words: str) -> None:
    assert words in refusal(*argv)


def test_after_two_dashes_everything_is_an_input() -> None:
    assert parser().parse_args(["run", "--out", "out", "--", "--formt"]).inputs == ["--formt"]


def test_the_help_shows_fifteen_flags_and_examples_and_names_the_one_that_shows_all() -> None:
    made = commands(parser(everyday=True))["run"]
    text = made.format_help()
    shown = {action.dest for action in made._actions if any(f"  {flag}" in text for flag in action.option_strings)}
    assert shown == EVERYDAY
    assert len(EVERYDAY - {"help"}) == 15
    assert "--help-all" in text
    assert len(text.splitlines()) < 70
    for line in re.findall(r"^  batch-removebg (.*)$", text, re.MULTILINE):
        assert parser().parse_args(line.split()).command == "run"
    assert len(commands(parser())["run"].format_help().splitlines()) > 2 * len(text.splitlines())
