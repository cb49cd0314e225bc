"""Export hands over the pictures that were decided about, whole, and overwrites nothing of anybody."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from batch_removebg.cli.main import run_command
from batch_removebg.errors import SettingsError
from batch_removebg.run.export import Choice, export
from tests.support.bench import Bench, bench
from tests.support.decisions import STAMP, decide

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
ACCEPTED = Choice(["accepted"])


async def made(bench: Bench) -> None:
    bench.add("a.jpg", "sub/b.jpg", "c.jpg")
    (table := bench.photos / "list.csv").write_text("id,image,note\na,a.jpg,=1\nsub/b,sub/b.jpg,\nc,c.jpg,x\n")
    await bench.run(str(table))
    decide(bench.out, "accepted", "a", "sub/b", note="good")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_the_chosen_pictures_are_copied_under_their_names_and_once(bench: Bench, tmp_path: Path) -> None:
    await made(bench)
    to, said = tmp_path / "new" / "shop", list[str]()
    for _ in range(2):  # the second time they are there
        assert str(export(bench.out, to, ACCEPTED, said.append)) == f"{to}: 2 pictures of 2 items"
        assert files(to) == {name: (bench.out / name).read_bytes() for name in ("a.png", "sub/b.png")}
    assert not (to / "a.png").samefile(bench.out / "a.png")
    (to / "a.png").unlink()
    assert export(bench.out, to, Choice(["undecided", "accepted"]), said.append).pictures == 3
    assert sorted(files(to)) == ["a.png", "c.png", "sub/b.png"]
    assert export(bench.out, to, Choice(["accepted"], flag="none such"), said.append).items == 0
    assert export(bench.out, to, Choice(["accepted"], preset="amazon"), said.append).items == 0
    assert said == []


async def test_what_is_there_or_leads_out_of_the_folder_stays_and_is_told_of(bench: Bench, tmp_path: Path) -> None:
    await made(bench)
    to, said = tmp_path / "to", list[str]()
    to.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (to / "a.png").write_bytes(b"mine")
    (to / "sub").symlink_to(tmp_path / "elsewhere")
    done = export(bench.out, to, ACCEPTED, said.append)
    assert (done.pictures, done.lacking) == (0, 2)
    assert (files(to), files(tmp_path / "elsewhere")) == ({"a.png": b"mine"}, {})
    said.sort(key=lambda text: "leads outside" in text)  # items are in the order in which they were finished
    assert ["leads outside" in text for text in said] == [False, True]
    assert said[0].startswith(f"{to / 'a.png'} is another picture, and stays")


async def test_a_missing_or_changed_picture_is_told_of_with_exit_code_three(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await made(bench)
    (bench.out / "a.png").unlink()
    (bench.out / "sub/b.png").write_bytes(b"another")
    given = ["export", str(bench.out), "--decision", "accepted", "--decision", "redo", "--to"]
    assert run_command([*given, str(tmp_path / "to")]) == 3
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'to'}: 0 pictures of 2 items; 2 couldn't be handed over\n"
    assert sorted(line.partition(" is")[0] for line in told.err.splitlines()) == [
        f"error: {bench.out / name}" for name in ("a.png", "sub/b.png")
    ]
    assert run_command([*given, str(tmp_path / "to.csv")]) == 3
    assert run_command([*given, str(bench.out / "to")]) == 2
    assert run_command(["export", str(tmp_path), "--decision", "redo", "--to", str(tmp_path / "to")]) == 2


async def test_a_table_has_the_manifests_columns_too_and_replaces_an_earlier_one_alone(
    bench: Bench, tmp_path: Path
) -> None:
    await made(bench)
    said, to = list[str](), tmp_path / "to.csv"
    assert export(bench.out, to, Choice(["accepted", "undecided"]), said.append).pictures == 3
    head, *rows = csv.reader(to.read_text("utf-8").splitlines())
    first, second = sorted(rows)[:2]
    flags = "suspect faint cut-off"
    assert head == ["id", "source", "output", "decision", "note", "t", "flags", "note_"]
    assert first[:1] + first[2:] == ["a", "a.png", "accepted", "good", STAMP, flags, "=1"]
    assert second[:1] + second[2:] == ["c", "c.png", "undecided", "", "", flags, "x"]
    (bench.out / "a.png").unlink()
    done = export(bench.out, to, ACCEPTED, said.append)
    assert ([line.partition(",")[0] for line in to.read_text().splitlines()], done.lacking) == (["id", "sub/b"], 1)
    (tmp_path / "mine.csv").write_text("id,source\n")
    with pytest.raises(SettingsError, match=r"mine.csv: there is another file of that name"):
        export(bench.out, tmp_path / "mine.csv", ACCEPTED, said.append)
    assert (tmp_path / "mine.csv").read_text() == "id,source\n"
