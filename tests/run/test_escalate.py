"""`--escalate`: what a network is in doubt about is made again by the better ones, once, and stays so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch_removebg import Event, remove, run_batch_sync
from batch_removebg.engine import devices, network, process, weights
from batch_removebg.errors import SettingsError
from batch_removebg.matting.quality import FLAGS
from batch_removebg.providers.local import LocalProvider
from batch_removebg.run import library
from batch_removebg.run.dry_run import preview
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support.doubles import photo
from tests.support.local_doubles import Here

pytestmark = pytest.mark.usefixtures("shop")
SURE, HEALED, HOPELESS = (200, 10, 10), (10, 200, 10), (10, 10, 200)  # what `good` sees, and `best` sees
BEST, GOOD = weights.MODELS["best"].version, weights.MODELS["isnet"].version
opened: list[str] = []
shown: list[NDArray[np.float32]] = []  # what a network looks at
on_disk: list[bytes] = []  # the healed picture, whenever the largest network looks


class Runtime:
    """One network's runtime: sure of red photos; `unsure` is not of others; of blue ones each sees another half."""

    used, unsure = "a double", ("isnet",)

    def __init__(self, model: weights.Weights) -> None:
        opened.append(model.name)
        self._model = model

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        shown.append(tensor)
        colour, size = int(tensor[0].mean((1, 2)).argmax()), self._model.size
        seen = np.zeros((1, 1, size, size), np.float32)
        if colour < 2 or self._model.name == "u2netp":
            seen[..., : size // 2] = 1
        elif self._model.name == "isnet":
            seen[..., size // 2 :] = 1
        else:
            seen[..., : size // 2, :] = 1
        if colour and self._model.name in self.unsure:
            seen[..., size // 4 : size // 2, : size // 2] = 0.5
        if self._model.name == "isnet-1024" and Path("out/b.png").exists():
            on_disk.append(Path("out/b.png").read_bytes())
        return seen


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The current folder, with a photo of each kind, and networks without weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network, "ensure_weights", lambda model, **asked: None)
    monkeypatch.setattr(network, "open_runtime", lambda model, device, precision, **_: Runtime(model))
    monkeypatch.setattr(weights, "notice", lambda *_: "")
    monkeypatch.setattr(process, "NetworkProcess", lambda load, cpu, *_: Here(load))
    for kept in (opened, shown, on_disk):
        kept.clear()
    Path("in").mkdir()
    for name, colour in zip("abc", (SURE, HEALED, HOPELESS), strict=True):
        Path("in", f"{name}.jpg").write_bytes(photo(colour=colour))


def made(**settings: Any) -> Summary:
    """What a run over OUT comes to."""
    summary = run_batch_sync("in", out="out", **settings)
    assert summary.exit_code == 0
    return summary


def counts(summary: Summary) -> tuple[int, int, int]:
    return summary.skipped, summary.predictions, summary.escalated


def engines() -> dict[str, str]:
    """What each picture was made by."""
    items = json.loads(Path("out/results.json").read_text())["items"]
    return {item["id"][0]: item["engine"] for item in items}


def test_what_is_doubtful_is_made_by_the_next_class_and_said_once() -> None:
    summary = made(escalate=True)
    assert counts(summary) == (0, 3, 2)
    [flag] = [group for group in summary.flags if group.kind == "suspect"]
    assert (flag.count, flag.examples) == (1, (("c.jpg", ""),))
    assert engines() == {"a": "a double", "b": f"a double {BEST}", "c": f"a double {BEST}"}
    assert opened == ["isnet", "u2netp", "isnet-1024"]  # each once


def test_nothing_better_is_loaded_before_it_is_needed() -> None:
    for name in "bc":
        Path("in", f"{name}.jpg").unlink()
    assert counts(made(escalate=True)) == (0, 1, 0)
    assert opened == ["isnet"]


def test_after_it_nothing_is_left_to_do_with_the_flag_or_without() -> None:
    made(escalate=True)
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    assert [counts(made(escalate=escalate)) for escalate in (True, False)] == [(3, 0, 0)] * 2
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = made(format="webp")
    assert (*counts(again), again.reused) == (0, 0, 0, 3)
    assert engines() == {"a": "a double", "b": f"a double {BEST}", "c": f"a double {BEST}"}


def test_a_run_that_was_cut_short_goes_on_without_making_a_picture_twice() -> None:
    assert run_batch_sync("in", out="out", escalate=True, limit=2).predictions == 2
    assert counts(made(escalate=True)) == (2, 1, 1)


def test_doubtful_ones_of_earlier_runs_are_made_again_and_their_pictures_stay_until_then() -> None:
    Path("in/b too.jpg").write_bytes(Path("in/b.jpg").read_bytes())
    assert counts(made()) == (0, 3, 0)
    earlier = Path("out/b.png").read_bytes()
    found = preview(["in"], Settings(out=Path("out"), escalate=True), lambda event: None)
    assert (found["done"], found["bought"], found["copies"], found["kept"]) == (1, 2, 1, 0)
    events: list[Event] = []
    summary = made(escalate=True, on_event=events.append)
    assert (*counts(summary), summary.reused) == (1, 2, 2, 1)  # the copy shares what was made
    assert set(on_disk) == {earlier}
    assert Path("out/b.png").read_bytes() != earlier
    assert Path("out/b too.png").read_bytes() == Path("out/b.png").read_bytes()
    assert counts(made(escalate=True)) == (4, 0, 0)


def test_a_picture_that_is_not_doubted_is_the_same_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sharp(Runtime):
        def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
            return (tensor[:, :1] > 0).astype(np.float32)

    monkeypatch.setattr(network, "open_runtime", lambda model, device, precision, **_: Sharp(model))
    noise = np.random.default_rng(7).integers(0, 256, (700, 900, 3), np.uint8)
    Image.fromarray(noise).save("d.jpg")
    for escalate in (False, True):
        assert run_batch_sync("d.jpg", out=f"out {escalate}", model_class="fast", escalate=escalate).predictions == 1
    assert Path("out False/d.png").read_bytes() == Path("out True/d.png").read_bytes()
    assert opened == ["u2netp", "u2netp"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_each_network_is_shown_exactly_what_it_is_shown_without_it(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(Runtime, "unsure", ("u2netp", "isnet"))
    noise = np.random.default_rng(7).integers(0, 100, (1100, 1700, 3), np.uint8) + np.array(HOPELESS, np.uint8) // 2
    photo = Path(f"d.{kind.lower()}")
    Image.fromarray(noise).save(photo, kind)

    def seen(**settings: Any) -> list[NDArray[np.float32]]:
        shown.clear()
        summary = run_batch_sync(photo, out=f"out {len(list(Path().iterdir()))}", **settings)
        assert summary.predictions == 1
        return shown.copy()

    alone = [seen(model_class=each) for each in ("fast", "good", "best")]
    found = seen(model_class="fast", escalate=True)
    assert [tensor.shape[-1] for tensor in found] == [320, 512, 320, 512, 1024]
    for tensor, expected in zip(found, [tensor for each in alone for tensor in each], strict=True):
        np.testing.assert_array_equal(tensor, expected)


def test_it_begins_with_the_network_that_out_goes_on_with_and_ends_where_there_is_no_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Runtime, "unsure", ("u2netp",))
    made(model_class="fast")
    opened.clear()
    Path("in/c.jpg").unlink()
    assert counts(made(escalate=True)) == (1, 1, 1)
    assert (engines()["b"], opened) == (f"a double {GOOD}", ["u2netp", "isnet"])


def test_the_classes_are_climbed_one_by_one_and_the_last_word_is_the_best_ones() -> None:
    fast, good = weights.escalating(weights.MODELS["u2netp"]), weights.escalating(weights.MODELS["isnet"])
    assert [model.name for model in fast.better] == ["isnet", "best"]
    assert [(model.shown.square, model.shown.more) for model in (fast, good)] == [(320, (512, 1024)), (512, (1024,))]
    assert LocalProvider(good, Here(lambda: network.opened(good))).proxy == good.shown
    assert fast.doubts(["suspect"], f"a double {GOOD}")
    assert not fast.doubts(["suspect"], f"a double {BEST}")
    assert not fast.doubts(["cut-off", "faint"], "a double")
    assert set(FLAGS) > {flag for flag in FLAGS if fast.doubts([flag], None)} == {"empty", "full", "suspect"}


def test_a_single_picture_is_made_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_network", lambda model, *_: network.load(model))
    left = np.asarray(remove("in/b.jpg", escalate=True))[..., 3].mean(0)
    assert (left[0], left[-1], opened) == (255, 0, ["isnet", "u2netp", "isnet-1024"])


def test_the_weights_of_all_classes_are_wanted_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv(weights.FOLDER_VARIABLE, "nowhere")
    fetched: list[str] = []
    monkeypatch.setattr(weights, "find", lambda model: None)
    monkeypatch.setattr(weights, "_fetch", lambda model, progress: fetched.append(model.name))
    model = weights.escalating(weights.MODELS["isnet"])
    assert weights.notice(model).startswith("117 MB of weights aren't here yet, and are downloaded first. Licence of ")
    assert " u2netp: code Apache-2.0" in weights.notice(model)
    assert weights.notice(model, "would be").startswith("117 MB of weights aren't here yet, and would be downloaded ")
    weights.ensure(model, progress=lambda done, total: None)
    assert fetched == ["isnet", "u2netp", "isnet", "isnet-1024"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model_class": "best"}, "escalate: no class is better than best; leave it out"),
        ({"model": "silueta"}, "escalate goes with model_class only, and silueta is of no class: leave it out"),
        ({"model": "isnet.onnx"}, "escalate goes with model_class only, and isnet is of no class: leave it out"),
        ({"provider": "replicate"}, "escalate belongs to provider local: what it would cost elsewhere isn't known"),
    ],
)
def test_where_nothing_is_better_or_it_costs_money_it_is_refused(asked: dict[str, Any], said: str) -> None:
    Path("isnet.onnx").write_bytes(b"a network of one's own, which has no class")
    with pytest.raises(SettingsError) as caught:
        made(escalate=True, **asked)
    assert (str(caught.value), opened, Path("out").exists()) == (said, [], False)


def test_where_out_goes_on_with_the_best_class_it_is_refused_too() -> None:
    made(model_class="best")
    with pytest.raises(SettingsError, match=r"no class is better than best; leave it out$"):
        made(escalate=True)


def test_where_a_better_network_finds_no_memory_the_flag_is_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(model: weights.Weights, *_: object, **__: object) -> Runtime:
        if model.name == "isnet":
            raise SettingsError(f"isnet can't be loaded: {devices.NO_MEMORY}")
        return Runtime(model)

    monkeypatch.setattr(Runtime, "unsure", ("u2netp",))
    monkeypatch.setattr(network, "open_runtime", full)
    summary = run_batch_sync("in", out="out", model_class="fast", escalate=True)
    assert str(summary.stopped) == (
        "isnet can't be loaded: there isn't memory enough: close other programs, or leave out escalate"
    )
