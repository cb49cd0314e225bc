"""What is decided is on disk before it is answered, and what others do to OUT meanwhile is seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.ledger.decisions import VERDICTS
from batch_removebg.review import desk
from batch_removebg.storage import layout
from tests.support.bench import Bench, bench
from tests.support.doubles import photo
from tests.support.review import Page, served

__all__ = ["bench"]
pytestmark = pytest.mark.anyio


@pytest.fixture
async def out(bench: Bench) -> Path:
    bench.add("a.jpg", "b.jpg", "sub/c.jpg")
    assert (await bench.run()).exit_code == 0
    return bench.out


def lines(out: Path) -> list[dict[str, Any]]:
    path = out / "decisions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def rows(page: Page, query: str = "") -> dict[str, Any]:
    found = await page.get(f"/api/view?{query}")
    return {row["id"]: row for row in (await page.get(f"/api/view/{found['view']}/items"))["items"]}


async def test_a_verdict_is_on_disk_once_it_is_answered_and_about_the_picture_as_it_is(out: Path) -> None:
    async with served(out) as page:
        n = await page.number("a.jpg")
        asked = {"items": [n, n], "verdict": "redo", "note": "holes", "redo": {"class": "best", "zoom": True}}
        assert (await page.post("/api/decisions", asked))["written"] == 1
        [line] = lines(out)
        row = (await rows(page))["a.jpg"]
        assert (line["item"], line["verdict"], line["output_sha256"]) == ("a.jpg", "redo", row["sha256"])
        shown = row["decision"]
        assert (shown["note"], shown["redo"]) == ("holes", {"class": "best", "zoom": True})
        assert await page.view("decision=redo") == ["a.jpg"]


async def test_all_that_a_view_shows_is_decided_as_it_was_seen(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_AT_ONCE", 2)
    async with served(out) as page:
        seen = await page.get("/api/view?decision=undecided")
        await page.post("/api/decisions", {"items": [1], "verdict": "rejected"})
        assert (await page.post("/api/decisions", {"view": seen["view"], "verdict": "accepted"}))["written"] == 3
        assert len(await page.view("decision=accepted")) == 3


async def test_undo_brings_back_what_had_been_decided_once(out: Path) -> None:
    async with served(out) as page:
        n = await page.number("a.jpg")
        await page.post("/api/decisions", {"items": [n], "verdict": "rejected", "note": "fringe"})
        key = (await page.post("/api/decisions", {"items": [1, 2, 3], "verdict": "accepted"}))["undo"]
        assert (await page.post("/api/undo", {"undo": key}))["written"] == 3
        found = await rows(page)
        assert {item: row["decision"] and row["decision"]["note"] for item, row in found.items()} == {
            "a.jpg": "fringe",
            "b.jpg": None,
            "sub/c.jpg": None,
        }
        await page.post("/api/undo", {"undo": key}, 410)


async def test_undo_leaves_what_somebody_else_has_decided_since(out: Path) -> None:
    async with served(out) as one, served(out) as other:
        keys = []
        for verdict in ("accepted", "undecided"):
            keys.append((await one.post("/api/decisions", {"items": [1, 2, 3], "verdict": verdict}))["undo"])
            await other.post("/api/decisions", {"items": [2], "verdict": "rejected"})
        assert await one.post("/api/undo", {"undo": keys[1]}) == {"written": 2, "left": 1}
        assert [len(await one.view(f"decision={verdict}")) for verdict in ("accepted", "rejected")] == [2, 1]
        await other.post("/api/decisions", {"items": [3], "verdict": "accepted"})
        assert await one.post("/api/undo", {"undo": keys[0]}) == {"written": 1, "left": 2}


async def test_a_note_stays_with_another_verdict_until_another_is_given(out: Path) -> None:
    async with served(out) as page:
        for asked, note in (({"note": "fringe"}, "fringe"), ({}, "fringe"), ({"note": ""}, "")):
            await page.post("/api/decisions", {"items": [1], "verdict": "accepted", **asked})
            assert lines(out)[-1].get("note", "") == note


async def test_a_picture_that_is_made_anew_is_undecided_again(bench: Bench, out: Path) -> None:
    async with served(out) as page:
        await page.post("/api/decisions", {"items": [1, 2, 3], "verdict": "accepted"})
        assert await page.view("decision=undecided") == []
        (bench.photos / "b.jpg").write_bytes(photo(50, 60))
        assert (await bench.run()).exit_code == 0
        assert await page.view("decision=undecided") == ["b.jpg"]


async def test_two_reviews_see_each_others_decisions(out: Path) -> None:
    async with served(out) as one, served(out) as other:
        since = (await other.get("/api/about"))["revision"]
        assert await other.view("decision=accepted") == []
        n = await one.number("b.jpg")
        await one.post("/api/decisions", {"items": [n], "verdict": "accepted"})
        told = await other.get(f"/api/changes?since={since}")
        assert (told["changed"], told["decisions"]) == ([n], 1)
        assert await other.view("decision=accepted") == ["b.jpg"]
        assert (await other.get(f"/api/changes?since={told['revision']}"))["changed"] == []


async def test_what_a_run_does_meanwhile_comes_to_be_seen_whoever_had_the_index_first(bench: Bench, out: Path) -> None:
    async with served(out) as page:
        since = (await page.get("/api/about"))["revision"]
        assert len(await page.view("status=saved")) == 3
        bench.add("d.jpg")
        assert (await bench.run()).exit_code == 0
        told = await page.get(f"/api/changes?since={since}")
        assert told["counts"]["saved"] == 4
        assert await page.number("d.jpg") in told["changed"]
        assert sorted(await page.view("status=saved")) == ["a.jpg", "b.jpg", "d.jpg", "sub/c.jpg"]
        assert await page.view("folder=sub") == ["sub/c.jpg"]


async def test_a_revision_of_another_server_tells_to_ask_for_all_again(out: Path) -> None:
    async with served(out) as page:
        assert (await page.get("/api/changes?since=7"))["changed"] is None


async def test_a_text_is_found_in_names_and_errors_and_a_columns_value_as_a_whole(bench: Bench) -> None:
    bench.add("a.jpg", "Zoë.jpg")
    (bench.photos / "broken.jpg").write_bytes(b"none")
    table = bench.photos / "shop.csv"
    table.write_text("image,tint\na.jpg,Red\nZoë.jpg,Reddish\nbroken.jpg,\n")
    await bench.run(str(table))
    async with served(bench.out) as page:
        assert await page.view("q=zoë") == [row for row in await page.view() if "Zoë" in row]
        assert len(await page.view("q=not a picture")) == len(await page.view("q=BROKEN")) == 1
        assert len(await page.view("q=a.jpg&q=broken")) == 2
        assert len(await page.view("col.tint=Red")) == len(await page.view("col.tint=red")) == 1
        assert await page.view("col.tint=Re") == []
        assert (await page.get("/api/about"))["columns"] == ["tint"]


async def test_next_and_previous_undecided_are_found_in_the_view(out: Path) -> None:
    async with served(out) as page:
        view = (await page.get("/api/view?sort=id"))["view"]
        await page.post("/api/decisions", {"items": [await page.number("b.jpg")], "verdict": "accepted"})
        asked = f"/api/view/{view}/next?what=undecided"
        assert [(await page.get(f"{asked}&after={at}"))["at"] for at in (-1, 0, 2)] == [0, 2, None]
        assert (await page.get(f"{asked}&after=2&back=1"))["at"] == 0
        await page.get(f"/api/view/{view}/next?what=nice", 400)


async def test_an_item_is_told_of_with_its_history_and_what_is_no_item_is_refused(out: Path) -> None:
    async with served(out) as page:
        told = await page.get(f"/api/item/{await page.number('a.jpg')}")
        assert [each["event"] for each in told["history"]] == ["submitting", "submitted", "saved"]
        assert (told["source_size"], told["attempts"], told["missing"]) == ([40, 30], 1, False)
        (out / "decisions.jsonl").write_text('{"v":1,"item":"a.jpg"}\n')
        assert len((await page.get(f"/api/item/{await page.number('a.jpg')}"))["history"]) == 3
        await page.get("/api/item/99", 404)
        await page.get("/thumb/99/cutout/0", 404)


async def test_a_note_about_an_earlier_picture_stays_in_the_history(bench: Bench, out: Path) -> None:
    async with served(out) as page:
        n = await page.number("a.jpg")
        await page.post("/api/decisions", {"items": [n], "verdict": "undecided", "note": "fringe"})
        await page.post("/api/decisions", {"items": [n], "verdict": "rejected"})
        (bench.photos / "a.jpg").write_bytes(photo(50, 60))
        assert (await bench.run()).exit_code == 0
        assert "a.jpg" in await page.view("decision=undecided")
        told = await page.get(f"/api/item/{n}")
        assert told["decision"] is None
        said = [(each["event"], each["text"]) for each in told["history"] if each["event"] in VERDICTS]
        assert said == [("undecided", "fringe"), ("rejected", "fringe")]


async def test_decisions_of_somebody_else_that_make_no_sense_are_said(out: Path) -> None:
    async with served(out) as page:
        await page.get("/api/about")
        with (out / "decisions.jsonl").open("ab") as file:
            file.write(b"no line\n")
        assert "line 1 is damaged" in (await page.get("/api/changes?since=0", 503))["error"]


async def test_a_touch_up_of_another_picture_is_refused(out: Path) -> None:
    async with served(out) as page:
        await page.post("/api/item/1/touch-up", {"base": "5e", "operations": []}, 409)
        await page.post("/api/item/1/touch-up", {"base": "5e", "operations": [{"kind": "paint"}]}, 422)


async def test_a_thumbnail_is_made_once_for_a_content_and_again_where_it_is_torn(out: Path) -> None:
    async with served(out) as page:
        made = await page.get("/thumb/1/cutout/0?size=256")
        [kept] = (out / layout.THUMBS).glob("*/*.webp")
        assert kept.read_bytes() == made
        kept.write_bytes(made[:-1])
        assert await page.get("/thumb/1/cutout/0?size=256") == made == kept.read_bytes()
        await page.get("/thumb/1/cutout/0?size=300", 400)


async def test_where_thumbnails_cannot_be_kept_in_out_they_are_in_memory(out: Path) -> None:
    (out / layout.THUMBS).write_text("in the way")
    async with served(out) as page:
        made = await page.get("/thumb/1/source/0?size=256")
        assert list(page.desk.pictures._memory.values()) == [made]


async def test_pictures_come_in_the_size_that_is_asked_for_and_tell_their_own(bench: Bench) -> None:
    (bench.photos / "a.jpg").write_bytes(photo(400, 300))
    await bench.run()
    async with served(bench.out) as page:
        for kind, size in (("source", "400x300"), ("cutout", "400x300"), ("bare", "400x300"), ("alpha", "400x300")):
            answer = await page.client.get(f"/picture/1/{kind}", params={"size": 100})
            assert answer.headers["X-Full-Size"] == size
            assert answer.content_type == ("image/png" if kind == "alpha" else "image/webp")
        assert await page.get("/picture/1/cutout") == (bench.out / "a.png").read_bytes()
        await page.get("/picture/1/cutout?output=1", 404)
        await page.get("/picture/1/alpha?version=feed", 404)
        await page.get("/picture/1/cutout?size=-5", 400)
