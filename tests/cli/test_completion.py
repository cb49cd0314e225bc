"""What shells are told: each script is sound, and bash completes commands, flags, their values and names by it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from batch_removebg.cli.completion import script
from batch_removebg.cli.parser import SHELLS, parser
from tests.support.commands import commands

_COMPLETE = """
source "$1"; shift
COMP_WORDS=(batch-removebg "$@"); COMP_CWORD=$#
read -r _ _ _ _ function _ <<< "$(complete -p batch-removebg)"
"$function"; printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words, in a folder."""
    (folder / "script").write_text(script("bash"), "utf-8")
    line = ["bash", "--norc", "-c", _COMPLETE, "bash", "./script", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=folder)
    return sorted(done.stdout.split())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_sound_and_knows_every_command(shell: str, tmp_path: Path) -> None:
    text = script(shell)
    assert all(name in text for name in commands(parser()))
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    (tmp_path / "script").write_text(text, "utf-8")
    done = subprocess.run([shell, "-n", "script"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not on this machine")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("rev",), ["review"]),
        (("run", "--max-p"), ["--max-pixels", "--max-predictions"]),
        (("run", "--no-t"), ["--no-trim"]),
        (("config", "init", "--exc"), ["--exclude"]),
        (("run", "photos", "--provider", "re"), ["replicate"]),
        (("run", "photos", "--preset", "amazon"), ["amazon", "amazon-zoom"]),
        (("run", "ph"), ["photos", "photos.csv"]),
        (("run", "photos", "--out", "ph"), ["photos"]),
        (("run", "photos", "--id-column", "ph"), []),
        (("presets", "show", "zal"), ["zalando"]),
        (("models", "pull", "u2netp"), ["u2netp"]),
        (("models", "pu"), ["pull"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_bash_completes(words: tuple[str, ...], offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos.csv").touch()
    assert completed(tmp_path, *words) == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not on this machine")
@pytest.mark.parametrize(
    ("line", "offered"), [("run --max-p", ["--max-pixels", "--max-predictions"]), ("rev", ["review"])]
)
def test_fish_completes(line: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script("fish"), "utf-8")
    command = ["fish", "--no-config", "-c", f"source script; complete -C 'batch-removebg {line}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert sorted(each.split("\t")[0] for each in done.stdout.splitlines()) == offered
