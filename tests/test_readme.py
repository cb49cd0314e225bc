"""README says what the program does: its commands, flags, exit codes and links."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from batch_removebg.cli.parser import EXIT_CODES, parser
from tests.support.commands import commands, row

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def flags(of: argparse.ArgumentParser) -> set[str]:
    return {word for action in of._actions for word in action.option_strings} - {"-h", "--help"}


def command_lines() -> list[list[str]]:
    """Every example of the command in an indented or fenced block, its continued lines joined."""
    lines = README.replace("\\\n", " ").splitlines()
    examples = [line.strip().split(" | ")[-1] for line in lines if re.match(r"    \S", line)]
    words = [shlex.split(line, comments=True) for line in examples if "batch-removebg " in line]
    return [line[1:] for line in words if line[0] == "batch-removebg" and not any("[" in w or "..." in w for w in line)]


def test_every_row_of_the_table_of_flags_is_what_the_help_says() -> None:
    rows = {row(action) for action in commands(parser())["run"]._actions}
    table = README[README.index("| flag of `run`") :].partition("\n\n")[0].splitlines()[2:]
    assert len(table) >= 12
    assert [line for line in table if line not in rows] == []


def test_every_flag_that_is_named_exists() -> None:
    everywhere = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    known = set.union(*(flags(command) for command in commands(parser()).values())) | {"--json", "--help"}
    assert everywhere <= known


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_every_example_parses(line: list[str]) -> None:
    if line[0] == "models":
        line = [word for word in line if word != "|"][:2]
    assert parser().parse_args(line).command == line[0]


def test_there_are_examples_of_every_command() -> None:
    assert {line[0] for line in command_lines()} >= {"run", "status", "serve"}
    assert len(command_lines()) >= 8


def test_the_exit_codes_are_those_of_the_help_text() -> None:
    table = README[README.index("## Exit codes") : README.index("## What it promises")]
    assert set(re.findall(r"^\| (\d+)", table, flags=re.MULTILINE)) == {"0", "1", "2", "3", "4", "5", "11", "130"}
    for code in ("0", "1", "2", "3", "4", "5", "11", "130", "143"):
        assert re.search(rf"\b{code}\b", EXIT_CODES)
        assert re.search(rf"\b{code}\b", table)


def test_every_file_that_is_linked_exists() -> None:
    for target in re.findall(r"\]\(((?!https?:|#)[^)]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^    |`)make ([a-z]+)", README, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_there_are_five_promises_in_fifteen_kilobytes() -> None:
    promises = README[README.index("## What it promises") : README.index("## How fast")]
    assert re.findall(r"^(\d)\. \*\*", promises, flags=re.MULTILINE) == list("12345")
    assert len(README.encode()) <= 15_000
