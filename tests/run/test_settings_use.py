"""What the settings come to: the key, the endpoint, how pictures are made, limits and budgets."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from batch_removebg import resources
from batch_removebg.cli.parser import parser
from batch_removebg.errors import SettingsError
from batch_removebg.finish.measures import Length
from batch_removebg.finish.options import Finish, Geometry
from batch_removebg.imaging.format import Limits
from batch_removebg.net.fetch import FetchPolicy
from batch_removebg.pipeline.context import Shape
from batch_removebg.providers.replicate import REMOVE_BG
from batch_removebg.run import settings as module
from batch_removebg.run.assemble import Pace
from batch_removebg.run.settings import Settings
from tests.support.settings import GATEWAY, KEY, made

# The key


def test_the_key_comes_from_the_environment_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = made(provider="replicate", token_env="SHOP_KEY")
    monkeypatch.setenv("SHOP_KEY", f" {KEY}\n")
    assert settings.key() == KEY
    endpoint = settings.endpoint()
    assert (endpoint.key, endpoint.base, endpoint.version) == (KEY, "https://api.replicate.com/v1", REMOVE_BG)
    assert (endpoint.image_field, endpoint.inputs) == ("image", {})


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_replicate_without_a_key_names_the_variable_and_the_way_out(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    settings = made(provider="replicate", token_env="SHOP_KEY")
    if value is not None:
        monkeypatch.setenv("SHOP_KEY", value)
    with pytest.raises(SettingsError, match=r"needs a key.*SHOP_KEY.*--token-env.*--provider local"):
        settings.key()
    with pytest.raises(SettingsError, match="SHOP_KEY"):
        settings.endpoint()


def test_a_gateway_and_a_server_nearby_may_do_without_a_key() -> None:
    assert made(**GATEWAY).key() is None
    assert made(provider="replicate", base_url="http://localhost:5055/v1").key() is None


@pytest.mark.parametrize("key", ["r8_\nnew line", "schlüssel", "r8_\x7f", "r8_\x00"])
def test_a_key_that_no_header_could_hold_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr(os, "environ", {"SHOP_KEY": key})  # a real environment takes no NUL
    with pytest.raises(SettingsError, match="SHOP_KEY") as error:
        made(**GATEWAY, token_env="SHOP_KEY").key()
    assert key not in str(error.value)


@pytest.mark.parametrize("scheme", ["http", "HTTP", "hTTp"])
@pytest.mark.parametrize(
    "host", ["gateway.example", "93.184.216.34", "[2606:2800:220:1::1]", "localhost.example", "notlocalhost"]
)
@pytest.mark.parametrize("provider", ["gateway", "replicate"])
def test_a_key_does_not_travel_unencrypted_to_a_public_host(
    monkeypatch: pytest.MonkeyPatch, provider: Any, scheme: str, host: str
) -> None:
    settings = made(provider=provider, base_url=f"{scheme}://{host}/v1", token_env="SHOP_KEY")
    monkeypatch.setenv("SHOP_KEY", KEY)
    with pytest.raises(SettingsError, match=r"^--base-url .* unencrypted; use https") as error:
        settings.key()
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:5055/v1", "http://localhost/v1", "http://[::1]:1/v1", "http://10.0.0.7/v1",
             "http://api.localhost/v1", "http://gpu.local/v1", "http://gateway.internal/v1", "https://gateway.example/v1"]
)  # fmt: skip
def test_a_key_may_go_over_plain_http_nearby_and_over_https_anywhere(
    monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setenv("SHOP_KEY", KEY)
    assert made(provider="gateway", base_url=base, token_env="SHOP_KEY").key() == KEY


def test_the_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)
    settings = made(provider="replicate", model_inputs={"secret": "hunter2"})
    endpoint = settings.endpoint()
    assert endpoint.key == KEY
    for text in (repr(settings), str(settings), json.dumps(settings.shown()), repr(endpoint), str(endpoint)):
        assert KEY not in text
    assert "hunter2" not in json.dumps(settings.shown())


# What the parts of the pipeline get


def test_the_ledger_keeps_what_is_not_the_default() -> None:
    assert made().shown() == {}
    settings = made(
        provider="gateway",
        base_url="https://gateway.example/replicate/v1/",
        model_inputs={"b": 1, "a": 2},
        rate=6.0,
        grace=math.inf,
        mask_only=True,
    )
    assert settings.shown() == {
        "provider": "gateway",
        "base_url": "https://gateway.example/replicate/v1",
        "model_inputs": ["a", "b"],
        "rate": 6.0,
        "grace": "inf",
        "mask_only": True,
    }
    json.dumps(settings.shown(), allow_nan=False)


def test_a_slash_at_the_end_of_the_base_url_makes_no_difference() -> None:
    assert made(provider="gateway", base_url="https://gateway.example/v1//").base == "https://gateway.example/v1"
    assert made(provider="replicate").base == "https://api.replicate.com/v1"


def test_how_pictures_are_made_follows_the_settings() -> None:
    assert made().finish() == Finish()
    settings = made(format="jpeg", mask_only=True, background="#ff8000", quality=75, effort=9, srgb=True)
    assert settings.finish() == Finish(
        "jpeg", mask_only=True, background=(255, 128, 0), quality=75, effort=9, colours="srgb"
    )


def test_where_the_subject_lies_follows_the_settings() -> None:
    assert made(trim=True).finish().geometry == Geometry(trim=True)
    settings = made(canvas="2000x1000", margin="10px 5%", fill="85%", align="bottom", enlarge=True, trim_specks="0")
    margin = (Length(10), Length(share=0.05)) * 2
    assert settings.finish().geometry == Geometry(
        canvas=(2000, 1000), margin=margin, fill=0.85, align="bottom", enlarge=True, specks=0
    )
    assert made(aspect="3:4", trim_level=0).finish().geometry == Geometry(aspect=(3, 4), trim_level=0)


def test_the_quality_is_90_unless_another_is_given_and_webp_without_loss_where_that_is_asked_for() -> None:
    assert made(format="webp").finish() == Finish("webp", quality=90)
    assert made(format="webp", lossless=True).finish() == Finish("webp", quality=90, lossless=True)
    assert made(format="jpeg", quality=90).finish() == made(format="jpeg").finish()
    for form in ("jpeg", "avif"):
        with pytest.raises(SettingsError, match=f"--lossless: {form} always loses a little"):
            made(format=form, lossless=True)


@pytest.mark.parametrize(
    ("word", "form"), [("jpg", "jpeg"), ("JPG", "jpeg"), ("tif", "tiff"), ("TIF", "tiff"), ("PNG", "png")]
)
def test_a_format_may_be_called_by_its_files_ending_in_any_case(word: str, form: str) -> None:
    assert made(format=word) == made(format=form)
    assert parser().parse_args(["run", "in", "--out", "out", "--format", word]).format == form


def test_a_choice_is_known_in_any_case() -> None:
    assert made(edges="KEEP", provider="Local") == made(edges="keep")


def test_limits_and_caps_follow_the_settings() -> None:
    settings = made(max_pixels=5, max_size=3)
    assert (settings.limits(), settings.fetching()) == (
        Limits(max_pixels=5),
        FetchPolicy(size=3 * 2**20, public_only=True),
    )
    assert (made().limits(), made().fetching()) == (Limits(), FetchPolicy(public_only=True))
    assert made(allow_private=True).fetching() == FetchPolicy()


@pytest.mark.parametrize(("gibibytes", "budget"), [(1, 256 << 20), (8, 2 << 30), (512, 2 << 30)])
def test_decoded_pictures_take_a_quarter_of_the_memory_or_what_is_said(
    monkeypatch: pytest.MonkeyPatch, gibibytes: int, budget: int
) -> None:
    monkeypatch.setattr(module, "memory", lambda: gibibytes << 30)
    assert made().pixels() == budget
    assert made(memory=100).pixels() == 100 << 20


def test_the_pipeline_is_as_wide_as_the_provider_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)
    monkeypatch.setattr(module, "memory", lambda: 64 << 30)
    assert resources.cores() >= 1
    assert resources.memory() >= 1 << 20
    local = made().shape(stream=False)
    assert local == Shape(workers=6, downloaders=5, queue=12, stream=False, limit=None, grace=30.0)
    api = made(**GATEWAY, limit=5, grace=1.0).shape(stream=True)
    assert api == Shape(workers=256, downloaders=32, queue=64, stream=True, limit=5, grace=1.0)
    assert made(concurrency=3).shape(stream=False).workers == 3
    assert made(concurrency=3).shape(stream=False).queue == 8
    assert made(concurrency=1000).shape(stream=False).queue == 64


@pytest.mark.parametrize(("gibibytes", "widest"), [(1, 32), (4, 64), (8, 128), (16, 256), (512, 256)])
def test_as_many_are_in_flight_as_a_quarter_of_the_memory_holds(
    monkeypatch: pytest.MonkeyPatch, gibibytes: int, widest: int
) -> None:
    monkeypatch.setattr(module, "memory", lambda: gibibytes << 30)
    assert made(**GATEWAY).adaptive_concurrency().cap == widest
    assert made(**GATEWAY, concurrency=7).adaptive_concurrency().cap == 7


@pytest.mark.parametrize(
    ("given", "limit", "named"),
    [
        ({}, None, ""),
        ({"max_predictions": 7}, 7, "--max-predictions 7"),
        (
            {"max_cost": 0.3, "price": 0.1},
            3,
            "--max-cost 0.3 is reached: 3 predictions",
        ),
        ({"max_cost": 1.0, "price": 0.3}, 3, "--max-cost 1 is reached: 3 predictions"),
        ({"max_cost": 0.0001, "price": 0.00044}, 0, "--max-cost 0.0001 is reached: 0 predictions"),
        ({"max_cost": 5.0, "price": 1.0, "max_predictions": 2}, 2, "--max-predictions 2 is reached in this run"),
        ({"max_cost": math.inf, "price": 1.0}, None, ""),
    ],
)
def test_the_budget_is_the_smaller_of_count_and_cost_and_never_passes_it(
    tmp_path: Path, given: dict[str, Any], limit: int | None, named: str
) -> None:
    allowed, said = Settings(out=tmp_path, **given).budget()
    assert allowed == limit
    assert said.startswith(named)


@pytest.mark.parametrize(("billed", "left", "spent"), [(0, 10, 10), (4, 6, 10), (12, 0, 12)])
def test_a_budget_of_an_out_counts_what_earlier_runs_have_bought(
    tmp_path: Path, billed: int, left: int, spent: int
) -> None:
    allowed, said = Settings(out=tmp_path, max_cost_total=5.0, max_cost=5.0, price=0.5).budget(billed)
    assert allowed == left
    where = "all runs over this OUT; raise it" if billed else "this run; the same command"
    assert f"{spent} predictions were bought at --price 0.5 in {where}" in said


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ({"max_cost": 1.0}, "--price"),
        ({"price": 0.0}, "--price"),
        ({"price": float("nan")}, "--price"),
        ({"deadline": 0}, "--deadline"),
    ],
)
def test_a_cost_without_a_price_and_senseless_prices_are_refused(
    tmp_path: Path, given: dict[str, Any], flag: str
) -> None:
    with pytest.raises(SettingsError, match=flag):
        Settings(out=tmp_path, **given)


@pytest.mark.parametrize(
    ("given", "public_only"),
    [
        ({}, True),
        ({"allow_private": True}, False),
        ({"provider": "replicate"}, True),
        ({"provider": "gateway", "base_url": "http://127.0.0.1:5055/v1"}, False),
        ({"provider": "gateway", "base_url": "https://gateway.example/v1"}, True),
    ],
)
def test_private_addresses_are_fetched_from_only_on_request_or_beside_a_private_api(
    tmp_path: Path, given: dict[str, Any], public_only: bool
) -> None:
    assert Settings(out=tmp_path, **given).public_only is public_only


def test_headers_for_hosts_of_sources_are_checked_and_never_shown() -> None:
    settings = made(header=("X-Key: k3y", "cdn.example=Cookie: k3y"))
    assert settings.headers() == (("", "X-Key", "k3y"), ("cdn.example", "Cookie", "k3y"))
    assert "k3y" not in repr(settings) + json.dumps(settings.shown())
    with pytest.raises(SettingsError, match=r"^--header: write 'NAME: VALUE'"):
        made(header=("k3y",))


def test_the_time_to_give_up_after_counts_for_known_apis_too_where_it_is_given() -> None:
    breakers = [Pace(made(**given)).breaker for given in ({}, {"give_up_after": 5.0})]
    assert [(one.outage, one.stranger) for one in breakers] == [(1800.0, 600.0), (5.0, 5.0)]
