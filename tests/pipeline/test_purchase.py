"""A worker's decisions: when to poll, what to send, when a prediction has ended."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch_removebg.clock import Clock
from batch_removebg.errors import InputRejected, ItemError, PredictionLost
from batch_removebg.events import ignore
from batch_removebg.finish.options import Finish, Geometry
from batch_removebg.imaging.format import LONGEST, Limits
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Capabilities, Item, Prediction, Status
from batch_removebg.pipeline.dedup import Deduplicator, Way
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.prepare import prepare
from batch_removebg.pipeline.purchase import Poller, Purchaser
from batch_removebg.pipeline.work import Predicted, Prepared, Todo
from batch_removebg.providers.journaled import Budget
from batch_removebg.providers.polling import RunTimes
from batch_removebg.providers.recovery import LostCreates, LostPolicy
from batch_removebg.resources import Cpu
from batch_removebg.run import assemble
from batch_removebg.run.settings import Settings
from tests.support.doubles import FakeClock, ScriptedProvider, encoded

pytestmark = pytest.mark.anyio


class Bench:
    """The stages of a run over one noisy photograph, as far as its prediction."""

    def __init__(self, tmp_path: Path, ledger: Ledger, provider: ScriptedProvider) -> None:
        noise = np.random.default_rng(7).integers(0, 255, (700, 900, 3), dtype=np.uint8)
        path = tmp_path / "noise.png"
        path.write_bytes(encoded(Image.fromarray(noise), "PNG"))
        self.item = Item("noise.png", "noise.png", "test", path=path)
        clock: Clock = FakeClock().clock
        settings = Settings(out=tmp_path / "out", provider="replicate", base_url="http://127.0.0.1:9/v1")
        self.context = assemble.context_of(
            settings,
            provider,
            ledger,
            assemble.workers_here(lambda: pytest.fail("asked for a session"), settings, cpu := Cpu()),
            cpu=cpu,
            clock=clock,
            listener=ignore,
        )
        lost = LostCreates(provider, LostPolicy(), clock=clock, known=set)
        poller = Poller(self.context, RunTimes(), deadline=900.0)
        on_hand = OnHand(tmp_path, ledger.fold.made, "")
        self.dedup = Deduplicator(self.context, on_hand)
        self.purchaser = Purchaser(self.context, poller, lost, Budget(None))

    async def predict(self) -> Predicted:
        prepared = await prepare(self.context, Todo(self.item, "noise.png", ItemState()))
        assert self.dedup.place(prepared) is Way.BUY
        return await self.purchaser.buy(prepared, self.dedup.turn(prepared))


async def test_a_data_uri_is_made_to_fit_the_providers_limit(tmp_path: Path) -> None:
    provider = ScriptedProvider(capabilities=Capabilities(data_uri_limit=120_000))
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite") as ledger:
        predicted = await Bench(tmp_path, ledger, provider).predict()
    image = provider.requests[0].image
    assert image.startswith("data:image/jpeg;base64,")
    assert 60_000 < len(image) <= 120_000
    with Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))) as sent:
        assert sent.width / sent.height == pytest.approx(9 / 7, rel=0.01)
    assert (predicted.prepared.width, predicted.prepared.height) == (900, 700)


async def test_what_can_never_fit_fails_the_item(tmp_path: Path) -> None:
    provider = ScriptedProvider(capabilities=Capabilities(data_uri_limit=2_000))
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite") as ledger:
        with pytest.raises(InputRejected, match="small enough"):
            await Bench(tmp_path, ledger, provider).predict()
    assert provider.requests == []


async def test_an_output_seen_twice_while_processing_ends_the_wait(tmp_path: Path) -> None:
    provider = ScriptedProvider(creates=[Prediction("p", Status.PROCESSING, output="https://out.example/p.png")])
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite") as ledger:
        predicted = await Bench(tmp_path, ledger, provider).predict()
    assert (predicted.output, provider.calls.count("get")) == (("https://out.example/p.png",), 1)


async def test_a_prediction_without_id_and_without_result_is_lost(tmp_path: Path) -> None:
    provider = ScriptedProvider(creates=[Prediction(None, Status.STARTING)])
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite") as ledger:
        with pytest.raises(PredictionLost, match="without an id"):
            await Bench(tmp_path, ledger, provider).predict()


async def test_an_immediate_result_without_an_id_is_taken(tmp_path: Path) -> None:
    provider = ScriptedProvider(creates=[Prediction(None, Status.SUCCEEDED, output="https://out.example/x.png")])
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite") as ledger:
        predicted = await Bench(tmp_path, ledger, provider).predict()
    assert (predicted.output, predicted.prediction_id) == (("https://out.example/x.png",), None)


async def test_what_the_format_can_not_hold_fails_before_anything_is_bought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LONGEST, "png", 899)
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite", clock=FakeClock().clock) as ledger:
        bench = Bench(tmp_path, ledger, ScriptedProvider())
        with pytest.raises(ItemError, match=r"^is 900×700 pixels, and png can't hold more than 899 a side"):
            await bench.predict()


async def test_what_is_too_large_once_laid_out_fails_before_anything_is_bought_and_a_canvas_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LONGEST, "png", 899)
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite", clock=FakeClock().clock) as ledger:
        bench = Bench(tmp_path, ledger, ScriptedProvider())
        todo, plain = Todo(bench.item, "noise.png", ItemState()), bench.context

        async def prepared(wanted: Geometry, limits: Limits | None = None) -> Prepared:
            recipe = replace(plain.recipe, finish=Finish(geometry=wanted))
            return await prepare(replace(plain, recipe=recipe, limits=limits or plain.limits), todo)

        # The photo has 900 pixels, and one too many; what comes of it may have fewer.
        small, large = [await prepared(Geometry(canvas=(side, side))) for side in (300, 800)]
        assert (small.pixels, large.pixels) == (900 * 700, 800 * 800)
        assert large.cost - small.cost == pytest.approx(20 * (800 * 800 - 300 * 300), rel=0.05)
        with pytest.raises(ItemError, match=r"^is 1000×100 pixels, and png can't hold more than 899 a side"):
            await prepared(Geometry(canvas=(1000, 100)))
        with pytest.raises(
            ItemError, match=r"^would have 800×800 pixels \(1 million\), more than the limit of 1 million"
        ):
            await prepared(Geometry(canvas=(800, 800)), Limits(max_pixels=639_999))
        # How much of the photo the subject takes isn't known yet.
        estimated = await prepared(Geometry(fill=0.03), Limits(max_pixels=700_000))
        assert estimated.pixels == 700_000
