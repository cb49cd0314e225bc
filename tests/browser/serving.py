"""The two processes that these tests look at: Chromium, and a review server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.browser import shelf

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ELSEWHERE = "elsewhere.example"
"""A name of a stranger's that leads to this machine, as a rebinding page would have it."""
DEADLINE = 30  # seconds for a command to say or do what it must
INSTALL = "apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
MISSING = f"no Chromium on this machine; on Debian: {INSTALL}; elsewhere: CHROMIUM=/path/of/it"


def chromium() -> str | None:
    """The path of Chromium: what `CHROMIUM` names, else Debian's; None where there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


@contextmanager
def browsing() -> Iterator[Browser]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield started
        finally:
            started.close()


@dataclass
class Server:
    """A review server of an OUT, and its one-time address."""

    out: Path
    process: subprocess.Popen[str]
    url: str

    @classmethod
    def start(cls, out: Path, *words: str) -> Self:
        """Start the real command, and read the address that it prints."""
        words = (*words, "--no-browser") if "--port" in words else (*words, "--port", "0", "--no-browser")
        command = [sys.executable, "-m", "batch_removebg", "review", str(out), *words]
        process = subprocess.Popen(command, env=shelf.environment(), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+", said)
        assert found, f"no address, but {said!r}"
        return cls(out, process, found[0])

    @property
    def origin(self) -> str:
        return self.url.partition("/?")[0]

    @property
    def port(self) -> str:
        return self.origin.rpartition(":")[2]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        if self.process.stdout is not None:
            self.process.stdout.close()
