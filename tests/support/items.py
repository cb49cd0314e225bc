"""The Items that a run would read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from batch_removebg.manifest.columns import Choice, as_item
from batch_removebg.manifest.folder import Folders
from batch_removebg.manifest.reader import Reading, read_rows
from batch_removebg.model import Item


def read(
    inputs: Sequence[str],
    *,
    out: Path | None,
    stdin: BinaryIO | None = None,
    on_warning: Callable[[str], None] = lambda _: None,
    choice: Choice = Choice(),
) -> Iterator[Item]:
    """Every picture the INPUTs name, as Items."""
    for row in read_rows(inputs, Reading(choice, Folders(out), warn=on_warning), stdin):
        yield as_item(row)


def buffered(data: bytes) -> io.BufferedReader:
    """Standard input with this content."""
    return io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]  # a raw stream for all that a reader needs
