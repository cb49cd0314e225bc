"""`--redo`: what people rejected is made anew, once, otherwise than before, and stays so; nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from batch_removebg import Event, Kind, run_batch_sync
from batch_removebg.engine import network, process, weights
from batch_removebg.errors import SettingsError
from batch_removebg.hashing import sha256_hex
from batch_removebg.ledger.decisions import Decided, Decisions, Edited
from batch_removebg.model import CreateRequest
from batch_removebg.run import batch
from batch_removebg.run.dry_run import preview
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support.bench import Bench, bench, processing, stop_after
from tests.support.doubles import photo
from tests.support.local_doubles import Here

__all__ = ["bench"]
LEFT, TRIED = "is not redone: {}", "there is no better class, and it was looked at closely already"
GREEN, BLUE = (10, 200, 10), (10, 10, 200)
looks: list[str] = []  # each network that looked at a picture


class Runtime:
    """One network's runtime: it sees a fifth of a green photo, in the middle, from another row on; all of others."""

    used = "a double"

    def __init__(self, model: weights.Weights) -> None:
        self._model = model

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        looks.append(self._model.name)
        size, seen = self._model.size, np.zeros((1, 1, self._model.size, self._model.size), np.float32)
        if int(tensor[0].mean((1, 2)).argmax()) == 1:
            top = {"u2netp": 8, "isnet": 16}.get(self._model.name, 24)
            seen[..., size * top // 64 : size * 40 // 64, size * 2 // 5 : size * 3 // 5] = 1
        else:
            seen[:] = 1
        return seen


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The current folder, with two photos that are cut and one that is flagged, and networks without weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "_download_weights", lambda *_: None)
    monkeypatch.setattr(network, "open_runtime", lambda model, device, precision, **_: Runtime(model))
    monkeypatch.setattr(weights, "notice", lambda *_: "")
    monkeypatch.setattr(process, "NetworkProcess", lambda load, cpu, *_: Here(load))
    looks.clear()
    Path("in").mkdir()
    for name, colour in {"a": GREEN, "b": (12, 200, 12), "c": BLUE}.items():
        Path("in", f"{name}.jpg").write_bytes(photo(100, 100, colour))


def made(**settings: Any) -> tuple[Summary, dict[str, str]]:
    """What a run comes to, and what it warns of, by item."""
    events: list[Event] = []
    summary = run_batch_sync("in", out="out", on_event=events.append, **settings)
    assert summary.stopped is None
    return summary, {event.item[:1]: event.text for event in events if event.kind is Kind.WARNING and event.item}


def lines(event: str, out: str | Path = "out") -> list[dict[str, Any]]:
    found = map(json.loads, Path(out, "ledger.jsonl").read_text().splitlines())
    return [line for line in found if line["event"] == event]


def state(item: str, out: str | Path = "out") -> dict[str, Any]:
    """Of an item's picture, as it was saved last."""
    return [line for line in lines("saved", out) if line["item"] == item][-1]


def decide(item: str, verdict: Any = "rejected", out: str | Path = "out", **redo: Any) -> None:
    """Give a verdict about the picture as it is."""
    said = Decided(item=item, verdict=verdict, output_sha256=state(item, out)["sha256"], redo=redo)
    Decisions(Path(out, "decisions.jsonl")).append([said], "2999-01-01T00:00:00.000Z")


def pictures() -> dict[str, str]:
    return {path.stem: sha256_hex(path.read_bytes()) for path in Path("out").glob("*.png")}


def changed(run: Callable[[], object]) -> str:
    """Names of the pictures that a run has made others."""
    before = pictures()
    run()
    return "".join(name for name, digest in sorted(pictures().items()) if before.get(name) != digest)


def counts(summary: Summary) -> tuple[int, int, int, int]:
    return summary.total, summary.saved, summary.skipped, summary.predictions


@pytest.mark.usefixtures("shop")
class TestOnThisMachine:
    def test_what_was_rejected_alone_is_made_by_the_next_class_and_is_undecided_again(self) -> None:
        made()
        decide("a.jpg")
        decide("b.jpg", "accepted")
        assert changed(made) == ""
        before = dict(pictures())
        summary, _ = made(redo=("rejected",))
        assert (counts(summary), summary.exit_code) == ((3, 3, 2, 1), 0)
        assert [name for name in before if before[name] != pictures()[name]] == ["a"]
        assert state("a.jpg")["redo"] == {"class": "best"}
        assert changed(lambda: made(redo=("rejected",))) == ""

    def test_it_stays_so_in_every_later_run_whatever_else_that_asks_for(self) -> None:
        made(model_class="fast")
        decide("a.jpg", "redo", **{"class": "best"})
        made(redo=("rejected",))
        best = state("a.jpg")["sha256"]
        assert [changed(made), changed(made)] == ["", ""]
        looks.clear()
        summary, _ = made(format="webp")
        assert (counts(summary), summary.reused, looks) == ((3, 3, 0, 0), 3, [])
        made()
        assert state("a.jpg")["sha256"] == best
        Path("in/a.jpg").write_bytes(photo(101, 101, GREEN))
        made()
        assert looks == ["u2netp", "isnet", "isnet-1024"]
        assert state("b.jpg").get("redo") is None

    def test_out_goes_on_with_its_own_network_also_when_the_run_dies_between_two_passes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made(model_class="fast")
        decide("a.jpg", "redo", **{"class": "best"})
        once, calls = batch._run, iter((1,))

        async def dies(*given: Any, **more: Any) -> Summary:
            if next(calls, None) is None:
                raise SystemExit
            return await once(*given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(batch, "_run", dies)
            with pytest.raises(BaseExceptionGroup):
                made(redo=("rejected",))
        begun = lines("run_started")[-1]
        assert (begun["version"], begun["redo"]) == (weights.MODELS["u2netp"].version, {"class": "best"})
        assert state("a.jpg")["redo"] == {"class": "best"}
        Path("in/d.jpg").write_bytes(photo(90, 90, GREEN))
        looks.clear()
        assert changed(made) == "d"
        assert looks == ["u2netp"]

    def test_each_class_is_tried_in_turn_then_a_closer_look_and_then_it_is_left(self) -> None:
        made(model_class="fast")
        tried = []
        for _ in range(4):
            decide("a.jpg")
            _, said = made(redo=("rejected",))
            tried.append(state("a.jpg")["redo"])
        assert tried == [{"class": "good"}, {"class": "best"}, *[{"class": "best", "zoom": True}] * 2]
        assert said == {"a": LEFT.format(TRIED)}

    def test_options_of_the_command_are_for_what_is_redone_without_own_ones_and_for_nothing_else(self) -> None:
        made(edges="keep")
        decide("a.jpg")
        decide("b.jpg", "redo", **{"class": "best"})
        notes: list[str] = []
        listen = lambda event: notes.append(event.text) if event.kind is Kind.NOTE else None  # noqa: E731
        run_batch_sync("in", out="out", on_event=listen, redo="rejected", model_class="fast", refine="none")
        redone = {"class": "fast", "refine": "none"}, {"class": "best"}, None
        assert tuple(state(f"{name}.jpg").get("redo") for name in "abc") == redone
        own = "pictures for which the options that their verdict asks for go before this command's: 1"
        each = "pictures that are made anew, class best: 1", "pictures that are made anew, class fast, refine none: 1"
        assert {own, *each} <= {*notes}
        assert changed(lambda: made(edges="keep")) == ""

    def test_what_needs_no_other_alpha_takes_none(self) -> None:
        made()
        decide("a.jpg", "redo", edges="keep", refine="none")
        summary, _ = made(redo="rejected")
        assert (counts(summary), summary.reused) == ((3, 3, 2, 0), 1)

    def test_flagged_ones_without_a_verdict_are_made_again_and_decided_ones_are_not(self) -> None:
        made()
        assert "full" in state("c.jpg")["flags"]
        assert made(redo="undecided-flagged")[0].predictions == 1
        assert state("c.jpg")["redo"] == {"class": "best"}
        decide("c.jpg", "accepted")
        assert made(redo="undecided-flagged")[0].predictions == 0

    def test_a_picture_that_comes_out_the_same_says_so_and_keeps_its_verdict(self) -> None:
        made()
        decide("c.jpg", "redo", **{"class": "best"})
        _, said = made(redo="rejected")
        assert said == {"c": "made anew, and is the same, bit for bit: the verdict about it stays"}
        assert made(redo="rejected")[1] == {"c": LEFT.format("it was made so already")}

    def test_a_twin_keeps_its_picture(self) -> None:
        Path("in/d.jpg").write_bytes(Path("in/a.jpg").read_bytes())
        made()
        decide("a.jpg")
        assert changed(lambda: made(redo="rejected")) == "a"
        assert changed(made) == ""

    def test_a_twin_that_was_rejected_too_is_made_with_it_by_one_prediction(self) -> None:
        Path("in/d.jpg").write_bytes(Path("in/a.jpg").read_bytes())
        made()
        for item in ("a.jpg", "d.jpg"):
            decide(item)
        summary, _ = made(redo="rejected")
        assert (counts(summary), summary.reused, summary.engine) == ((4, 4, 2, 1), 1, "a double")

    def test_an_item_that_fails_in_its_pass_fails_alone_and_is_counted_once(self) -> None:
        made()
        decide("a.jpg")
        Path("in/a.jpg").write_bytes(b"no picture")
        summary, _ = made(redo="rejected")
        assert (summary.total, summary.saved, summary.failed, summary.exit_code) == (3, 2, 1, 3)

    def test_a_group_keeps_one_scale_over_all_passes(self) -> None:
        rows = "".join(f"{name},in/{name}.jpg,x\n" for name in "ab")
        Path("m.csv").write_text(f"id,image,family\n{rows}")
        group = {"canvas": "60x60", "scale_group": "family"}
        run_batch_sync("m.csv", out="out", **group)
        decide("a")
        for _ in range(2):
            run_batch_sync("m.csv", out="out", redo="rejected", **group)
        assert [state(item).get("redo") for item in "ab"] == [{"class": "best"}, None]
        before = pictures()
        assert run_batch_sync("m.csv", out="out", **group).skipped == 2
        assert pictures() == before

    def test_another_precision_predicts_anew_though_an_alpha_is_kept(self) -> None:
        made()
        decide("a.jpg", "redo", precision="float32")
        assert made(redo="rejected")[0].predictions == 1

    @pytest.mark.parametrize(
        ("redo", "why"),
        [
            ({"class": "superb"}, "--class superb: choose one of fast, good, best"),
            ({"model": "nonesuch"}, "unknown model 'nonesuch'; known are: "),
            ({"colour": "red"}, "colour='red' is nothing that can be asked for"),
            ({"zoom": "much"}, "zoom='much' is nothing that can be asked for"),
        ],
    )
    def test_what_cannot_be_done_is_said_of_the_item_and_nothing_is_done(self, redo: dict[str, Any], why: str) -> None:
        made()
        decide("a.jpg", "redo", **redo)
        before = pictures()
        _, said = made(redo="rejected")
        assert pictures() == before
        assert LEFT.format(why.replace("--class", "model_class")) in said["a"]

    def test_a_dry_run_says_what_is_made_anew(self) -> None:
        made()
        decide("a.jpg")
        notes: list[str] = []
        found = preview(["in"], Settings(out=Path("out"), redo=("rejected",)), lambda event: notes.append(event.text))
        assert {name: count for name, count in found.items() if count} == {"total": 3, "done": 2, "bought": 1}
        assert notes == ["pictures that are made anew, class best: 1"]

    def test_a_limit_is_one_for_all_passes(self) -> None:
        made()
        for item in ("a.jpg", "b.jpg"):
            decide(item)
        Path("in/d.jpg").write_bytes(photo(90, 90, GREEN))
        summary, _ = made(redo="rejected", limit=1)
        assert (summary.predictions, summary.limited) == (1, True)
        summary, _ = made(redo="rejected", limit=2)
        assert (counts(summary), summary.limited) == ((4, 4, 2, 2), False)

    def test_rows_that_have_left_are_gone_whichever_pass_they_belong_to(self) -> None:
        for name in "de":
            Path("in", f"{name}.jpg").write_bytes(photo(90, 90, (10, 200, ord(name))))
        made()
        for item in ("a.jpg", "d.jpg"):
            decide(item)
        made(redo="rejected")
        for name in "de":
            Path("in", f"{name}.jpg").unlink()
        summary, _ = made(prune=True)
        assert (summary.saved, summary.gone, summary.pruned) == (3, 2, 2)
        results = json.loads(Path("out/results.json").read_text())
        assert results["counts"] == {"total": 3, "saved": 3, "failed": 0, "pending": 0}

    def test_an_edit_ends_with_a_redo_that_was_asked_for_after_it_and_with_no_other(self) -> None:
        made()
        for item, when in (("a.jpg", "2000"), ("b.jpg", "2999-12")):
            content = state(item)["source_sha256"]
            edit = Edited(item=item, content=content, alpha="0" * 64, output_sha256=state(item)["sha256"])
            Decisions(Path("out/decisions.jsonl")).append([edit], f"{when}-01-01T00:00:00.000Z")
            decide(item)
        _, said = made(redo="rejected")
        edited = Decisions.read(Path("out")).edited
        assert [edited[state(item)["source_sha256"]].alpha for item in ("a.jpg", "b.jpg")] == [None, "0" * 64]
        assert said == {"b": LEFT.format("somebody has touched it up since")}

    def test_rows_on_stdin_are_read_once_so_nothing_is_redone_and_what_was_stays(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("m.txt").write_text("".join(f"in/{name}.jpg\n" for name in "abc"))

        def piped(**settings: Any) -> Summary:
            with Path("m.txt").open() as file:
                monkeypatch.setattr("sys.stdin", file)
                return run_batch_sync("-", out="out", **settings)

        piped()
        decide("in/a.jpg")
        with pytest.raises(SettingsError, match="redo reads the manifest twice"):
            piped(redo="rejected")
        run_batch_sync("m.txt", out="out", redo="rejected")
        assert state("in/a.jpg")["redo"] == {"class": "best"}
        assert changed(piped) == ""
        assert counts(piped()) == (3, 3, 3, 0)


@pytest.mark.anyio
class TestOfAnApi:
    async def run(self, bench: Bench, **settings: Any) -> Summary:
        summary = await bench.run(**settings)
        assert summary.stopped is None or "max_predictions" in settings
        return summary

    async def test_what_was_rejected_costs_another_prediction_and_nothing_else_does(self, bench: Bench) -> None:
        bench.add("a.jpg", "b.jpg")
        await self.run(bench)
        decide("a.jpg", out=bench.out)
        decide("b.jpg", "redo", out=bench.out, **{"class": "best"})
        summary = await self.run(bench, redo=("rejected",))
        assert (summary.predictions, summary.saved, summary.skipped) == (1, 2, 1)
        said = {event.item: event.text for event in bench.events if event.kind is Kind.WARNING and event.item}
        assert said["b.jpg"] == LEFT.format("class belongs to --provider local")
        assert (await self.run(bench)).predictions == 0
        assert bench.provider.calls.count("create") == 3

    async def test_the_budget_is_one_for_all_passes(self, bench: Bench) -> None:
        bench.add("a.jpg", "b.jpg")
        await self.run(bench)
        for item in ("a.jpg", "b.jpg"):
            decide(item, out=bench.out)
        bench.add("other c.jpg", "other d.jpg", "other e.jpg")
        summary = await self.run(bench, redo=("rejected",), max_predictions=3)
        assert (summary.predictions, summary.exit_code) == (3, 4)
        assert bench.provider.calls.count("create") == 5

    async def test_a_prediction_that_is_the_same_is_not_bought_again_every_night(self, bench: Bench) -> None:
        bench.add("a.jpg")
        await self.run(bench)
        decide("a.jpg", out=bench.out)
        assert [(await self.run(bench, redo=("rejected",))).predictions for _ in range(2)] == [1, 0]
        said = [event.text for event in bench.events if event.kind is Kind.WARNING and event.item]
        assert said[-1] == LEFT.format("another prediction was bought for it already")

    async def test_a_redo_that_dies_once_it_has_paid_is_taken_up_by_any_run_and_paid_once(self, bench: Bench) -> None:
        bench.add("a.jpg")
        await self.run(bench)
        decide("a.jpg", out=bench.out)
        bench.provider.script.append(stop_after(bench, processing("p9")))
        await bench.run(redo=("rejected",), grace=0)
        bench.provider.known["p9"] = replace(bench.provider.succeed(CreateRequest("a.jpg", "", "a.png")), id="p9")
        summary = await self.run(bench)
        assert (summary.saved, summary.predictions, summary.reused) == (1, 0, 0)
        assert (state("a.jpg", bench.out)["prediction_id"], bench.provider.calls.count("create")) == ("p9", 2)

    async def test_other_edges_of_an_api_cost_nothing(self, bench: Bench) -> None:
        bench.add("a.jpg")
        await self.run(bench)
        decide("a.jpg", "redo", out=bench.out, edges="keep")
        summary = await self.run(bench, redo=("rejected",))
        assert (summary.predictions, state("a.jpg", bench.out)["redo"]) == (0, {"edges": "keep"})
