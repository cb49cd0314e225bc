"""Commands that are told something on stdin, within a time; no shell is asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from subprocess import DEVNULL, STDOUT
from tempfile import TemporaryFile

import anyio

_SHOWN = 1 << 14  # bytes of its output


async def tell(argv: Sequence[str], given: bytes, seconds: float, *, heard: bool = False) -> tuple[str, str]:
    """What went wrong, empty where the command ended with 0, and the end of what it wrote if that is `heard`."""
    # Files, unlike pipes, are neither broken by who doesn't read nor held open by what a command leaves running.
    try:
        with TemporaryFile() as stdin, TemporaryFile() as output:
            stdin.write(given)
            stdin.seek(0)
            # In a session of its own, Ctrl-C in the terminal doesn't reach it, and what it has started ends with it.
            process = await anyio.open_process(
                argv, stdin=stdin, stdout=output if heard else DEVNULL, stderr=STDOUT, start_new_session=True
            )
            try:
                with anyio.move_on_after(seconds):
                    await process.wait()
            finally:
                if late := process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()
            output.seek(max(0, output.seek(0, os.SEEK_END) - _SHOWN))
            said = output.read().decode(errors="replace").strip()
    except (OSError, ValueError) as error:
        return f"it can't be started ({getattr(error, 'strerror', None) or error})", ""
    code = process.returncode
    return (f"it took longer than {seconds:g} s" if late else f"it ended with {code}" if code else ""), said
