"""A catalogue night after night: rows keep their names, and what is on record is bought once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import ConnectionFailed, SourceError
from batch_removebg.events import Kind
from batch_removebg.ledger import state
from batch_removebg.manifest import identity
from batch_removebg.model import CreateRequest, Prediction, Status
from batch_removebg.net import fetch
from batch_removebg.providers import wire
from batch_removebg.run import assemble, dry_run
from batch_removebg.run.settings import Settings
from batch_removebg.storage import layout
from tests.support.bench import Bench, bench
from tests.support.doubles import cutout, photo

__all__ = ["bench"]
pytestmark = pytest.mark.anyio

U = "https://shop.example/"


def table(tmp_path: Path, header: str, *rows: str) -> str:
    path = tmp_path / "shop.csv"
    path.write_text("\n".join([header, *rows, ""]))
    return str(path)


def shown(bench: Bench) -> list[tuple[str, str, str | None]]:
    return [(item["id"], item["status"], item["output"]) for item in bench.results()["items"]]


@pytest.mark.parametrize(("header", "name"), [("sku,image", "{sku}"), ("output,image", "{id}"), ("id,image", "{id}")])
async def test_rows_with_one_picture_are_items_of_their_own_from_one_prediction(
    bench: Bench, tmp_path: Path, header: str, name: str
) -> None:
    manifest = table(tmp_path, header, f"A,{U}1.jpg", f"B,{U}1.jpg", f"C,{U}2.jpg")
    summary = await bench.run(manifest, name=name)
    assert (summary.saved, bench.provider.bill) == (3, 2)
    assert bench.saved() == ["A.png", "B.png", "C.png"]
    assert (await bench.run(manifest, name=name)).skipped == 3


async def test_a_row_whose_picture_changed_keeps_its_name_and_its_old_file_until_the_new_one_is_there(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.run(table(tmp_path, "sku,image", f"A,{U}1.jpg"), name="{sku}")
    before = (bench.out / "A.png").read_bytes()
    bench.provider.script.append(Prediction("bad", Status.FAILED, error="no face: the image is not supported"))
    other = table(tmp_path, "sku,image", f"A,{U}2.jpg")
    bench.provider.script.extend([Prediction(f"bad{n}", Status.FAILED, error="boom") for n in range(3)])
    failed = await bench.run(other, name="{sku}")
    assert (failed.failed, shown(bench)) == (1, [("A", "failed", None)])
    assert (bench.out / "A.png").read_bytes() == before
    bench.provider.script.clear()
    await bench.run(other, name="{sku}", retry_failed=True)
    assert (bench.saved(), shown(bench)) == (["A.png"], [("A", "saved", "A.png")])
    assert bench.results()["items"][0]["source"] == f"{U}2.jpg"


async def test_a_url_that_is_signed_anew_each_night_is_bought_once_and_written_nowhere(
    bench: Bench, tmp_path: Path
) -> None:
    for night in ("one", "two"):
        signed = f"{U}1.jpg?v=1&X-Amz-Signature={night}secret"
        await bench.run(table(tmp_path, "image,thumb", f"{signed},{signed}"))
    assert [request.image for request in bench.provider.requests] == [f"{U}1.jpg?v=1&X-Amz-Signature=onesecret"]
    written = b"".join(path.read_bytes() for path in bench.out.rglob("*") if path.is_file())
    assert b"secret" not in written
    assert "secret" not in "".join(event.text + event.item for event in bench.events)


async def test_a_message_of_the_api_that_quotes_a_signed_url_is_shown_without_the_signature(
    bench: Bench, tmp_path: Path
) -> None:
    signed = f"{U}1.jpg?X-Amz-Signature=secret"
    bench.provider.script.extend([SourceError(f"answers 422: can't fetch {signed}.")] * 3)
    await bench.run(table(tmp_path, "id,image", f"A,{signed}"))
    assert f"can't fetch {U}1.jpg" in bench.results()["items"][0]["error"]["message"]
    assert "secret" not in (bench.out / "ledger.jsonl").read_text() + "".join(event.text for event in bench.events)


async def test_another_input_renames_items_without_a_prediction_and_back_again(bench: Bench, tmp_path: Path) -> None:
    bench.add("a.jpg", "s/b.jpg")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.jpg").write_bytes(photo(50, 30, (9, 9, 9)))
    await bench.run()
    both = await bench.run(str(bench.photos), str(tmp_path / "more"))
    assert (both.saved, bench.provider.bill) == (3, 3)
    ids = ["photos/a.jpg", "photos/s/b.jpg", "more/a.jpg"]
    assert [item for item, _, _ in shown(bench)] == ids
    renamed = [(line["item"], line["was"]) for line in bench.ledger() if line["event"] == "renamed"]
    assert renamed == [("photos/a.jpg", "a.jpg"), ("photos/s/b.jpg", "s/b.jpg")]
    alone = await bench.run()
    assert (alone.saved, alone.pending, bench.provider.bill) == (2, 0, 3)
    assert {output for item, _, output in shown(bench) if item in ("a.jpg", "s/b.jpg")} == {"a.png", "s/b.png"}


async def test_passing_trouble_is_tried_again_by_the_next_run_and_what_will_not_heal_is_left(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, Any] = {"a": ConnectionFailed("no answer in time"), "b": SourceError("answers 403")}

    async def get(_: Any, url: str, **__: Any) -> fetch.Fetched:
        answer = answers[url[len(U)]]
        if isinstance(answer, Exception):
            raise answer
        return fetch.Fetched(answer)

    monkeypatch.setattr(fetch, "get", get)
    manifest = table(tmp_path, "id,image", f"A,{U}a.jpg", f"B,{U}b.jpg")
    first = await bench.run(manifest, fetch_sources=True)
    assert first.failed == 2
    answers.update(a=photo(40, 30, (1, 2, 3)), b=photo(40, 30, (3, 2, 1)))
    await bench.run(manifest, fetch_sources=True)
    assert {item: status for item, status, _ in shown(bench)} == {"A": "saved", "B": "failed"}


class Host:
    """One picture with an ETag, and a note of how it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.picture, self.asked, self.down = photo(40, 30, (1, 2, 3)), list[str | None](), False
        monkeypatch.setattr(fetch, "get", self.get)

    async def get(self, *_: Any, known: fetch.Validators, **__: Any) -> fetch.Fetched:
        self.asked.append(known.etag)
        if self.down:
            raise SourceError("is not there (404)")
        etag = hashlib.sha256(self.picture).hexdigest()[:8]
        seen = fetch.Validators(etag, None)
        return fetch.Fetched(b"", seen, unchanged=True) if known.etag == etag else fetch.Fetched(self.picture, seen)


async def test_a_host_is_asked_whether_a_picture_has_changed_once_a_night_and_only_that_is_done_anew(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, manifest = Host(monkeypatch), table(tmp_path, "id,image", f"A,{U}a.jpg")
    given: dict[str, Any] = {"fetch_sources": True}
    await bench.run(manifest, **given)
    await bench.run(manifest, **given)  # at once: a resume costs nothing
    assert host.asked == [None]
    monkeypatch.setattr(assemble, "_FRESH", -1.0)
    assert (await bench.run(manifest, **given)).skipped == 1
    assert len(set(host.asked)) == 2
    assert [line["event"] for line in bench.ledger()[-3:]] == ["run_started", "unchanged", "run_finished"]
    host.picture = photo(40, 30, (9, 9, 9))
    await bench.run(manifest, refresh="never", **given)
    assert (len(host.asked), bench.provider.bill) == (2, 1)
    await bench.run(manifest, **given)
    assert (bench.provider.bill, shown(bench)) == (2, [("A", "saved", "A.png")])
    host.down = True
    gone = await bench.run(manifest, refresh="always", **given)
    assert (gone.saved, host.asked[-1], shown(bench)) == (1, None, [("A", "saved", "A.png")])


async def test_of_a_forced_id_that_no_item_has_it_is_said(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run(force=("a.jpg", "nosuch"))
    warnings = [event.text for event in bench.events if event.kind is Kind.WARNING]
    assert warnings == ["--force nosuch: no item has that id"]


async def test_what_is_forced_is_made_anew_and_bought_only_where_nothing_is_kept_of_it(
    bench: Bench, tmp_path: Path
) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run()
    assert (await bench.run(force=("a.jpg",))).skipped == 1
    assert bench.provider.bill == 2
    manifest = table(tmp_path, "id,image", f"A,{U}1.jpg", f"B,{U}1.jpg", f"C,{U}2.jpg")
    await bench.run(manifest)
    assert bench.provider.bill == 4
    await bench.run(manifest, force=("A", "B"))
    assert bench.provider.bill == 5
    await bench.run(manifest, force=())
    assert bench.provider.bill == 7


def signed(number: int, night: str) -> str:
    return f"{U}{number}.jpg?X-Amz-Signature={night}secret"


async def before(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *nights: Sequence[str], finished: bool = True
) -> None:
    """Leave OUT as a version did that knew items by their whole URLs; not `finished`: all predictions are in flight."""
    with monkeypatch.context() as then:
        for module in (identity, wire, state):
            then.setattr(module, "clean", lambda url, ignored=(): url)
        for urls in nights:
            await bench.run(table(tmp_path, "image", *urls))
    path, later = bench.out / "ledger.jsonl", [b'"gone"'] if finished else [b'"saved"', b'"run_finished"']
    lines = [re.sub(rb'"pid":\d+,?', b"", line) for line in path.read_bytes().splitlines(keepends=True)]
    path.write_bytes(b"".join(line for line in lines if not any(word in line for word in later)))
    told = {"counts": {"saved": len(bench.saved()), "failed": 0}, "predictions": bench.provider.bill}
    (bench.out / "results.json").write_text(json.dumps(told))
    (bench.out / layout.INDEX).unlink()
    for made in () if finished else (bench.out / "results.json", *bench.out.glob("*.png")):
        made.unlink()


@pytest.mark.parametrize("given", [{}, {"format": "jpg"}, {"name": "pic-{sku}"}])
async def test_an_old_out_whose_photos_stand_under_several_signatures_is_taken_over_without_a_prediction(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    await before(bench, tmp_path, monkeypatch, *([signed(n, night) for n in (1, 2)] for night in ("a", "b")))
    assert (bench.provider.bill, len(bench.saved())) == (4, 4)
    manifest = table(tmp_path, "sku,image", f"A,{signed(1, 'c')}", f"B,{signed(2, 'c')}", f"C,{signed(2, 'd')}")
    preview = dry_run.preview(
        [manifest],
        Settings(out=bench.out, provider="replicate", base_url="http://127.0.0.1:9/v1", **given),
        lambda _: None,
    )
    summary = await bench.run(manifest, **given)
    assert (summary.saved, summary.failed, bench.provider.bill, preview["bought"]) == (3, 0, 4, 0)
    names = {item: output for item, status, output in shown(bench) if status == "saved"}
    made = {"format": ("", "jpg"), "name": ("pic-", "png")}.get(next(iter(given), ""), ("", "png"))
    assert names == {sku: f"{made[0]}{sku}.{made[1]}" for sku in "ABC"}
    written = [path for path in bench.out.rglob("*") if path.is_file() and path.name != "ledger.jsonl"]
    assert b"secret" not in b"".join(path.read_bytes() for path in written)
    assert (await bench.run(manifest, **given)).skipped == 3


async def test_all_that_an_old_run_left_in_flight_for_one_photo_is_asked_for_before_more_is_bought(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await before(bench, tmp_path, monkeypatch, [signed(1, "a"), signed(1, "b")], finished=False)
    first, second = bench.provider.known
    bench.provider.known[first] = Prediction(first, Status.FAILED, error="interrupted; please retry (code: PA)")
    summary = await bench.run(table(tmp_path, "sku,image", f"V0,{signed(1, 'c')}", f"V1,{signed(1, 'd')}"))
    assert (summary.saved, bench.provider.bill) == (2, 2)
    assert {item["prediction_id"] for item in bench.results()["items"]} == {second}
    assert bench.saved() == ["V0.png", "V1.png"]


def drawn(bench: Bench) -> None:
    """Give each picture a cutout of its own, 10 × the number in its URL wide."""

    def create(request: CreateRequest) -> Prediction:
        made = bench.provider.succeed(request)
        number = int(re.sub(r"\D", "", request.image))
        bench.provider.outputs[str(made.output)] = cutout(10 * number, 30)
        return made

    bench.provider.script.extend([create] * 9)


def numbers(bench: Bench) -> dict[str, int]:
    """The picture in each file."""
    return {name: int.from_bytes((bench.out / name).read_bytes()[16:20], "big") // 10 for name in bench.saved()}


async def test_rows_that_swap_their_names_have_them_by_the_next_run_and_lose_no_picture(
    bench: Bench, tmp_path: Path
) -> None:
    drawn(bench)
    await bench.run(table(tmp_path, "id,image,output", f"1,{U}1.jpg,a.png", f"2,{U}2.jpg,b.png"))
    manifest = table(tmp_path, "id,image,output", f"1,{U}1.jpg,b.png", f"2,{U}2.jpg,a.png")
    await bench.run(manifest)
    outputs = {item: str(output) for item, _, output in shown(bench)}
    assert {item: numbers(bench)[name] for item, name in outputs.items()} == {"1": 1, "2": 2}
    assert any("2 × another name" in event.text for event in bench.events)
    await bench.run(manifest, prune=True)
    assert (numbers(bench), bench.provider.bill) == ({"b.png": 1, "a.png": 2}, 2)
    assert (await bench.run(manifest)).skipped == 2


async def test_a_name_whose_row_is_gone_passes_on_and_the_picture_that_it_had_needs_no_second_prediction(
    bench: Bench, tmp_path: Path
) -> None:
    drawn(bench)
    await bench.run(table(tmp_path, "id,image,output", f"1,{U}1.jpg,a.png"))
    other = table(tmp_path, "id,image,output", f"9,{U}2.jpg,a.png")
    left = [(await bench.run(other)).left for _ in range(3)]
    assert (left, numbers(bench)["a.png"], bench.results()["items"][1]["output"]) == ([1, 0, 0], 2, "a.png")
    both = table(tmp_path, "id,image,output", f"9,{U}2.jpg,a.png", f"1,{U}1.jpg,b.png")
    summary = await bench.run(both, prune=True)
    assert (summary.gone, numbers(bench), bench.provider.bill) == (0, {"a.png": 2, "b.png": 1}, 2)


async def test_a_name_that_only_a_picture_had_is_its_rows_at_once_and_what_it_replaces_needs_no_second_prediction(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(bench)
    await before(bench, tmp_path, monkeypatch, [f"{U}1.jpg"], [f"{U}2.jpg"])
    taken = await bench.run(table(tmp_path, "id,image,output", f"A,{U}2.jpg,1.png"))
    assert (taken.saved, taken.gone, numbers(bench)["1.png"], bench.provider.bill) == (1, 1, 2, 2)
    back = await bench.run(table(tmp_path, "id,image,output", f"A,{U}2.jpg,1.png", f"B,{U}1.jpg,B.png"))
    assert (back.gone, numbers(bench)["B.png"], bench.provider.bill) == (1, 1, 2)


async def test_a_name_that_its_row_asks_for_again_is_no_other_rows(bench: Bench, tmp_path: Path) -> None:
    drawn(bench)
    for name in ("a.png", "b.png"):
        await bench.run(table(tmp_path, "id,image,output", f"1,{U}1.jpg,{name}"))
    both = table(tmp_path, "id,image,output", f"1,{U}1.jpg,a.png", f"2,{U}2.jpg,a.png")
    await bench.run(both)
    outputs = {item: str(output) for item, _, output in shown(bench)}
    assert (outputs["1"], numbers(bench)["a.png"], numbers(bench)[outputs["2"]]) == ("a.png", 1, 2)
