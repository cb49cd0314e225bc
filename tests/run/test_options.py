"""An option is declared once: flag, help, check, default, keyword argument and documents follow from its entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from batch_removebg import SettingsError, run_batch, run_batch_sync
from batch_removebg.cli.parser import parser
from batch_removebg.run.declare import declared, option
from batch_removebg.run.options import PICTURES, Options
from batch_removebg.run.settings import Settings
from tests.support.commands import commands, row


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaded(Settings):
    """The settings, and three options that nothing else knows of."""

    halo: int = option(3, PICTURES, "pixels of shadow under `it`", metavar="PX", least=0, most=9)
    shade: Literal["soft", "hard"] | None = option(None, PICTURES, "of the shadow")
    for_each: Mapping[str, Any] = option(
        {}, PICTURES, "one for each", metavar="K=V", flag="--each", read=lambda text: text.split("=")
    )


OUT = Path("out")


def test_an_option_that_is_added_to_the_table_is_a_flag_with_its_help_and_default() -> None:
    run = commands(parser(Shaded))["run"]
    text = run.format_help()
    assert "--halo PX             pixels of shadow under it (default 3)\n" in text
    assert text.index("pictures:") < text.index("  --halo PX") < text.index("how much, how fast:")
    given = parser(Shaded).parse_args(["run", "in", "--out", "out", "--halo", "7", "--each", "a=b", "--each", "c=d"])
    assert (given.halo, given.shade) == (7, None)
    assert declared(Shaded)["for_each"].collect(given.for_each) == {"a": "b", "c": "d"}  # type: ignore[misc]


def test_an_option_that_is_added_to_the_table_is_a_setting_and_recorded_where_it_is_not_the_default() -> None:
    assert (Shaded(out=OUT).halo, Shaded(out=OUT).for_each, Shaded(out=OUT).shown()) == (3, {}, {})
    assert Shaded(out=OUT, halo=4).shown() == {"halo": 4}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"halo": 10}, "--halo 10: give 0 to 9"),
        ({"halo": -1}, "--halo -1: give 0 or more"),
        ({"shade": "grey"}, "--shade grey: choose one of soft, hard"),
    ],
)
def test_an_option_that_is_added_to_the_table_is_checked(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Shaded(out=OUT, **bad)
    assert str(error.value) == message


def test_an_option_that_is_added_to_the_table_has_its_row_in_the_readme() -> None:
    actions = {action.dest: action for action in commands(parser(Shaded))["run"]._actions}
    assert row(actions["halo"]) == "| `--halo PX` | pixels of shadow under `it` (default `3`) |"
    assert row(actions["shade"]) == r"| `--shade soft\|hard` | of the shadow |"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"quality": 101}, "--quality 101: give 1 to 100"),
        ({"concurrency": 0}, "--concurrency 0: give 1 or more"),
        ({"rate": 0.0}, "--rate 0: give a number above 0"),
        ({"grace": -0.5}, "--grace -0.5: give 0 or more"),
        ({"format": "gif"}, "--format gif: choose one of png, webp, jpeg, tiff, avif"),
        ({"edges": "soft"}, "--edges soft: choose one of clean, keep"),
        ({"provider": None}, "--provider None: choose one of local, replicate, gateway"),
    ],
)
def test_a_refusal_names_flag_value_and_remedy(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings(out=OUT, **bad)
    assert str(error.value) == message


def test_every_help_text_is_one_plain_line_of_markdown() -> None:
    for one in declared(Options).values():
        assert one.help.count("`") % 2 == 0, one.name
        assert "%" not in one.help, one.name  # argparse would expand it
        assert not re.search(r"\.$|\n", one.help), one.name


# Type checkers read the keyword arguments of `run_batch` from the table. `make check` runs mypy over this file, and an
# ignore that is not needed is an error there.


@pytest.mark.anyio
async def test_run_batch_is_typed_by_the_table(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="formt"):
        await run_batch("photos", out=tmp_path / "out", formt="webp")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="out"):
        await run_batch("photos", format="webp")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        await run_batch("photos", "out")  # type: ignore[call-arg, arg-type]
    with pytest.raises(SettingsError, match="edges soft: choose one of clean, keep"):
        await run_batch("photos", out="out", edges="soft")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="quality 0"):
        await run_batch(inputs=["photos", tmp_path], out="out", format="webp", quality=0)
    with pytest.raises(SettingsError, match="limit 0"):
        await run_batch("photos", out="out", limit=0, **dict[str, Any](rate=1.0))


def test_run_batch_sync_is_typed_by_the_table() -> None:
    with pytest.raises(TypeError, match="formt"):
        run_batch_sync("photos", out="out", formt="webp")  # type: ignore[call-arg]
    with pytest.raises(SettingsError, match="quality 0"):
        run_batch_sync("photos", out=OUT, quality=0).saved.bit_length()
