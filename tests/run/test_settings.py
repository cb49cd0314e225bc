"""One table of options: each has its flag, and what makes no sense is refused by its name."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli.parser import parser
from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import EXTENSIONS
from batch_removebg.providers.replicate import REMOVE_BG
from batch_removebg.run import library
from batch_removebg.run.settings import Settings
from tests.support.settings import GATEWAY, KEY, made

_APART = ("out", "bucket", "own", "given", "part", "lasting", "job")
OPTIONS = [f.name for f in fields(Settings) if f.name not in _APART]


# One table of options


def test_every_setting_has_its_flag() -> None:
    commands = next(action for action in parser()._actions if action.dest == "command")
    run = commands.choices["run"]  # type: ignore[index]  # argparse types it as any iterable
    flags = {"model_inputs": "--input", "model_class": "--class"}
    for name in OPTIONS:
        flag = flags.get(name, f"--{name.replace('_', '-')}")
        action, *_ = [action for action in run._actions if action.dest == name]
        assert action.option_strings == [flag], name
        assert action.default is None, name  # what is not given is for Settings to say


@pytest.mark.anyio
async def test_run_batch_takes_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {
        **GATEWAY,
        "token_env": "SHOP_KEY",
        "model_version": "95fc",
        "input_field": "picture",
        "model_inputs": {"threshold": 0.5},
        "model_class": "fast",
        "model": "u2net",
        "escalate": True,
        "zoom": True,
        "device": "openvino",
        "precision": "float32",
        "fetch_sources": True,
        "allow_private": True,
        "proxy_size": 512,
        "on_lost": "fail",
        "image_column": "photo",
        "id_column": "sku",
        "strict": True,
        "ignore_query": ("token",),
        "root": "/srv",
        "include": ("*.jpg",),
        "exclude": ("old/*",),
        "follow_links": True,
        "shard": "3/16",
        "header": ("Referer: https://shop.example/",),
        "refresh": "always",
        "give_up_after": 60.0,
        "format": "webp",
        "mask_only": True,
        "background": "white",
        "background_fit": "fit",
        "shadow": "drop",
        "quality": 80,
        "lossless": True,
        "colours": "srgb",
        "srgb": True,
        "metadata": "keep",
        "effort": 7,
        "edges": "keep",
        "refine": "none",
        "clean_below": 0,
        "preset": ("amazon",),
        "trim": True,
        "margin": "5%",
        "canvas": "30x20",
        "aspect": "3:4",
        "fill": "85%",
        "align": "bottom",
        "enlarge": True,
        "scale_group": "sku",
        "scale_equal": "area",
        "trim_level": 20,
        "trim_specks": "0",
        "name": "{stem}",
        "hold_flagged": True,
        "max_size": 20,
        "max_pixels": 1000,
        "memory": 512,
        "concurrency": 7,
        "rate": 30.0,
        "workers": "ray",
        "limit": 3,
        "max_predictions": 4,
        "max_cost": 1.5,
        "price": 0.5,
        "deadline": 60.0,
        "max_cost_total": 20.0,
        "until": "06:00",
        "max_runtime": "4h",
        "every": "1h",
        "retry_failed": True,
        "redo": ("rejected",),
        "force": (),
        "buy_again": True,
        "state": "state",
        "prune": True,
        "start_over": True,
        "grace": 1.0,
        "summary": "night.json",
        "metrics": "night.prom",
    }
    monkeypatch.setattr("batch_removebg.run.faults.find_spec", lambda package: True)
    assert list(given) == OPTIONS
    assert all(value != getattr(made(), name) for name, value in given.items())
    seen: list[Any] = []

    async def told(inputs: list[str], settings: Settings, *_: Any, **__: Any) -> None:
        seen.extend([inputs, settings])
        raise SettingsError("enough")

    monkeypatch.setattr(library, "told", told)
    local, remote = {"model_class", "model", "escalate", "zoom"}, {"provider", "base_url"}  # each refuses the other's
    for left_out in (local, remote | {"model_class", "zoom"}, remote | {"model", "zoom"}):
        apart = left_out | {"aspect", "preset", "every", "prune"}  # which contradict others, or belong to the command
        some = {name: given[name] for name in OPTIONS if name not in apart}
        with pytest.raises(SettingsError, match="enough"):
            await library.run_batch([Path("in"), "list.csv"], out="s3://made/", **some)
        assert seen[-2:] == [["in", "list.csv"], Settings(out=Path("state"), bucket="s3://made", **some)]
    with pytest.raises(SettingsError, match=r"^every belongs to the command line"):
        await library.run_batch([Path("in")], out="made", every="1h")
    with pytest.raises(SettingsError, match=r"^model_class fast and model u2net: give one of them$"):
        await library.run_batch("in", out="s3://made", **given)


def test_settings_cannot_be_changed_once_checked() -> None:
    with pytest.raises(FrozenInstanceError):
        made().quality = 0  # type: ignore[misc]  # that is the point


# What makes no sense


@pytest.mark.parametrize(
    ("flag", "bad"),
    [
        ("--provider", {"provider": "aws"}),
        ("--format", {"format": "gif"}),
        ("--on-lost", {"on_lost": "maybe"}),
        ("--token-env", {"token_env": ""}),
        ("--token-env", {"token_env": "1KEY"}),
        ("--token-env", {"token_env": "MY-KEY"}),
        ("--token-env", {"token_env": KEY}),
        ("--model-version", {"model_version": ""}),
        ("--model-version", {"model_version": "latest"}),
        ("--model-version", {"model_version": "owner/name:latest"}),
        ("--model-version", {"model_version": "owner/name"}),
        ("--model-version", {"model_version": "a b"}),
        ("--input-field", {"input_field": ""}),
        ("--input image", {"model_inputs": {"image": "x"}}),
        ("--input picture", {"input_field": "picture", "model_inputs": {"picture": "x"}}),
        ("--concurrency", {"concurrency": 0}),
        ("--concurrency", {"concurrency": 1001}),
        ("--rate", {"rate": 0.0}),
        ("--rate", {"rate": -1.0}),
        ("--rate", {"rate": math.nan}),
        ("--rate", {"rate": math.inf}),
        ("--limit", {"limit": 0}),
        ("--max-predictions", {"max_predictions": -1}),
        ("--proxy-size", {"proxy_size": 63}),
        ("--max-size", {"max_size": 0}),
        ("--max-pixels", {"max_pixels": 0}),
        ("--memory", {"memory": 63}),
        ("--grace", {"grace": -1.0}),
        ("--grace", {"grace": math.nan}),
        ("--quality", {"quality": 0}),
        ("--quality", {"quality": 101}),
        ("--effort", {"effort": -1}),
        ("--effort", {"effort": 10}),
        ("--metadata", {"metadata": "all"}),
        ("--background", {"background": "vermilionish"}),
        ("--background", {"background": "#ffff"}),
        ("--background", {"background": ""}),
        ("--margin", {"margin": "5em"}),
        ("--margin", {"canvas": "100x100", "margin": "50px"}),
        ("--canvas", {"canvas": "100"}),
        ("--canvas", {"canvas": "70000x10", "format": "jpeg"}),
        ("--canvas", {"canvas": "20000x20000"}),
        ("--canvas and --aspect", {"canvas": "100x100", "aspect": "1:1"}),
        ("--aspect", {"aspect": "3"}),
        ("--fill", {"fill": "110%"}),
        ("--align", {"align": "left"}),
        ("--enlarge", {"enlarge": True}),
        ("--trim-level", {"trim": True, "trim_level": 256}),
        ("--trim-specks", {"trim": True, "trim_specks": "60%"}),
        ("--name", {"name": ""}),
        ("--name", {"name": "{id"}),
        ("--name", {"name": "../{id}"}),
        ("--name", {"name": "{id!r}"}),
        ("--base-url", {"base_url": "https://gateway.example/v1"}),
        ("--base-url", {"base_url": ""}),
        ("--base-url", {"provider": "gateway"}),
        ("--base-url", {"provider": "gateway", "base_url": ""}),
        ("--base-url", {"provider": "replicate", "base_url": ""}),
        ("--class belongs to --provider local", {**GATEWAY, "model_class": "fast"}),
        ("--model belongs to --provider local", {"provider": "replicate", "model": "u2net"}),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_flag(flag: str, bad: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as error:
        made(**bad)
    assert str(error.value).startswith((flag, f"--provider gateway needs {flag}"))
    assert KEY not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    "url",
    [
        "gateway.example/v1",
        "ftp://gateway.example/v1",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://gateway.example:0/v1",
        "https://gateway.example:99999/v1",
        "https://gateway.example:port/v1",
        "https://[::1/v1",
        "https://gateway.example/v1?api_key=hunter2",
        "https://gateway.example/v1#hunter2",
        " https://gateway.example/v1",
        "https://gateway.example/v1\n",
        "https://gate\tway.example/v1",
        "https://user:hunter2@gateway.example/v1",
        "https://hunter2@gateway.example/v1",
        "https://gateway.example/v1/predictions",
        "https://gateway.example/v1/predictions/",
    ],
)
@pytest.mark.parametrize("provider", ["gateway", "replicate"])
def test_a_base_url_that_is_none_is_refused_and_not_repeated(provider: Any, url: str) -> None:
    with pytest.raises(SettingsError, match=r"^--base-url") as error:
        made(provider=provider, base_url=url)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "good",
    [
        {"concurrency": 1},
        {"concurrency": 1000},
        {"rate": 0.01},
        {"limit": 1},
        {"max_predictions": 0},
        {"proxy_size": 64},
        {"max_size": 1},
        {"grace": 0.0},
        {"grace": math.inf},
        {"quality": 1},
        {"quality": 100},
        {"model_version": "owner/name:95fc"},
        {"model_version": "v1.2"},
        {"token_env": "_KEY_2"},
        {"background": "#F0F0F0"},
        {"name": "{parent}/{stem}-{sku}"},
        {"provider": "replicate", "base_url": "http://127.0.0.1:5055/v1"},
        *({"format": name} for name in EXTENSIONS),
    ],
)
def test_the_ends_of_each_range_are_taken(good: dict[str, Any]) -> None:
    made(**good)


def test_the_default_bills_nothing() -> None:
    assert made().provider == "local"
    assert made().model_version == REMOVE_BG
