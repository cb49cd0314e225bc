"""OUTs made by the code before the folders were drawn anew (commit bce2afc) are resumed, and nothing is bought again.

`outs/killed` is a run through the hosted API that was killed half-way: five items are saved, four are in flight, the
answer to one create is lost, two are not begun. `outs/failed` went through a gateway, and two of its five items failed.
`outs/finished` was made by the engine, with kept alphas and an index. `api.json` is what the server had accepted.
`outs/named` and `outs/signed` are catalogues whose items were called by their URLs, signatures included.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch_removebg.storage.atomic import signature
from tests.integration.conftest import COMMAND, DEADLINE, Run, environment
from tests.support.fake_api import FakeApi, Made

pytestmark = pytest.mark.anyio
OUTS = Path(__file__).parent / "outs"


@pytest.fixture
def older(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of such an OUT and its sources, in the folder where `run` works; the sources' times are as on record."""

    def copied(name: str) -> Path:
        shutil.copytree(OUTS / name, tmp_path, dirs_exist_ok=True)
        out = tmp_path / "out"
        (out / "ledger.jsonl").write_text(
            "".join(_signed(json.loads(line), tmp_path) for line in (out / "ledger.jsonl").read_text().splitlines())
        )
        return out

    return copied


def _signed(entry: dict[str, Any], folder: Path) -> str:
    if "signature" in entry:
        entry["signature"] = signature(folder / entry["source"])
    return json.dumps(entry) + "\n"


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


async def resumed(api: FakeApi, folder: Path, *words: str) -> tuple[int, str]:
    with anyio.fail_after(DEADLINE):
        done = await anyio.run_process(
            [*COMMAND, "run", *words, "--out", "out", "--base-url", api.base],
            cwd=folder,
            env=environment({"PATH": os.environ["PATH"]}),
            check=False,
        )
    return done.returncode, done.stderr.decode()


async def test_what_was_in_flight_or_lost_is_taken_up_and_only_the_rest_is_bought(
    older: Callable[[str], Path], tmp_path: Path
) -> None:
    out = older("killed")
    accepted = json.loads((tmp_path / "api.json").read_text())["bill"]
    async with FakeApi() as api:
        for made in accepted:
            api.bill.append(Made(made["id"], made["input"], made["created"], base64.b64decode(made["picture"]), 1))
        code, said = await resumed(api, tmp_path, "in", "urls.csv", "--provider", "replicate")
        assert code == 0, said
        bought = [made.input["image"] for made in api.bill[len(accepted) :]]
    assert sorted(bought) == ["https://shop.example/4.jpg", "https://shop.example/5.jpg"]
    found = results(out)
    assert found["counts"] == {"total": 12, "saved": 12, "failed": 0, "pending": 0}
    assert (found["predictions"], found["possible_duplicates"]) == (12, 0)
    assert {item["id"] for item in found["items"] if (out / item["output"]).is_file()} == {
        *(f"in/{n}.jpg" for n in range(6)),
        *(f"u{n}" for n in range(6)),
    }


async def test_what_failed_is_left_alone_until_it_is_asked_for(older: Callable[[str], Path], tmp_path: Path) -> None:
    out = older("failed")
    before = (out / "0.png").read_bytes()
    async with FakeApi(gateway=True, numbers=itertools.count(1001)) as api:  # ids that no prediction had before
        assert (await resumed(api, tmp_path, "in", "--provider", "gateway"))[0] == 3
        assert api.bill == []
        assert results(out)["counts"] == {"total": 5, "saved": 3, "failed": 2, "pending": 0}
        assert (await resumed(api, tmp_path, "in", "--provider", "gateway", "--retry-failed"))[0] == 3
        assert len(api.bill) == 1
    found = results(out)
    assert found["counts"] == {"total": 5, "saved": 4, "failed": 1, "pending": 0}
    assert [item["id"] for item in found["items"] if item["error"]] == ["broken.jpg"]
    assert (out / "0.png").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "words", "items"),
    [
        ("named", ["shop.csv", "--name", "{sku}"], {"A": "A.png", "B": "B.png", "C": "C.png", "D": "D.png"}),
        (
            "signed",
            ["outputs.csv", "ids.csv", "list.txt"],
            {
                "red/a": "red/a.png",
                "red/b": "red/b.png",
                "blue.png": "blue.png",
                "x": "x.png",
                "https://shop.example/y.jpg?v=2": "y.png",
            },
        ),
    ],
)
@pytest.mark.parametrize("night", ["the same", "signed anew"])
async def test_a_catalogue_is_taken_over_by_its_rows_and_nothing_is_bought(
    older: Callable[[str], Path], tmp_path: Path, name: str, words: list[str], items: dict[str, str], night: str
) -> None:
    out = older(name)
    for manifest in (*tmp_path.glob("*.csv"), *tmp_path.glob("*.txt")):
        manifest.write_text(manifest.read_text().replace("feed1", "feed1" if night == "the same" else "feed2"))
    async with FakeApi() as api:
        for _ in range(2):
            assert (await resumed(api, tmp_path, *words, "--provider", "replicate"))[0] == 0
            assert api.bill == []
            assert {item["id"]: item["output"] for item in results(out)["items"]} == items
            assert results(out)["counts"] == {"total": len(items), "saved": len(items), "failed": 0, "pending": 0}
    assert "Signature" not in (out / "results.json").read_text()
    assert all((out / output).is_file() for output in items.values())


async def test_a_picture_that_changed_since_replaces_the_one_that_an_older_version_made_for_the_row(
    older: Callable[[str], Path], tmp_path: Path
) -> None:
    out = older("named")
    (tmp_path / "shop.csv").write_text("sku,image\nA,https://shop.example/3.jpg\n")
    async with FakeApi() as api:
        assert (await resumed(api, tmp_path, "shop.csv", "--name", "{sku}", "--provider", "replicate"))[0] == 0
        assert len(api.bill) == 1
    [found] = [item for item in results(out)["items"] if item["id"] == "A"]
    assert (found["source"], found["output"]) == ("https://shop.example/3.jpg", "A.png")


@pytest.mark.usefixtures("real_weights")
def test_what_is_finished_stays_and_another_format_comes_from_the_kept_alphas(
    older: Callable[[str], Path], run: Run
) -> None:
    out = older("finished")
    before = {path.name: path.read_bytes() for path in out.rglob("*.png")}
    done = run("run", "in", "--out", "out")
    assert (done.returncode, results(out)["counts"]["saved"]) == (0, 3), done.stderr
    assert "goes on with u2netp, which out was begun with" in done.stderr
    assert {path.name: path.read_bytes() for path in out.rglob("*.png")} == before
    done = run("run", "in", "--out", "out", "--format", "webp")
    assert done.returncode == 0, done.stderr
    assert re.search(r"predictions: 0\b", done.stderr) or "without one" in done.stderr, done.stderr
    assert len(list(out.rglob("*.webp"))) == 3
    assert results(out)["predictions"] == 2
