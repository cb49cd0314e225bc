"""The shards of a run become one list, once every row of their manifest is there exactly once."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from batch_removebg.errors import LockedError, SettingsError
from batch_removebg.ledger import results
from batch_removebg.ledger.codec import decode
from batch_removebg.ledger.decisions import Decisions
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.run_items import RunItems, told_apart
from batch_removebg.ledger.journal import look
from batch_removebg.manifest.seen import Marks
from batch_removebg.manifest.shard import Shard, Tally
from batch_removebg.storage.layout import CSV, INDEX, LEDGER, RESULTS, STATE
from batch_removebg.storage.lock import held
from batch_removebg.storage.naming import name_key

from .declare import declared
from .options import PICTURES, PLACE, PROVIDER, Options
from .place import bound_to
from .shards import shards_in

_MACHINES = {"device", "precision", "token_env", "memory"}  # which may differ


@dataclass(slots=True)
class Merged:
    """The list, and what is in it."""

    to: Path
    shards: int
    counts: Mapping[str, int]
    predictions: int
    clashes: int = 0  # items whose picture has the name that one of another shard has
    clash: str = ""  # the first such name

    @property
    def exit_code(self) -> int:
        """0 all saved · 3 some failed or are pending."""
        return 3 if self.counts["failed"] or self.counts["pending"] else 0

    def __str__(self) -> str:
        counts = "{total} items: {saved} saved, {failed} failed, {pending} pending".format_map(self.counts)
        told = f"{self.shards} shards, {counts}; predictions: {self.predictions}"
        alike = f"names that pictures of several shards have: {self.clashes}, such as {self.clash}"
        return f"{told}\n{alike}; keep their folders apart" if self.clashes else told


class _Part:
    """A shard's OUT, and what its ledger says as a whole; `made_with`: what decides how its pictures look."""

    def __init__(self, out: Path, beside: Path) -> None:
        if held(out / STATE):
            raise LockedError(f"{out} is in use by a run: wait until it has ended")
        self.out, self.place = out, bound_to(out)[0] or Path(os.path.relpath(out, beside)).as_posix()
        options = declared(Options).values()
        makes = {one.name for one in options if one.group in (PROVIDER, PICTURES, PLACE)} - _MACHINES
        with self._fold() as fold:
            self.manifest, self.head = fold.run.manifest, results.head(fold, fold.counts(), held=False)
            self.made_with = {name: value for name, value in fold.settings.items() if name in makes}
            self.made_with |= {"provider": fold.provider, "version": fold.version}

    def _fold(self) -> closing[IndexedFold]:
        return closing(look(self.out / LEDGER, self.out / INDEX))

    def entries(self) -> Iterator[dict[str, Any]]:
        """Its items of the manifest as results.json has them, also those that no line of the ledger names."""
        with self._fold() as fold, closing(RunItems(fold)) as run_items:
            for entry in results.entries(run_items, Decisions.read(self.out)):
                if entry["status"] != "gone":
                    yield entry
            with suppress(FileNotFoundError), (self.out / RESULTS).open("rb") as file:
                for line in (line for line in file if b'"status":"pending"' in line):
                    entry = decode(line.rstrip(b",\n"))
                    if entry["id"] not in fold.items:
                        yield entry


def merge(outs: Sequence[Path], to: Path | None) -> Merged:
    """Write results.json and results.csv of all shards in the OUTs to `to` and beside it; blocks.

    Raises SettingsError, which names the shard, where one is missing, isn't done or differs, or a row isn't there
    exactly once; LockedError where a run goes on, LedgerError and DiskError.
    """
    found, to = _found(outs), _target(outs, to)
    parts = [_Part(out, to.parent) for out in found]
    _require_alike(parts)
    counts = {name: sum(part.head["counts"][name] for part in parts) for name in parts[0].head["counts"]}
    merged = Merged(to, len(parts), counts, sum(part.head["predictions"] for part in parts))
    results.write(to, results.document(_head(parts, merged), _items(parts, merged)))
    if all((part.out / CSV).exists() for part in parts):
        results.write(to.with_suffix(".csv"), _table(parts))
    return merged


def _found(outs: Sequence[Path]) -> list[Path]:
    """The OUTs of all shards, in their order."""
    found = dict[Shard, Path]()
    for folder in outs:
        own = Shard.named(folder.resolve().name)
        some = {own: folder} if own is not None else dict(shards_in(folder))
        for shard in {*some} & {*found}:
            raise SettingsError(f"shard {shard} is there twice, as {found[shard]} and {some[shard]}; leave one out")
        found |= some
    if len(of := {shard.of for shard in found}) != 1:
        what = f"shards of {' and of '.join(map(str, sorted(of)))}" if of else "no shards"
        raise SettingsError(f"{', '.join(map(str, outs))}: there are {what}; give the --out of one run with --shard")
    every = [Shard(nth, max(of)) for nth in range(1, max(of) + 1)]
    if missing := [shard for shard in every if shard not in found]:
        more = f" and {len(missing) - 1} more are" if missing[1:] else " is"
        raise SettingsError(f"{missing[0].folder}{more} missing: run --shard {missing[0]}, or name its OUT too")
    return [found[shard] for shard in every]


def _target(outs: Sequence[Path], to: Path | None) -> Path:
    """Where the list goes; nothing but an earlier one is replaced."""
    if to is None and (len(outs) > 1 or Shard.named(outs[0].resolve().name)):
        raise SettingsError("name the file to write with --to, such as --to all.json")
    to = to or outs[0] / RESULTS
    if to.suffix != ".json" or (to.parent / LEDGER).exists():
        raise SettingsError(f"--to {to}: name a .json file outside of the shards' folders")
    with suppress(FileNotFoundError), to.open("rb") as file:
        if file.readline().startswith(b'{"v": 1, "provider":'):
            return to
    for path in filter(Path.exists, (to, to.with_suffix(".csv"))):
        raise SettingsError(f"{path} is another file, and stays; move it away, or give another --to")
    return to


def _require_alike(parts: Sequence[_Part]) -> None:
    """Raise SettingsError unless all have read one manifest to its end, and made their pictures in one way."""
    first = parts[0]
    for part in parts:
        run, one, other = part.head["run"], part.made_with, first.made_with
        if not part.manifest:
            how = f"its last run was {run['state']} before all was read" if run["started"] else "it has not run"
            raise SettingsError(f"{part.out}: {how}; run its command again")
        if differ := ", ".join(sorted(name for name in {*one, *other} if one.get(name) != other.get(name))):
            raise SettingsError(
                f"{part.out} was made otherwise than {first.out} ({differ}); run one again as the other"
            )
        if part.manifest != first.manifest:
            raise SettingsError(f"{part.out} has read another manifest than {first.out}; run all over the same one")


def _items(parts: Sequence[_Part], merged: Merged) -> Iterator[Mapping[str, Any]]:
    """The items of all; raises SettingsError at their end unless every row is there exactly once."""
    ids, names, tally, twice = Marks(), Marks(), Tally(), ""
    for part in parts:
        for entry in part.entries():
            key, pictures = entry["id"], entry.get("outputs") or [entry]
            tally.add(key)
            if ids.add([key]) and not twice:
                twice = f"; {key!r}, of {part.out}, is in another one, too"
            if entry["output"] is not None:
                if names.add(name_key(one["output"]) for one in pictures):
                    merged.clashes, merged.clash = merged.clashes + 1, merged.clash or entry["output"]
                for one in pictures:
                    one["output"] = f"{part.place}/{one['output']}"
                entry["output"] = pictures[0]["output"]
            yield entry
    if tally.told() != (wanted := parts[0].manifest):
        what = f"the shards' {tally.items} items aren't the {wanted['items']} of their manifest{twice}"
        remedy = "were files named by other paths on some machine? Give all shards one --root, and run them again"
        raise SettingsError(f"{what}; {remedy}")


def _head(parts: Sequence[_Part], merged: Merged) -> dict[str, Any]:
    heads = [part.head for part in parts]
    runs = [head["run"] for head in heads]
    run = next((run for run in runs if run["state"] != "finished"), runs[0])
    run |= {"started": min(run["started"] for run in runs), "ended": max(run["ended"] for run in runs)}
    run |= {"exit_code": merged.exit_code, "pid": None, "rate": None}
    duplicates = sum(head["possible_duplicates"] for head in heads)
    summed = {"predictions": merged.predictions, "possible_duplicates": duplicates}
    return {**heads[0], "run": run, "counts": merged.counts, "gone": 0, **summed}


def _table(parts: Sequence[_Part]) -> Iterator[str]:
    """The shards' tables, one behind the other, with the columns of all."""
    csv.field_size_limit(sys.maxsize)
    headers = [told_apart(tuple(next(_rows(part)))) for part in parts]
    columns = list(dict.fromkeys(chain(*headers)))
    yield results.csv_line(name for name, _ in columns)
    for part, header in zip(parts, headers, strict=True):
        output = header.index(("output_" if ("output_", 0) in header else "output", 0))
        for row in islice(_rows(part), 1, None):
            row[output] = " | ".join(f"{part.place}/{one}" for one in row[output].split(" | ") if one)
            cells = dict(zip(header, row, strict=True))
            yield results.csv_line(cells.get(column, "") for column in columns)


def _rows(part: _Part) -> Iterator[list[str]]:
    with (part.out / CSV).open(encoding="utf-8", newline="") as file:
        yield from csv.reader(file)
