"""Options from files and variables: who wins, what is refused where, and whose file counts."""

from __future__ import annotations

import os
import re
from itertools import combinations
from pathlib import Path

import pytest

from batch_removebg.errors import SettingsError
from batch_removebg.run.config_file import PREFIX, VARIABLES, File, Given, files, gathered, parsed, user_file, variables
from batch_removebg.run.options import CONFIG

ROOT = Path(__file__).parent.parent.parent
JOB = '[[job]]\nname = "a"\ninputs = ["in"]\nout = "out"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def read(text: str, path: str = CONFIG) -> File:
    return parsed(Path(path), text)


def refusal(text: str | bytes) -> str:
    Path(CONFIG).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as refused:
        files(None, {})
    return str(refused.value)


# Who wins

_STRONGEST_FIRST = ("flag", "variable", "job", "profile", "file", "user's profile", "user's file", "default")


@pytest.mark.parametrize(("stronger", "weaker"), list(combinations(_STRONGEST_FIRST, 2)))
def test_of_two_places_the_stronger_one_decides(stronger: str, weaker: str, tmp_path: Path) -> None:
    def line(place: str) -> str:
        return f"quality = {_STRONGEST_FIRST.index(place) + 1}\n" if place in (stronger, weaker) else ""

    user = tmp_path / "xdg" / "batch-removebg" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text(line("user's file") + "[profile.p]\n" + line("user's profile"))
    job = '[[job]]\nname = "j"\ninputs = "in"\nout = "o"\nprofile = "p"\n'
    Path(CONFIG).write_text(line("file") + "[profile.p]\n" + line("profile") + job + line("job"))
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    if "variable" in (stronger, weaker):
        environ[f"{PREFIX}QUALITY"] = "2"
    found = files(None, environ)
    flags = {"quality": Given(1, "--quality")} if "flag" in (stronger, weaker) else {}
    options = gathered(found, environ, flags, None, found[0].jobs["j"][0])
    assert options["quality"].value == _STRONGEST_FIRST.index(stronger) + 1
    where = {"flag": "--quality", "variable": f"{PREFIX}QUALITY", "job": f"{CONFIG}:6", "profile": f"{CONFIG}:2"}
    where |= {
        "file": f"{CONFIG}:1",
        "user's profile": f"{user}:{2 + (weaker == _STRONGEST_FIRST[6])}",
        "user's file": f"{user}:1",
    }
    if stronger in ("flag", "variable", "file", "user's file", "user's profile"):
        assert options["quality"].origin == where[stronger]


def test_a_file_that_is_named_takes_the_place_of_the_folders_and_not_of_the_users(tmp_path: Path) -> None:
    user = tmp_path / "batch-removebg" / "config.toml"
    user.parent.mkdir()
    user.write_text("limit = 1\nquality = 1\n")
    Path(CONFIG).write_text("effort = 3\n")
    Path("other.toml").write_text("limit = 2\n")
    for named, environ in (("other.toml", {}), (None, {f"{PREFIX}CONFIG": "other.toml"})):
        environ = {"XDG_CONFIG_HOME": str(tmp_path), **environ}
        options = gathered(files(named, environ), environ, {}, None, {})
        assert {name: one.value for name, one in options.items()} == {"limit": 2, "quality": 1}


@pytest.mark.parametrize(("given", "variable", "wanted"), [("b", "a", 2), (None, "b", 2), (None, None, 1)])
def test_the_profile_is_the_flags_then_the_variables_then_the_jobs(
    given: str | None, variable: str | None, wanted: int
) -> None:
    file = read(f"[profile.a]\nlimit = 1\n[profile.b]\nlimit = 2\n{JOB}profile = 'a'\n")
    environ = {f"{PREFIX}PROFILE": variable} if variable else {}
    assert gathered([file], environ, {}, given, file.jobs["a"][0])["limit"].value == wanted


def test_a_profile_that_is_nowhere_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError) as refused:
        gathered([read("[profile.catalogue]\n")], {}, {}, "catalog", {})
    assert str(refused.value) == f"there is no [profile.catalog] in {CONFIG}; did you mean catalogue?"


def test_the_users_file_is_where_the_platform_keeps_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    end = "batch-removebg/config.toml"
    assert user_file({}, "linux") == Path("/home/me/.config", end)
    assert user_file({"XDG_CONFIG_HOME": "relative"}, "linux") == Path("/home/me/.config", end)
    assert user_file({"XDG_CONFIG_HOME": "/etc/me"}, "darwin") == Path("/etc/me", end)
    assert user_file({}, "darwin") == Path("/home/me/Library/Application Support", end)
    assert user_file({"APPDATA": "/app data"}, "win32") == Path("/app data", end)


# What is in a file


def test_values_are_what_the_flags_would_be_and_paths_begin_at_the_file() -> None:
    file = read(
        'format = "JPG"\nmemory = "2G"\nconcurrency = "auto"\nrate = 6\ntrim = false\nmax-cost-total = 0.5\n'
        'preset = ["amazon", "own/shop.toml"]\ninput = ["threshold=0.5", "mode=x"]\nname = "{sku}"\n'
        'background = "white"\nroot = "photos"\nmodel = "net.onnx"\ninclude = "*.jpg"\n'
        "[profile.a]\nbackground = '/bg/wood.png'\nmodel = 'u2net'\n"
        '[[job]]\nname = "n"\ninputs = ["in", "/in", "-", "https://shop.example/f.csv", "*.csv"]\nout = "out"\n',
        "etc/night.toml",
    )
    assert {name: one.value for name, one in file.options.items()} == {
        "format": "jpeg", "memory": 2048, "concurrency": None, "rate": 6.0, "trim": False, "max_cost_total": 0.5,
        "preset": ("amazon", "etc/own/shop.toml"), "model_inputs": {"threshold": 0.5, "mode": "x"}, "name": "{sku}",
        "background": "white", "root": "etc/photos", "model": "etc/net.onnx", "include": ("*.jpg",),
    }  # fmt: skip
    assert {name: one.value for name, one in file.profiles["a"].items()} == {
        "background": "/bg/wood.png", "model": "u2net",
    }  # fmt: skip
    job = {name: one.value for name, one in file.jobs["n"][0].items()}
    assert job == {
        "job": "n", "inputs": ("etc/in", "/in", "-", "https://shop.example/f.csv", "etc/*.csv"), "out": "etc/out",
    }  # fmt: skip


def test_each_value_is_told_with_its_own_line() -> None:
    file = read(
        '# first\npreset = [  # of several lines\n  "amazon",\n\n  "ebay",\n]\nlimit = 3\nprofile.dotted.effort = 4\n\n'
        '["profile"."of night"]\nname = """\n\n\n"""\nlimit = 5\n'
        + JOB
        + 'limit = 6\n[job.notify]\non = "always"\n[[job]]\nname = "b"\ninputs = "in"\nout = "other"\n'
    )
    lines = {name: one.origin for name, one in file.options.items()}
    assert lines == {"preset": f"{CONFIG}:2", "limit": f"{CONFIG}:7"}
    assert file.profiles["dotted"]["effort"].origin == f"{CONFIG}:8"
    assert [one.origin for one in file.profiles["of night"].values()] == [f"{CONFIG}:11", f"{CONFIG}:15"]
    assert file.jobs["a"][0]["limit"].origin == f"{CONFIG}:20"
    assert file.jobs["a"][1]["on"] == Given("always", f"{CONFIG}:22")
    assert file.jobs["b"][0]["out"].origin == f"{CONFIG}:26"


def test_a_mark_of_utf_8_and_carriage_returns_are_read_over() -> None:
    Path(CONFIG).write_bytes(b"\xef\xbb\xbflimit = 3\r\n\r\ninclude = [\r\n'a',\r\n]\r\neffort = 4\r\n")
    [file] = files(None, {})
    assert [(one.value, one.origin) for one in file.options.values()] == [
        (3, f"{CONFIG}:1"), (("a",), f"{CONFIG}:3"), (4, f"{CONFIG}:6"),
    ]  # fmt: skip


_SYNTAX = "; write KEY = VALUE, texts in quotes, each key and each table once"
_KIND = "; texts stand in quotes, numbers and true and false don't"
_NEEDS = "each [[job]] needs name, inputs and out"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\nformat = webp\n", 2, f"Invalid value, column 10{_SYNTAX}"),
        ("limit = 1\nlimit = 2\n", 2, f"Cannot overwrite a value, column 10{_SYNTAX}"),
        ("[profile.a]\n[profile.a]\n", 2, f"Cannot declare ('profile', 'a') twice, column 11{_SYNTAX}"),
        ("limit = [1,\n", 2, f"Invalid value, end of document{_SYNTAX}"),
        ('name = "a\0b"\n', 1, f"Illegal character '\\x00', column 10{_SYNTAX}"),
        (b"limit = 1\nname = '\xff'\n", 2, "is not UTF-8; save it in that encoding"),
        ("limit = 1\nqualty = 90\n", 2, "qualty: there is no such option; did you mean quality?"),
        ("max_cost = 2\n", 1, "max_cost: there is no such option; did you mean max-cost?"),
        ("extends = 'x'\n", 1, "extends: there is no such option; `batch-removebg config init -` shows all"),
        ("include = ['more.toml']\n", 1, "include: chooses pictures; no file takes in another one: write all into one"),
        ("out = 'x'\n", 1, "out: stands in a [[job]]; a run has it on the command line"),
        ("[profile.a]\n\nforce = []\n", 3, "force: is for one run, not for all: give that --force"),
        ("quality = '90'\n", 1, f"quality: give a whole number{_KIND}"),
        ("quality = 90.5\n", 1, f"quality: give a whole number{_KIND}"),
        ("rate = true\n", 1, f"rate: give a number{_KIND}"),
        ("trim = 'yes'\n", 1, f"trim: give true or false{_KIND}"),
        ("name = 3\n", 1, f"name: give a text{_KIND}"),
        ("preset = 3\n", 1, f"preset: give a list of texts{_KIND}"),
        ("preset = ['a', 3]\n", 1, f"preset: give a text{_KIND}"),
        ("input = { a = 1 }\n", 1, f"input: give a list of texts{_KIND}"),
        ("format = 2026-01-01\n", 1, f"format: give a text{_KIND}"),
        ("quality = 900\n", 1, "quality: 900: give 1 to 100"),
        ("format = 'gif'\n", 1, "format: gif: choose one of png, webp, jpeg, tiff, avif"),
        ("memory = '10K'\n", 1, "memory: '10K': give MiB, such as 512, 512M or 2G"),
        ("input = 'a'\n", 1, "input: 'a': write KEY=VALUE, such as threshold=0.5"),
        ("profile = 'x'\n", 1, "profile: write [profile.NAME] and [[job]], each with its options below"),
        ("limit = 1\n[profile]\na = 1\n", 2, "profile: write [profile.NAME] and [[job]], each with its options below"),
        ("job = [1]\n", 1, "job: write [profile.NAME] and [[job]], each with its options below"),
        ("notify = true\n", 1, "notify: write [notify], and its keys below"),
        ("[[job]]\nname = 'a'\nout = 'o'\n", 1, f"inputs: {_NEEDS}"),
        (JOB + "[[job]]\nname = 'b'\ninputs = ''\nout = 'o'\n", 7, f"inputs: {_NEEDS}"),
        ("[[job]]\nname = 'b'\ninputs = []\nout = 'o'\n", 3, f"inputs: {_NEEDS}"),
        (JOB + JOB, 6, "name: is another job's already: give each its own"),
        (JOB + JOB.replace('"a"', '"b"'), 8, "out: is another job's already: give each its own"),
        (JOB.replace('"a"', '"{sku}"'), 2,
         "name: is the job's: letters, digits, . and -; pictures are named in profiles"),
        (JOB + "foo = 1\n", 5, "foo: there is no such option; `batch-removebg config init -` shows all"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_file_line_and_remedy(text: str | bytes, line: int, words: str) -> None:
    assert refusal(text) == f"{CONFIG}:{line}: {words}"


_KEY = "r8_SecretOfTheShop1234567890"


@pytest.mark.parametrize(
    "line",
    [
        f"token = '{_KEY}'",
        "api-key = 'sesame-open'",
        f"token-env = '{_KEY}'",
        f"[profile.a]\nname = '{_KEY}'",
        f"include = ['a', '{_KEY}']",
        "base-url = 'https://me:sesame-open@host/v1'",
        f"{JOB}[[job]]\nname = 'b'\nout = 'b'\ninputs = ['https://h.example/f.csv?X-Amz-Signature=sesame-open']",
        "input = ['mode=x', 'api_key=sesame-open']",
        "[notify]\nwebhook-secret = 'sesame-open'",
        "[notify]\ncommand = ['tell', 'Bearer sesame-open']",
    ],
)
def test_a_secret_in_a_file_is_refused_with_its_line_and_never_repeated(line: str) -> None:
    said = refusal(f"limit = 1\n{line}\n")
    assert re.match(rf"{CONFIG}:(\d+): [\w-]+: a secret doesn't belong in a file; put it into an environment", said)
    assert said.split(":")[1] == str(1 + f"{line}\n".count("\n"))
    assert "sesame" not in said
    assert _KEY not in said


def test_a_header_names_the_variable_of_its_value_unless_it_can_hold_no_secret() -> None:
    headers = ["cdn.example=Authorization: env:CDN", "Referer: https://shop.example/", "Accept-Language: de"]
    assert read(f"header = {headers}\n").options["header"].value == tuple(headers)
    said = refusal("header = 'h.example=X-Api: sesame-open'\n")
    assert said == f"{CONFIG}:1: header: what X-Api holds may be a secret: write 'X-Api: env:VARIABLE'"


# Whose file it is


def test_a_file_that_everybody_can_write_is_refused_named_or_not() -> None:
    Path(CONFIG).write_text("")
    Path(CONFIG).chmod(0o646)
    for named in (None, CONFIG):
        with pytest.raises(
            SettingsError, match="can be written by everybody: chmod o-w it; correct that, or leave all"
        ):
            files(named, {})


def test_another_users_file_counts_only_if_it_is_named_and_roots_always(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(CONFIG).write_text("limit = 1\n")
    owner = Path(CONFIG).stat().st_uid
    if owner == 0:
        monkeypatch.setattr(os, "getuid", lambda: 4242)
        assert files(None, {})[0].options["limit"].value == 1
        os.chown(CONFIG, 4243, -1)
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(SettingsError, match="is another user's, who would decide about your runs: name it by --config"):
        files(None, {})
    assert files(CONFIG, {})[0].options["limit"].value == 1


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(make: object) -> None:
    make(CONFIG)  # type: ignore[operator]
    with pytest.raises(SettingsError, match=f"{CONFIG} (can't be read: Is a directory|is no file of settings)"):
        files(None, {})


def test_a_file_that_is_missing_or_endless_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^gone\.toml can't be read: No such file or directory; correct that, or"):
        files("gone.toml", {})
    assert "longer than 1 MiB" in refusal("#" * (1 << 20) + "\n")


# Variables


def test_every_option_has_a_variable_and_values_are_those_of_flags() -> None:
    given = {
        "FORMAT": "JPG", "TRIM": "true", "ZOOM": "0", "QUALITY": "80", "RATE": "6", "MEMORY": "2G", "CLASS": "best",
        "INCLUDE": "[ab]*.jpg", "EXCLUDE": '["a", "b"]', "INPUT": "threshold=0.5", "NAME": "", "CONCURRENCY": "auto",
        "HEADER": "Authorization: Bearer a, b",
    }  # fmt: skip
    found = variables({f"{PREFIX}{name}": text for name, text in given.items()} | {"HOME": "/"})
    assert {name: one.value for name, one in found.items()} == {
        "format": "jpeg", "trim": True, "zoom": False, "quality": 80, "rate": 6.0, "memory": 2048,
        "model_class": "best", "include": ("[ab]*.jpg",), "exclude": ("a", "b"), "model_inputs": {"threshold": 0.5},
        "concurrency": None, "header": ("Authorization: Bearer a, b",),
    }  # fmt: skip
    assert found["format"].origin == f"{PREFIX}FORMAT"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("FORMT", "png", "unset or correct it: there is no option FORMT; did you mean FORMAT?"),
        ("FORCE", "a", "unset or correct it: there is no option FORCE"),
        ("QUALITY", "high", f"give a whole number{_KIND}"),
        ("QUALITY", "900", "900: give 1 to 100"),
        ("TRIM", "maybe", f"give true or false{_KIND}"),
        ("PRESET", '["a", 3]', f"give a text{_KIND}"),
        ("PRESET", '["a"', "Expecting ',' delimiter: line 1 column 5 (char 4)"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        variables({f"{PREFIX}{name}": text})
    assert str(refused.value).startswith(f"{PREFIX}{name}: {words}")


def test_no_other_variable_of_this_repository_is_taken_for_an_option() -> None:
    others = set[str]()
    for path in [
        ROOT / "Makefile",
        ROOT / "README.md",
        *ROOT.glob("batch_removebg/**/*.py"),
        *ROOT.glob("tests/**/*.py"),
    ]:
        if path.name not in ("test_config_file.py", "test_config.py"):
            others |= set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
    assert others >= {f"{PREFIX}MODELS", f"{PREFIX}SEED"}
    assert variables(dict.fromkeys(others - {PREFIX + word for word in VARIABLES}, "x")) == {}
