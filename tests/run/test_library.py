"""The library beyond a plain batch: rows, events, results as they come, one picture, a provider of one's own."""

from __future__ import annotations

import doctest
import io
import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image

import batch_removebg
from batch_removebg import (
    Event,
    Kind,
    ManifestError,
    Result,
    SettingsError,
    remove,
    run_batch,
    run_batch_sync,
    stream_batch,
)
from batch_removebg.engine import network, process
from batch_removebg.engine.runtimes import opening
from batch_removebg.run import library
from tests.support.doubles import ScriptedProvider, encoded, photo
from tests.support.local_doubles import Here, LeftHalf


@pytest.fixture(autouse=True)
def _stub_network(monkeypatch: pytest.MonkeyPatch) -> None:
    library._network.cache_clear()
    monkeypatch.setattr(opening, "ensure_weights", lambda model, **asked: None)
    monkeypatch.setattr(network, "load", lambda model, **asked: LeftHalf())
    monkeypatch.setattr(process, "NetworkProcess", lambda load, cpu, *_: Here(LeftHalf))


def items(out: Path) -> dict[str, Any]:
    return {item["id"]: item for item in json.loads((out / "results.json").read_text())["items"]}


def test_dicts_are_rows_as_in_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(photo())
    summary = run_batch_sync([{"image": "a.jpg", "id": "A", "sku": "S"}], out="o")
    assert (summary.saved, summary.exit_code) == (1, 0)
    assert items(tmp_path / "o")["A"]["meta"] == {"sku": "S"}
    assert (tmp_path / "o" / "A.png").is_file()


class Frame:
    """As much of a table of pandas as counts: numbers of its own, NaN for an empty cell, and dicts on request."""

    class Number:
        def __str__(self) -> str:
            return "7"

    def __ne__(self, other: object) -> Any:
        raise ValueError("the truth of a table is ambiguous")

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{"image": "a.jpg", "id": self.Number(), "output": float("nan")}]

    def __iter__(self) -> Any:
        return iter(["image", "id", "output"])


def test_rows_may_be_a_table_or_any_iterable_of_paths_bytes_and_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(photo())
    assert run_batch_sync(rows=Frame(), out="table").saved == 1
    assert run_batch_sync({"image": "a.jpg"}, out="row").saved == 1  # type: ignore[arg-type]
    assert [*items(tmp_path / "table")] == ["7"]
    rows = [Path("a.jpg"), ("bytes", photo(20, 20)), ("image", Image.new("RGB", (9, 8)))]
    summary = run_batch_sync(rows=iter(rows), out="o")
    assert (summary.saved, sorted(items(tmp_path / "o"))) == (3, ["a.jpg", "bytes", "image"])
    again = run_batch_sync(rows=iter(rows), out="o")
    assert (again.saved, again.skipped, again.predictions) == (3, 3, 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": [7]}, r"a row is a dict .* or \(id, picture\).*; not int"),
        ({"rows": [b"a picture without an id"]}, "not bytes"),
        ({"rows": {"image": "a.jpg"}}, "rows takes an iterable, .*; not dict"),
        ({"rows": "a.jpg"}, "not str"),
        ({"inputs": Image.new("L", (2, 2))}, "a row is a dict .*; not Image"),
        ({"inputs": b"a picture"}, "a row is a dict .*; not bytes"),
        ({"inputs": ["a.jpg"], "concurency": 3}, "no argument 'concurency'; did you mean 'concurrency'"),
        ({"inputs": ["a.jpg"], "quality": "high"}, "quality='high': .*int"),
        ({"inputs": ["a.jpg"], "mask_only": 3}, "mask_only=3: .*bool"),
        ({"inputs": ["a.jpg"], "provider": object()}, "provider is 'local', .* or a Provider .*; object has no name"),
        ({"inputs": ["a.jpg"], "out": 5}, "out is the path of a folder; not int"),
        ({"inputs": ["a.jpg"], "on_event": 5}, "on_event is a function"),
        ({"inputs": ["a.jpg"], "on_event": anyio.sleep}, "on_event is a function .*isn't async"),
    ],
)
def test_a_type_error_says_what_may_be_given(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        run_batch_sync(**{"out": tmp_path / "o", **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": [{"picture of": "a.jpg"}]}, r"rows:1: no column names the picture .*image_column"),
        ({"rows": [{"image": "a.jpg"}], "image_column": "imag"}, "rows:1: there is no column 'imag'; did you mean"),
        ({"rows": []}, r"There is nothing to do: no picture was found \(rows\)"),
    ],
)
def test_rows_that_are_no_manifest_are_an_error_before_anything_is_made(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ManifestError, match=f"^{said}"):
        run_batch_sync(out=tmp_path / "o", **given)
    assert not (tmp_path / "o").exists()


def test_a_row_that_makes_no_sense_is_told_by_its_number(tmp_path: Path) -> None:
    [group] = run_batch_sync(rows=[{"image": 5}], out=tmp_path / "o").failures
    assert [item for item, _ in group.examples] == ["rows:1"]


def test_one_text_stands_for_a_tuple_of_one(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_bytes(photo())
    assert run_batch_sync(tmp_path, out=tmp_path / "o", exclude="*.png").saved == 1


def test_errors_speak_of_arguments(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^max_cost needs price, "):
        run_batch_sync(tmp_path, out=tmp_path / "o", max_cost=1.0)
    with pytest.raises(SettingsError, match=r"^provider gateway needs base_url"):
        run_batch_sync(tmp_path, out=tmp_path / "o", provider="gateway")
    (tmp_path / "a.jpg").write_bytes(photo(3000, 1000))
    events: list[Event] = []
    summary = run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "o", max_pixels=9, on_event=events.append)
    [(_, message)] = summary.failures[0].examples
    assert "max_pixels" in message
    assert [event.text for event in events if event.kind is Kind.FAILED] == [message]


@pytest.mark.anyio
async def test_the_sync_twin_works_where_a_loop_runs(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    assert run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "o").saved == 1


@pytest.mark.anyio
async def test_results_come_one_by_one_and_those_with_nothing_to_do_too(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "o"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(photo())
    (photos / "b.jpg").write_bytes(b"no picture")
    found = {one.id: one async for one in stream_batch(photos, out=out)}
    flags = found["a.jpg"].flags
    assert found["a.jpg"] == Result("a.jpg", str(photos / "a.jpg"), "saved", out / "a.png", None, flags)
    assert (found["b.jpg"].status, found["b.jpg"].output) == ("failed", None)
    assert "is not a picture" in (found["b.jpg"].error or "")
    (photos / "b.jpg").write_bytes(photo(30, 30))
    again = [(one.id, one.status, one.output) async for one in stream_batch(photos, out=out)]
    assert again == [("b.jpg", "saved", out / "b.png"), ("a.jpg", "saved", out / "a.png")]


@pytest.mark.anyio
async def test_who_leaves_the_results_cancels_the_run_and_the_next_goes_on(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(photo(50 + number, 40))
    results = stream_batch([tmp_path / f"{n}.jpg" for n in range(6)], out=tmp_path / "o", concurrency=1)
    async for _ in results:
        break
    await results.aclose()  # type: ignore[attr-defined]
    with anyio.fail_after(20):
        assert (await run_batch([tmp_path / f"{n}.jpg" for n in range(6)], out=tmp_path / "o")).saved == 6


@pytest.mark.anyio
async def test_a_provider_of_ones_own_makes_the_predictions(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    mine = ScriptedProvider()
    summary = await run_batch(tmp_path / "a.jpg", out=tmp_path / "o", provider=mine)
    assert (summary.saved, summary.predictions, mine.bill) == (1, 1, 1)
    assert json.loads(summary.results.read_text())["provider"] == "scripted"


def turned() -> Image.Image:
    image = Image.new("RGB", (40, 30), (200, 40, 90))
    image.getexif()[0x0112] = 6
    return image


def test_one_picture_is_cut_out_upright_from_a_path_bytes_or_an_image(tmp_path: Path) -> None:
    file = io.BytesIO()
    turned().save(file, "JPEG", exif=turned().getexif())
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    for given in (tmp_path / "a.jpg", str(tmp_path / "a.jpg"), file.getvalue(), turned()):
        made = remove(given)
        assert (made.mode, made.size) == ("RGBA", (30, 40))
        assert (made.getpixel((2, 20))[3], made.getpixel((28, 20))[3]) == (255, 0)
    assert remove(photo(), background="white").mode == "RGB"
    assert remove(photo(), mask_only=True).mode == "L"
    assert remove(photo(), preset="jd").size == (800, 800)


def test_the_network_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    monkeypatch.setattr(network, "load", lambda model, **asked: loads.append(model.name) or LeftHalf())
    for _ in range(3):
        remove(encoded(Image.new("L", (9, 9)), "PNG"))
    assert loads == ["isnet"]


def test_where_there_is_no_cutout_an_error_is_raised() -> None:
    with pytest.raises(SettingsError, match="remove works with the engine on this machine"):
        remove(photo(), provider=ScriptedProvider())
    with pytest.raises(TypeError, match="image is a path, a file's bytes or a PIL image; not int"):
        remove(7)  # type: ignore[arg-type]
    with pytest.raises(library.BatchError, match="is not a picture"):
        remove(b"no picture")


def test_the_example_in_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(batch_removebg.__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(from batch_removebg import.*?)```", readme, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples/photos").mkdir(parents=True)
    (tmp_path / "samples/photos/oats.jpg").write_bytes(photo())
    names: dict[str, Any] = {}
    exec(example, names)
    assert (names["summary"].saved, names["summary"].exit_code) == (1, 0)
    assert {path.name for path in tmp_path.rglob("o*.png")} == {"oats.png"}
    assert (tmp_path / "cutouts" / "A1.webp").is_file()


def test_the_examples_of_the_package_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shoe.jpg").write_bytes(photo())
    ran = doctest.testmod(batch_removebg, raise_on_error=True)
    assert (ran.failed, ran.attempted) == (0, 4)
    assert (tmp_path / "shoe.png").is_file()
    assert (tmp_path / "cutouts" / "A1.webp").is_file()
