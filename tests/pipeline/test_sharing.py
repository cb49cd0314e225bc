"""The same content twice is bought once, in one run, across runs and across failures; uploads are used again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_removebg.errors import CreateLost
from batch_removebg.model import Capabilities, CreateRequest, Prediction, Status, Upload
from batch_removebg.run.summary import Summary
from tests.support.bench import Bench, bench, processing, stop_after
from tests.support.doubles import FakeClock, ScriptedProvider

__all__ = ["bench"]
pytestmark = pytest.mark.anyio

INTERRUPTED = Prediction("x", Status.FAILED, error="Prediction interrupted; please retry (code: PA)")


class Holding(ScriptedProvider):
    """Says for how long it holds uploads: an hour from the fake clock's beginning, unless told otherwise."""

    held = 3600.0

    async def upload(self, data: bytes, *, filename: str, content_type: str) -> Upload:
        made = await super().upload(data, filename=filename, content_type=content_type)
        begin = datetime.fromtimestamp(FakeClock().now, UTC)
        return replace(made, expires_at=begin + timedelta(seconds=self.held))


def copies(bench: Bench, *names: str) -> None:
    bench.add(names[0])
    for name in names[1:]:
        (bench.photos / name).write_bytes((bench.photos / names[0]).read_bytes())


def urls(tmp_path: Path, *rows: str) -> str:
    manifest = tmp_path / "list.csv"
    manifest.write_text("\n".join(["image,id", *rows, ""]))
    return str(manifest)


def bought(bench: Bench) -> list[str]:
    return [request.image for request in bench.provider.requests]


async def test_copies_in_one_run_are_bought_once_and_all_are_written(bench: Bench) -> None:
    copies(bench, "a.jpg", "b.jpg", "sub.jpg", "z.jpg")
    summary = await bench.run()
    assert (summary.saved, summary.reused, summary.predictions, bench.provider.bill) == (4, 3, 1, 1)
    assert bench.saved() == ["a.png", "b.png", "sub.png", "z.png"]
    assert len({(bench.out / name).read_bytes() for name in bench.saved()}) == 1
    assert sorted(item["reused"] for item in bench.results()["items"]) == [False, True, True, True]
    assert (await bench.run()).skipped == 4


async def test_a_url_twice_in_a_manifest_is_bought_once_and_both_are_written(bench: Bench, tmp_path: Path) -> None:
    rows = ["https://shop.example/a.jpg,red", "https://shop.example/a.jpg,blue", "https://shop.example/b.jpg,green"]
    summary = await bench.run(urls(tmp_path, *rows))
    assert (summary.saved, summary.reused, bench.provider.bill) == (3, 1, 2)
    assert sorted(bought(bench)) == ["https://shop.example/a.jpg", "https://shop.example/b.jpg"]
    items = {item["id"]: item for item in bench.results()["items"]}
    assert items["red"]["sha256"] == items["blue"]["sha256"]
    assert items["red"]["prediction_id"] == items["blue"]["prediction_id"] != items["green"]["prediction_id"]
    assert (await bench.run(urls(tmp_path, *rows))).skipped == 3


async def test_a_url_that_an_earlier_run_made_serves_a_new_row(bench: Bench, tmp_path: Path) -> None:
    await bench.run(urls(tmp_path, "https://shop.example/a.jpg,red"))
    summary = await bench.run(urls(tmp_path, "https://shop.example/a.jpg,red", "https://shop.example/a.jpg,blue"))
    assert (summary.saved, summary.skipped, summary.reused, bench.provider.bill) == (2, 1, 1, 1)


async def test_a_twin_that_was_changed_is_bought_anew_and_one_of_another_format_is_made_from_it(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.run(urls(tmp_path, "https://shop.example/a.jpg,red"))
    (bench.out / "red.png").write_bytes(b"retouched")
    rows = urls(tmp_path, "https://shop.example/a.jpg,blue")
    assert (await bench.run(rows)).predictions == 1
    again = await bench.run(rows, format="webp")
    assert (again.saved, again.predictions) == (1, 0)


async def test_a_picture_remade_from_another_url_is_no_twin_of_its_first(bench: Bench, tmp_path: Path) -> None:
    await bench.run(urls(tmp_path, "https://shop.example/a.jpg,one", "https://shop.example/b.jpg,two"))
    # `one` now shows b, made from `two`: it must not stand for a any more.
    assert (await bench.run(urls(tmp_path, "https://shop.example/b.jpg,one"))).reused == 1
    assert (await bench.run(urls(tmp_path, "https://shop.example/a.jpg,three"))).reused == 1  # what was bought for a
    assert bench.results()["items"][-1]["prediction_id"] is None  # and not `p2`, which `one` shows


async def test_content_that_the_model_refuses_is_refused_once_for_all_its_copies(bench: Bench) -> None:
    copies(bench, "a.jpg", "b.jpg", "c.jpg")
    bench.provider.script.append(Prediction("x", Status.FAILED, error="cannot identify image file"))
    summary = await bench.run()
    assert (summary.failed, bench.provider.bill) == (3, 1)
    assert {item["error"]["kind"] for item in bench.results()["items"]} == {"prediction"}


async def test_a_prediction_in_flight_is_taken_up_by_whichever_copy_comes_first(bench: Bench) -> None:
    bench.add("b.jpg")
    bench.provider.script.append(stop_after(bench, processing("p9")))
    assert (await bench.run(grace=1)).pending == 1
    (bench.photos / "a.jpg").write_bytes((bench.photos / "b.jpg").read_bytes())
    bench.provider.known["p9"] = bench.provider.succeed(CreateRequest("b.jpg", "", ""))
    summary = await bench.run()
    assert (summary.saved, summary.predictions, bench.provider.bill) == (2, 0, 1)


async def test_a_retry_uses_the_upload_again(bench: Bench) -> None:
    bench.provider = Holding(creates=[INTERRUPTED])
    bench.add("a.jpg")
    summary = await bench.run()
    assert (summary.saved, bench.provider.bill, len(bench.provider.uploads)) == (1, 2, 1)
    assert len(set(bought(bench))) == 1


async def test_a_resume_uses_the_upload_again(bench: Bench) -> None:
    bench.provider = Holding(creates=[Prediction(f"x{n}", Status.ABORTED) for n in range(3)])
    bench.add("a.jpg")
    assert (await bench.run()).failed == 1
    assert (await bench.run(retry_failed=True)).saved == 1
    assert (bench.provider.bill, len(bench.provider.uploads)) == (4, 1)


@pytest.mark.parametrize("held", [599.0, -1.0])
async def test_an_upload_about_to_expire_is_not_used_again(bench: Bench, held: float) -> None:
    bench.provider = Holding(creates=[INTERRUPTED])
    bench.provider.held = held
    bench.add("a.jpg")
    assert (await bench.run()).saved == 1
    assert len(bench.provider.uploads) == 2


async def test_changed_content_is_uploaded_anew(bench: Bench) -> None:
    bench.provider = Holding(creates=[Prediction(f"x{n}", Status.ABORTED) for n in range(3)])
    bench.add("a.jpg")
    await bench.run()
    bench.add("other.jpg", "a.jpg")
    assert (await bench.run(str(bench.photos / "a.jpg"), retry_failed=True)).saved == 1
    assert len(bench.provider.uploads) == 2


async def test_a_spent_prediction_with_the_same_upload_is_not_taken_for_the_lost_one(bench: Bench) -> None:
    spent = [Prediction(f"x{n}", Status.ABORTED) for n in range(2)]
    bench.provider = Holding(capabilities=Capabilities(files=True, list=True, cancel=True))

    def aborted(request: CreateRequest) -> Prediction:
        return replace(spent.pop(0), image=request.image)

    bench.provider.script.extend([aborted, aborted, CreateLost("no answer")])
    bench.add("a.jpg")
    summary: Summary = await bench.run()
    # The third create was not accepted: the list shows the first two alone, and it is sent again.
    assert (summary.saved, bench.provider.bill, summary.possible_duplicates) == (1, 3, 0)
    assert [line["prediction_id"] for line in bench.ledger() if line["event"] == "submitted"] == ["x0", "x1", "p1"]
