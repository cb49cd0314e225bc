"""samples/deploy: systemd takes the units, and every command in it is one that the program takes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batch_removebg import __version__
from batch_removebg.cli.parser import parser
from tests.support.commands import commands

DEPLOY = Path(__file__).parents[2] / "samples" / "deploy"
UNITS = DEPLOY / "systemd"
PROGRAM = "/opt/batch-removebg/bin/batch-removebg"
NAMES = sorted(path.name for path in UNITS.glob("*.*") if path.is_file())
SERVICES = [name for name in NAMES if name.endswith(".service")]


def settings(name: str) -> dict[str, str]:
    """A unit's settings, the last of each name."""
    text = (UNITS / name).read_text("utf-8").replace("\\\n", " ")
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))


def command(line: str) -> list[str]:
    """The arguments of the program in a line that calls it."""
    words = shlex.split(line)
    return words[next(i for i, word in enumerate(words) if word.endswith("/batch-removebg")) + 1 :]


def composed(text: str) -> list[list[str]]:
    """The commands in a compose file."""
    return [found.split(", ") for found in re.findall(r"^ +command: \[(.*)\]$", text, re.MULTILINE)]


COMMANDS = {
    **{name: command(settings(name)["ExecStart"]) for name in SERVICES},
    "crontab": command((DEPLOY / "crontab").read_text("utf-8").splitlines()[-1]),
    **{f"compose {words[0]}": words for words in composed((DEPLOY / "compose.yaml").read_text("utf-8"))},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_one_that_the_program_takes(name: str) -> None:
    words = COMMANDS[name]
    if words[0] not in commands(parser()):
        pytest.skip(f"there is no {words[0]} here")
    assert parser().parse_args(words).command == words[0]


def test_there_is_a_command_of_every_kind() -> None:
    assert {words[0] for words in COMMANDS.values()} == {"run", "serve", "watch"}
    assert len(COMMANDS) == 6


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The units with a program that exists, where systemd looks for units."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze isn't here")
    shutil.copytree(UNITS, tmp_path, dirs_exist_ok=True)
    for name in SERVICES:
        unit = tmp_path / name
        unit.write_text(unit.read_text("utf-8").replace(PROGRAM, sys.executable), "utf-8")
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"{tmp_path}:")
    return tmp_path


def analyzed(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_systemd_finds_nothing_wrong_with_the_units(systemd: Path) -> None:
    assert analyzed("verify", "--man=no", *(str(systemd / name) for name in NAMES)) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_as_confined_as_a_program_with_network_and_outputs_can_be(name: str, systemd: Path) -> None:
    asked = ("security", "--offline=yes", "--no-pager", "--threshold=18", str(systemd / name))
    assert analyzed(*asked)[0] == 0, "its exposure is above 1.8 of 10"


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_paid_for_has_time_to_come_home_before_a_service_is_killed(name: str) -> None:
    args = COMMANDS[name]
    grace = float(args[args.index("--grace") + 1]) if "--grace" in args else 0.0
    assert float(settings(name)["TimeoutStopSec"]) >= grace + 15.0


@pytest.mark.parametrize("name", SERVICES)
def test_services_that_last_say_that_they_live_and_those_that_end_are_waited_for(name: str) -> None:
    unit = settings(name)
    lasting = COMMANDS[name][0] != "run"
    assert (unit["Type"], "WatchdogSec" in unit) == (("notify", True) if lasting else ("oneshot", False))


def test_the_job_finds_its_key_in_the_credential_and_nobody_sees_it_in_the_command(tmp_path: Path) -> None:
    [shell, option, script, *_] = shlex.split(settings("batch-removebg-night.service")["ExecStart"])
    (tmp_path / "gateway").write_text("s3cret\n", "utf-8")
    environment = os.environ | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    run = [shell, option, script.replace("$$", "$"), "sh", "env"]
    said = subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout
    assert "GATEWAY_KEY=s3cret" in said.splitlines()
    (tmp_path / "gateway").unlink()
    assert subprocess.run(run, env=environment, capture_output=True, check=False).returncode == 1


def test_the_image_is_of_this_version_and_nobody_in_it_is_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert re.findall("^ARG VERSION=(.*)$", text, re.MULTILINE) == [__version__]
    final = text[text.index(" AS base\n") :]
    assert re.findall(r"^USER (.*)$", final, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^FROM (\w+) AS (\w+)$", final, re.MULTILINE) == [("base", "api"), ("base", "local")]


def test_all_that_the_package_is_built_of_is_in_the_image_that_builds_it(tmp_path: Path) -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    for *names, to in (found.split() for found in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)):
        for name in names:
            source = DEPLOY.parents[1] / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / to)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
