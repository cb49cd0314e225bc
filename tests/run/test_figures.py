"""What machines are told of a run: the document, and the metrics, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from batch_removebg import errors
from batch_removebg.model import CreateRequest, Prediction
from batch_removebg.run.figures import beat, write_metrics, write_summary
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Group, Summary
from tests.support.doubles import ScriptedProvider
from tests.support.shop import API, Said, provider, said, shop, tree

__all__ = ["provider", "said", "shop"]
LOCAL = Settings(out=Path("out"))
Figures = dict[str, float]


def summary(out: str = "/srv/out", **fields: Any) -> Summary:
    plain = {"skipped": 0, "reused": 0, "predictions": 4, "possible_duplicates": 1, "seconds": 2.5, "failures": ()}
    counts = {"saved": 3, "failed": 0, "pending": 0, "stopped": None}
    return Summary(**{"out": Path(out), **plain, **counts, "run_id": "c0ffee", **fields})


def read(path: Path) -> Figures:
    """Each sample by its name and labels, as Prometheus' own parser has them; none has a time stamp."""
    parser = pytest.importorskip("prometheus_client.parser")
    found: Figures = {}
    for family in parser.text_string_to_metric_families(path.read_text(encoding="utf-8")):
        assert family.type == ("counter" if family.samples[0].name.endswith("_total") else "gauge")
        assert family.documentation
        for sample in family.samples:
            assert sample.timestamp is None
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name.removeprefix('batchremovebg_')} {labels}"
            assert key not in found
            found[key] = sample.value
    return found


def written(path: Path, found: Summary, settings: Settings = LOCAL, now: float = 1000.0) -> Figures:
    pytest.importorskip("prometheus_client")
    write_metrics(path, found, settings, now=now)
    return read(path)


def test_every_figure_of_a_run_is_there(tmp_path: Path) -> None:
    settings = Settings(out=Path("out"), provider="gateway", base_url="http://127.0.0.1:9/v1")
    ended = summary(flags=(Group("empty", 2, ()),), skipped=1, cost=1.0, job="shoes")
    found = written(tmp_path / "m.prom", ended, settings)
    assert found == {
        "heartbeat_timestamp_seconds job=shoes,out=/srv/out": 1000.0,
        "items_total job=shoes,out=/srv/out,status=saved": 2.0,
        "items_total job=shoes,out=/srv/out,status=failed": 0.0,
        "predictions_total job=shoes,out=/srv/out": 4.0,
        "cost_dollars_total job=shoes,out=/srv/out": 1.0,
        "last_success_timestamp_seconds job=shoes,out=/srv/out": 1000.0,
        "last_completion_timestamp_seconds job=shoes,out=/srv/out": 1000.0,
        "run_duration_seconds job=shoes,out=/srv/out": 2.5,
        "exit_code job=shoes,out=/srv/out": 0.0,
        "items job=shoes,out=/srv/out,status=saved": 3.0,
        "items job=shoes,out=/srv/out,status=failed": 0.0,
        "items job=shoes,out=/srv/out,status=pending": 0.0,
        "predictions job=shoes,out=/srv/out": 4.0,
        "possible_duplicates job=shoes,out=/srv/out": 1.0,
        "cost_dollars job=shoes,out=/srv/out": 1.0,
        "flagged_items flag=empty,job=shoes,out=/srv/out": 2.0,
        "build_info engine=gateway,job=shoes,out=/srv/out,version=0.1.0": 1.0,
    }


def test_the_last_success_outlives_runs_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    written(path, summary(), now=1000.0)
    found = written(path, summary(failed=1), now=2000.0)
    assert found["last_success_timestamp_seconds out=/srv/out"] == 1000.0
    assert found["last_completion_timestamp_seconds out=/srv/out"] == 2000.0
    assert found["exit_code out=/srv/out"] == 3.0
    assert written(path, summary(), now=3000.0)["last_success_timestamp_seconds out=/srv/out"] == 3000.0


def test_a_first_run_that_fails_has_no_success_and_a_refused_one_tells_of_no_items(tmp_path: Path) -> None:
    refused = summary(saved=0, stopped=errors.LockedError("another run"), predictions=0)
    assert {name.partition(" ")[0] for name in written(tmp_path / "m.prom", refused)} == {
        "last_completion_timestamp_seconds",
        "heartbeat_timestamp_seconds",
        "run_duration_seconds",
        "exit_code",
        "build_info",
    }


def test_counters_are_totals_of_all_runs_since_the_file_was_begun_and_gauges_those_of_the_last(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    written(path, summary("/srv/b", cost=0.5))
    written(path, summary(cost=0.5))
    written(path, summary(saved=0, stopped=errors.LockedError("another run"), predictions=0))
    found = written(path, summary(saved=5, skipped=4, failed=7, tried=2, predictions=1, cost=0.125))
    assert {name: value for name, value in found.items() if "_total" in name} == {
        "items_total out=/srv/b,status=saved": 3.0,
        "items_total out=/srv/b,status=failed": 0.0,
        "predictions_total out=/srv/b": 4.0,
        "cost_dollars_total out=/srv/b": 0.5,
        "items_total out=/srv/out,status=saved": 4.0,
        "items_total out=/srv/out,status=failed": 2.0,
        "predictions_total out=/srv/out": 5.0,
        "cost_dollars_total out=/srv/out": 0.625,
    }
    assert (found["predictions out=/srv/out"], found["cost_dollars out=/srv/out"]) == (1.0, 0.125)


def test_a_heartbeat_changes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    before = written(path, summary(cost=0.5, flags=(Group("empty", 2, ()),)))
    beat(path, Settings(out=Path("/srv/out")), now=2000.0)
    assert read(path) == before | {"heartbeat_timestamp_seconds out=/srv/out": 2000.0}
    beat(tmp_path / "new.prom", Settings(out=Path("/srv/out")), now=2000.0)
    assert read(tmp_path / "new.prom") == {"heartbeat_timestamp_seconds out=/srv/out": 2000.0}


def test_runs_share_a_file_by_out_and_job(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    written(path, summary("/srv/a"))
    written(path, summary("/srv/b", saved=5, job="b"))
    found = written(path, summary("/srv/a", saved=7))
    assert found["items out=/srv/a,status=saved"] == 7.0
    assert found["items job=b,out=/srv/b,status=saved"] == 5.0


@pytest.mark.parametrize("before", [b"", b"not { the format", b"\xff\xfe", b"other_metric 1\n"])
def test_what_is_no_file_of_ours_is_replaced(tmp_path: Path, before: bytes) -> None:
    (tmp_path / "m.prom").write_bytes(before)
    assert len(written(tmp_path / "m.prom", summary())) == 14


def test_an_out_with_any_name_is_read_back_as_it_is(tmp_path: Path) -> None:
    out = '/srv/a "b"\\n\n鞋'
    for _ in range(2):
        found = written(tmp_path / "m.prom", summary(out))
    assert found[f"predictions out={out}"] == 4.0


def test_no_other_name_than_the_last_ends_in_prom_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """node_exporter reads every *.prom in its folder."""
    pytest.importorskip("prometheus_client")
    names, replace = list[str](), os.replace

    def look(temp: str, path: Path) -> None:
        names.append(Path(temp).name)
        assert Path(temp).parent == tmp_path
        replace(temp, path)

    monkeypatch.setattr(os, "replace", look)
    write_metrics(tmp_path / "m.prom", summary(), LOCAL)
    assert [name.endswith(".prom") for name in names] == [False]
    assert list(tmp_path.iterdir()) == [tmp_path / "m.prom"]


def test_the_summary_is_one_document_and_a_list_for_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    write_summary(path, summary())
    assert json.loads(path.read_text()) == summary().as_json()
    write_summary(path, [summary(), summary("/srv/b")])
    assert [one["out"] for one in json.loads(path.read_text())] == ["/srv/out", "/srv/b"]


def test_a_file_that_cannot_be_written_is_a_warning_and_the_run_ends_as_it_would(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    def unmounted(request: CreateRequest) -> Prediction:
        (shop / "gone").rmdir()
        return provider.succeed(request)

    (shop / "gone").mkdir()
    provider.script.append(unmounted)
    code, out, err = said("run", "in", "--out", "out", "--summary", "gone/s.json", *API)
    assert (code, out) == (0, "out/results.json\n")
    assert "warning: not written: gone/s.json can't be written: the folder is gone; bring it back" in err


def test_what_runs_saved_and_what_failed_in_them_is_counted_once(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    command = ["run", "in", "--out", "out", "--metrics", "m.prom", "--price", "0.5", *API]
    pytest.importorskip("prometheus_client")
    provider.script.append(errors.PredictionFailed("no product in the picture"))
    ends = []
    for more in ([], [], ["--retry-failed"]):
        said(*command, *more)
        found = {
            name.partition(" ")[0] + name.partition("status")[2]: value for name, value in read(Path("m.prom")).items()
        }
        ends.append([found[f"items_total={status}"] for status in ("saved", "failed")] + [found["cost_dollars_total"]])
    assert ends == [[2.0, 1.0, 1.0], [2.0, 1.0, 1.0], [3.0, 1.0, 1.5]]


@pytest.mark.parametrize("flag", ["--summary", "--metrics"])
def test_a_file_that_could_not_be_written_at_the_end_is_refused_before_anything_is_bought(
    shop: Path, provider: ScriptedProvider, said: Said, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    (shop / "folder.prom").mkdir()
    (shop / "closed").mkdir()
    (shop / "closed" / "s.prom").write_text("")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).is_dir() and Path(path).name != "closed")
    why = "its folder isn't there, or nothing can be written to it"
    for name, problem in {"folder.prom": "it is a folder", "gone/s.prom": why, "closed/s.prom": why}.items():
        before = tree(shop)
        code, _, err = said("run", "in", "--out", "out", flag, name, *API)
        assert (code, err) == (2, f"error: {flag} {name}: {problem}; name a file in a folder of yours\n")
        assert (provider.calls, tree(shop)) == ([], before)
    assert said("run", "in", "--out", "out/deep", flag, "out/s.prom", *API)[0] == 0
    assert (shop / "out" / "s.prom").stat().st_size


def test_an_aborted_and_a_refused_run_are_told_as_well(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    assert said("run", "in", "--out", "out", "--summary", "s.json", "--max-predictions", "1", *API)[0] == 4
    document = json.loads((shop / "s.json").read_text())
    assert (document["exit_code"], document["stopped"]["kind"], document["saved"]) == (4, "budget", 1)
    assert said("run", "gone.csv", "--out", "out", "--summary", "s.json", *API)[0] == 2
    document = json.loads((shop / "s.json").read_text())
    assert (document["exit_code"], document["stopped"]["kind"], document["total"]) == (2, "manifest", 0)


def test_on_stdout_the_summary_takes_the_place_of_the_path(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    _, out, _ = said("run", "in", "--out", "out", "--summary", "-", *API)
    assert json.loads(out)["saved"] == 3
    assert out.count("\n") == 1
    _, out, _ = said("run", "in", "--out", "out", "--summary", "-", "--progress", "json", *API)
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["v"], out.count('"exit_code"')) == ("summary", 1, 1)


def test_where_files_go_is_nothing_that_out_is_made_with(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    said("run", "in", "--out", "out", "--summary", "s.json", *API)
    started = json.loads((shop / "out" / "ledger.jsonl").read_text().splitlines()[0])
    assert "summary" not in started["settings"]


@pytest.mark.parametrize("name", ["metrics", "m.prom.txt", ".prom/x"])
def test_a_name_that_node_exporter_would_not_read_is_refused(name: str) -> None:
    with pytest.raises(errors.SettingsError, match=rf"^--metrics {name}: node_exporter reads files that end in \.prom"):
        Settings(out=Path("out"), metrics=name)


def test_without_its_package_metrics_are_refused_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.run.faults.find_spec", lambda package: None)
    with pytest.raises(errors.SettingsError, match=r"pip install '\.\[metrics\]'"):
        Settings(out=Path("out"), metrics="m.prom")
