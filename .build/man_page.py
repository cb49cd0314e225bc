"""The man page, made from the command line's parser whenever a wheel is built."""

from __future__ import annotations

import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from argparse_manpage.manpage import Manpage
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPage(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the page where `man` looks, in the environment that the wheel is installed to."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the page for the build to take up."""
        self.page = Path(self.directory, "batch-removebg.1")
        self.page.parent.mkdir(parents=True, exist_ok=True)
        self.page.write_text(_text(self.root), "utf-8", newline="\n")
        build_data["shared_data"][str(self.page)] = "share/man/man1/batch-removebg.1"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing but the wheel behind."""
        self.page.unlink()


def _text(root: str) -> str:
    """The page in roff, the same on every terminal; its date is SOURCE_DATE_EPOCH's in UTC."""
    os.environ["COLUMNS"] = "80"
    sys.path.insert(0, root)
    from batch_removebg import __version__
    from batch_removebg.cli.parser import EXAMPLES, EXIT_CODES, parser

    command = parser()
    command.epilog = None
    day = str(datetime.fromtimestamp(float(os.environ.get("SOURCE_DATE_EPOCH", time.time())), UTC).date())
    told = {"project_name": command.prog, "version": __version__, "manual_title": "User commands", "date": day}
    page = Manpage(command, told | {"description": str(command.description).rstrip(".")}, "single-commands-section")
    page.add_section("EXAMPLES", ">", f".nf\n{EXAMPLES.partition(chr(10))[2].strip(chr(10))}\n.fi".replace("-", r"\-"))
    page.add_section("EXIT STATUS", ">", re.sub(r";\s", "\n.br\n", EXIT_CODES.partition(": ")[2]))
    head, _, body = re.sub("`([^`]+)`", r"\\fB\1\\fR", str(page)).partition("\n")
    return head.replace(r"\-", "-") + "\n" + body
