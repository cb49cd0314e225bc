"""`batch-removebg completion`: what a shell needs to complete the command line, made from its parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

from batch_removebg.engine import weights
from batch_removebg.finish import presets

from .parser import parser

_PATHS = {"DIR": shtab.DIRECTORY, "OUT": shtab.DIRECTORY, "INPUT": shtab.FILE, "PATH": shtab.FILE}
"""What is completed where a word of such a name is due; FILE too, as one of several: `COLOUR|FILE`."""


def script(shell: str) -> str:
    """The completion script for `bash`, `zsh` or `fish`: commands, flags, their values, and names of files."""
    root = parser()
    models, shops = tuple(weights.MODELS), tuple(presets.shipped())
    names = {"model": models, "models": models, "preset": shops, "presets": shops}
    for command, action in _actions(root):
        if action.help == argparse.SUPPRESS:  # too many for `--help`, and good to have here
            action.help = "see run --help-all"
        metavar = str(action.metavar)
        if metavar == "NAME" and (known := names.get(action.dest) or names.get(command)):
            action.choices = known
        elif metavar in _PATHS or "FILE" in metavar:
            action.complete = _PATHS.get(metavar, shtab.FILE)  # type: ignore[attr-defined]  # what shtab looks for
    return shtab.complete(root, shell)


def _actions(of: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """All arguments of a parser and its subcommands, each with its command's name."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
        else:
            yield of.prog.partition(" ")[2].partition(" ")[0], action
