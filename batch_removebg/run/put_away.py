"""Sources of watched folders that are done, or have failed, are moved to folders of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, ItemError, SettingsError
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.ledger.decisions import Decisions
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.state import Step
from batch_removebg.manifest.columns import as_item
from batch_removebg.manifest.inputs import is_manifest, place
from batch_removebg.manifest.reader import read_rows
from batch_removebg.pipeline.edits import Edits
from batch_removebg.storage.atomic import move_beside

from . import assemble
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Shelves:
    """Folders that sources are moved to; None: they stay."""

    done: Path | None = None
    failed: Path | None = None

    def __iter__(self) -> Iterator[tuple[str, Path]]:
        """Each with its flag."""
        named = ("--move-done", self.done), ("--move-failed", self.failed)
        return ((flag, folder) for flag, folder in named if folder is not None)

    def check(self, inputs: Sequence[str]) -> None:
        """Raise SettingsError where a source couldn't be renamed into them."""
        for flag, folder in self:
            near = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
            for value in inputs:
                if is_manifest(value):
                    raise SettingsError(f"{flag}: {value} is a manifest, and only pictures of folders are moved")
                if (root := place(value)).exists() and root.stat().st_dev != near.stat().st_dev:
                    raise SettingsError(
                        f"{flag} {folder} is on another file system than {value}: name a folder on that"
                    )
                if folder.exists() and root.exists() and folder.samefile(root):
                    raise SettingsError(f"{flag} {folder} is the INPUT itself; name another folder, which may be in it")

    def fill(self, inputs: Sequence[str], settings: Settings, clock: Clock, listener: Listener) -> None:
        """Move sources for which nothing is left to do, by the ledger; blocks.

        What can't be moved is told of, stays, and is met by the next run. Raises BatchError where nothing can be.
        """
        if not [*self]:
            return
        roots, arrivals = sorted(map(place, inputs), key=lambda root: -len(root.parts)), settings.lasting.arrivals
        fold, edits = assemble.looked(settings), Edits.of(Decisions.read(settings.out))
        with closing(fold), closing(RunItems(fold)) as reading:
            settings = assemble.going_on(settings, fold, listener)
            planner = assemble.planner(settings, reading, assemble.recipe_of(settings), clock, edits)
            for item in map(as_item, read_rows(inputs, settings.reading())):
                if item.path is None or item.problem is not None:
                    continue
                try:
                    status, (step, _) = item.path.stat(), planner.plan(item)
                    to = {Step.DONE: self.done, Step.LEAVE: self.failed}.get(step)
                    if to is not None:
                        root = next((root for root in roots if item.path.is_relative_to(root)), item.path)
                        name = item.path.relative_to(item.path.parent if root == item.path else root)
                        move_beside(item.path, to, name.as_posix())
                        if arrivals is not None:
                            arrivals.left(item.path, status)
                except ItemError:
                    continue
                except (BatchError, OSError) as error:
                    listener(Event(Kind.WARNING, item.id, text=f"stays where it is: {error}"))


STAY = Shelves()
