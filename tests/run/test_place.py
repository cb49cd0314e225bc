"""Results in a bucket: what lies where, what is refused, and what a run elsewhere goes on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.doubles import ScriptedProvider
from tests.support.s3 import S3, s3
from tests.support.shop import API, Said, provider, said, shop

__all__ = ["provider", "s3", "said", "shop"]
RUN = ["run", "in", *API, "--out", "s3://shop/cutouts", "--state", "state"]
STATE = "cutouts/.batch-removebg/"


def test_pictures_go_to_the_bucket_and_what_a_run_remembers_stays_here(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    code, out, told = said(*RUN)
    assert code == 0, told
    assert s3.keys(".png") == ["cutouts/a.png", "cutouts/b.png", "cutouts/c.png"]
    results = json.loads((shop / "state/results.json").read_text())
    for item in results["items"]:
        kept = s3.objects[f"cutouts/{item['output']}"]
        assert kept.about["Content-Type"] == "image/png"
        assert kept.about["x-amz-meta-sha256"] == item["sha256"]
    assert s3.objects[f"{STATE}results.json"].data == (shop / "state/results.json").read_bytes()
    ledger = b"".join(s3.objects[key].data for key in s3.keys(".jsonl"))
    assert ledger == (shop / "state/ledger.jsonl").read_bytes()
    assert not list((shop / "state").rglob("?.png"))
    assert "s3://shop/cutouts" in told
