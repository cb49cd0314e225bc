"""7: local photographs: what goes up, how often, and the same content twice; URLs that come many times in a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bench.behaviour import Behaviour, Limit, RunTimes
from tests.bench.figures import Bench, Case, Figure, Measured, at_least, at_most
from tests.bench.material import image_url, item_id, manifest, photographs
from tests.bench.processes import CaseFailed, Simulated, ours

INTERRUPTED = 0.3
IN_A_ROW = 10


def results(out: Path) -> list[dict[str, Any]]:
    """The items of a run's results.json."""
    items: list[dict[str, Any]] = json.loads((out / "results.json").read_text(encoding="utf-8"))["items"]
    return items


def retried(api: Simulated, photos: list[Path], folder: Path, seed: int) -> dict[str, float]:
    """What goes up where some predictions are interrupted, by the names of the figures."""
    behaviour = Behaviour(run=RunTimes(median=0.3), interrupted=INTERRUPTED, seed=seed)
    api.reset(behaviour)
    rows = manifest(folder / "retried.csv", [(photo.stem, str(photo)) for photo in photos])
    # An item whose predictions are all interrupted may fail in the end; what it uploaded counts all the same.
    ran = ours(api, rows, folder / "retried", "--format", "jpeg", code=None)
    if ran.code not in (0, 3):
        raise CaseFailed(f"the run ended with exit code {ran.code}: {ran.said[-800:].strip()}")
    facts = api.facts()
    if not facts["failed"]:
        raise CaseFailed("no prediction was interrupted; choose another seed")
    return {
        "side": facts["longest_side"],
        "bytes": 100 * facts["uploaded_once"] / sum(photo.stat().st_size for photo in photos),
        "uploads": facts["uploads"] / len(photos),
        "creates": facts["accepted"] / len(photos),
        "overlapped": 100 * facts["overlapped"] / max(1, facts["uploads"]),
    }


def twice(api: Simulated, photos: list[Path], folder: Path) -> tuple[float, float, float]:
    """Creates a content, outputs an item and items said to be `reused`, with each photograph in the manifest twice."""
    api.reset(Behaviour(run=RunTimes(median=0.3)))
    pairs = [(f"{copy}/{photo.stem}", str(photo)) for copy in ("one", "two") for photo in photos]
    out = folder / "twice"
    ours(api, manifest(folder / "twice.csv", pairs), out, "--format", "jpeg")
    written = [item for item in results(out) if item["output"] and (out / item["output"]).is_file()]
    reused = sum(item["reused"] for item in written)
    return api.facts()["accepted"] / len(photos), len(written) / len(pairs), reused / len(photos)


def in_a_row(api: Simulated, urls: int, folder: Path) -> float:
    """Seconds with each URL ten times in a row ÷ seconds with each once, at a limit that is told."""
    seconds = []
    for often in (1, IN_A_ROW):
        api.reset(Behaviour(creates=Limit(600, 10), run=RunTimes(median=2.0, sigma=0.05), picture=20_000))
        rows = [(f"{copy}/{item_id(nth)}", image_url(nth)) for nth in range(urls) for copy in range(often)]
        ran = ours(api, manifest(folder / f"{often}.csv", rows), folder / f"row{often}", "--rate", "600")
        if (bought := api.facts()["accepted"]) != urls:
            raise CaseFailed(f"{bought} creates were accepted for {urls} URLs")
        seconds.append(ran.seconds)
    return seconds[1] / seconds[0]


def run(bench: Bench) -> Measured:
    number, longest = (4, 2600) if bench.quick else (12, 4000)
    photos = photographs(bench.scratch / "photos", number, longest)
    first, second, rows = [], [], []
    with Simulated() as api:
        for index in range(bench.runs):
            bench.say(f"{number} photographs, run {index + 1} of {bench.runs}")
            folder = bench.scratch / str(index)
            folder.mkdir()
            first.append(retried(api, photos, folder, seed=index + 1))
            second.append(twice(api, photos, folder))
            rows.append(in_a_row(api, 10 * number // 2, folder))
    up = {name: [one[name] for one in first] for name in first[0]}
    bought, written, reused = zip(*second, strict=True)
    return Measured(
        [
            Figure("longest side of what goes up", up["side"], "px", at_most(2048)),
            Figure("uploads a photograph, where predictions are interrupted", up["uploads"], "", at_most(1)),
            Figure("creates a photograph in the same runs", up["creates"]),
            Figure("bytes of an upload ÷ bytes of its photograph", up["bytes"], "%"),
            Figure("uploads while a prediction runs", up["overlapped"], "%"),
            Figure("creates a photograph that is in the manifest twice", bought, "", at_most(1)),
            Figure("seconds with each URL ten times in a row ÷ once", rows, "×", at_most(1.1)),
            Figure("outputs written an item, in the same runs", written, "", at_least(1)),
            Figure("items made from another's prediction (`reused`) ÷ photographs", reused, "", at_least(1)),
        ]
    )


CASE = Case(
    "7",
    "Uploads",
    "12 photographs, 4000 px on their longest side, as JPEG; Files API; run time around 0.3 s. In the runs for "
    "uploads 30 % of the predictions end failed in a passing way. In a row: 60 URLs, 600 creates a minute, burst 10, "
    "told with --rate; run time around 2 s.",
    run,
)
