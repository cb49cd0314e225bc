"""Identity of what is made, and of what is bought for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.finish.options import Finish
from batch_removebg.model import Item, ProxySpec
from batch_removebg.pipeline.cache_key import Recipe

RECIPE = Recipe("replicate", "95fc", {"image": None, "threshold": 0.5}, ProxySpec(), Finish(), passes_urls=True)

BOUGHT: list[dict[str, Any]] = [
    {"provider": "gateway"},
    {"version": "95fd"},
    {"inputs": {"image": None, "threshold": 0.6}},
    {"inputs": {"img": None, "threshold": 0.5}},
    {"inputs": {"image": None}},
    {"proxy": ProxySpec(longest=1024)},
    {"proxy": ProxySpec(square=320)},
    {"proxy": ProxySpec(encoding="bmp")},
    {"proxy": ProxySpec(quality=80)},
]
FINISHED: list[dict[str, Any]] = [
    {"finish": Finish(format="webp")},
    {"finish": Finish(mask_only=True)},
    {"finish": Finish(background=(255, 255, 255))},
    {"finish": Finish(quality=80)},
    {"finish": Finish(clean_below=0)},
    {"finish": Finish(format="webp", lossless=True)},
    {"finish": Finish(format="webp", background=(1, 2, 3))},
    {"finish": Finish(format="webp", background=(1, 2, 3), lossless=True)},
    {"finish": Finish(format="webp", colours="keep")},
    {"finish": Finish(colours="srgb")},
    {"finish": Finish(metadata="keep")},
    {"passes_urls": False},
]
EDGES: list[dict[str, Any]] = [{"finish": Finish(edges="keep")}, {"finish": Finish(refine="none")}]


def test_the_same_settings_give_the_same_identity_whatever_the_order_of_inputs() -> None:
    same = replace(RECIPE, inputs={"threshold": 0.5, "image": None}, proxy=ProxySpec(), finish=Finish())
    assert same.digest == RECIPE.digest
    assert same.fingerprint("5e") == RECIPE.fingerprint("5e")


def test_identities_stay_what_they_are_from_release_to_release() -> None:
    """Changing them makes every saved picture anew, and buys every alpha again."""
    assert RECIPE.digest == "937090e466356ffbcb679af7a9fe67f4"
    assert RECIPE.passed == "3dde180d12e1ccd0083c84b779460a49"
    assert RECIPE.fingerprint("5e") == "d114d5d43a88b5f46575d106c67e625f"
    assert replace(RECIPE, proxy=ProxySpec(more=(512,))).digest == RECIPE.digest


def test_what_became_the_default_later_makes_no_cutout_anew_that_was_passed_on_as_it_came() -> None:
    """Of such a cutout no alpha is kept; the digests are those from before."""
    passed = {form: replace(RECIPE, finish=Finish(form)).passed for form in ("jpeg", "webp")}
    assert passed == {"jpeg": "0dddf245cf3c658814a73c462d8afdad", "webp": "015a7cc335147a2f2a06533667929994"}
    assert replace(RECIPE, finish=Finish("webp", quality=80)).passed == "2b1a9f04a3dc33d29d62634a953b01a1"
    assert replace(RECIPE, finish=Finish("jpeg", colours="keep")).digest == "39c6a15e0294e78ee71beacbeafc22e6"
    assert (
        replace(RECIPE, finish=Finish("webp", colours="keep", lossless=True)).digest
        == "02a7da3cf5e2cb2e278b32ef23b636c4"
    )
    assert replace(RECIPE, finish=Finish(lossless=True)).digest == RECIPE.digest


@pytest.mark.parametrize("change", BOUGHT)
def test_what_a_prediction_depends_on_is_part_of_both_identities(change: dict[str, Any]) -> None:
    other = replace(RECIPE, **change)
    assert other.digest != RECIPE.digest
    assert other.fingerprint("5e") != RECIPE.fingerprint("5e")


@pytest.mark.parametrize("change", FINISHED)
def test_what_only_finishing_depends_on_makes_new_pictures_from_alphas_that_are_kept(change: dict[str, Any]) -> None:
    other = replace(RECIPE, **change)
    assert other.digest != RECIPE.digest
    assert other.fingerprint("5e") == RECIPE.fingerprint("5e")


def test_with_another_effort_nothing_is_made_anew() -> None:
    """The picture is the same; only how its bytes are packed differs."""
    assert replace(RECIPE, finish=Finish(effort=9)).digest == RECIPE.digest


@pytest.mark.parametrize("change", EDGES)
def test_edges_make_new_pictures_but_of_cutouts_that_are_the_providers_own(change: dict[str, Any]) -> None:
    """A URL that goes to the provider as it is would be bought anew, and look as before."""
    other = replace(RECIPE, **change)
    assert other.digest != RECIPE.digest
    assert (other.passed, other.tried) == (RECIPE.passed, RECIPE.tried)
    url, file = Item("a", "https://x/a.jpg", "in"), Item("a", "in/a.jpg", "in", path=Path("in/a.jpg"))
    assert (RECIPE.digest_of(url), RECIPE.digest_of(file)) == (RECIPE.passed, RECIPE.digest)
    assert replace(RECIPE, passes_urls=False).digest_of(url) == replace(RECIPE, passes_urls=False).digest


def test_no_two_of_these_recipes_share_an_identity() -> None:
    recipes = [RECIPE, *(replace(RECIPE, **change) for change in BOUGHT + FINISHED + EDGES)]
    assert len({recipe.digest for recipe in recipes}) == len(recipes)


def test_another_source_is_another_purchase() -> None:
    assert RECIPE.fingerprint("5e") != RECIPE.fingerprint("5f")


def test_identities_are_names_any_file_system_takes() -> None:
    assert len(RECIPE.digest) == len(RECIPE.fingerprint("鞋")) == 32
    assert set(RECIPE.digest + RECIPE.fingerprint("鞋")) <= set("0123456789abcdef")
