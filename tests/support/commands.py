"""The parsers of the commands, and README's row for a flag."""

from __future__ import annotations

import argparse


def commands(root: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Each command's own parser."""
    [found] = [action for action in root._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found.choices)


def row(action: argparse.Action) -> str:
    """The line of README's table of flags for one flag: its names, its values, its help."""
    values = str(action.metavar or "|".join(action.choices or ())).replace("|", r"\|")
    flags = [f"`{flag} {values}`" if values else f"`{flag}`" for flag in action.option_strings]
    text = str(action.help).replace("%%", "%")
    return f"| {', '.join(flags)} | {text} |"
