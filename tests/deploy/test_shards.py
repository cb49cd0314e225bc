"""samples/deploy: a job in shards, by Kubernetes, Slurm and GNU parallel; the last is executed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli.parser import parser
from batch_removebg.run.shards import shard_of
from tests.integration.conftest import DEADLINE, ROOT, environment, real_weights

__all__ = ["real_weights"]
DEPLOY = ROOT / "samples" / "deploy"


def options(words: list[str]) -> Any:
    return parser().parse_args(words)


def test_the_pods_of_the_job_are_all_of_its_shards_and_end_in_time() -> None:
    job = pytest.importorskip("yaml").safe_load((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    given = options(container["args"])
    shards = {shard_of(given.shard, {"JOB_COMPLETION_INDEX": str(nth)}) for nth in range(spec["completions"])}
    assert {shard.of for shard in shards} == {len(shards)} == {spec["completions"]}
    assert [rule["action"] for rule in spec["podFailurePolicy"]["rules"]] == ["Ignore", "FailJob"]
    assert spec["podFailurePolicy"]["rules"][1]["onExitCodes"]["containerName"] == container["name"]
    assert pod["restartPolicy"] == "Never"  # which a failure policy asks for
    assert pod["terminationGracePeriodSeconds"] >= 45
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_tasks_of_the_array_are_all_of_its_shards() -> None:
    text = (DEPLOY / "slurm.sh").read_text("utf-8")
    [(first, last)] = re.findall(r"^#SBATCH --array=(\d+)-(\d+)$", text, re.MULTILINE)
    words = shlex.split(text.splitlines()[-1])
    assert words[:2] == ["exec", "batch-removebg"]  # so that it gets the signal
    named = options(words[2:]).shard.replace("$SLURM_ARRAY_TASK_ID", "{}")
    shards = [shard_of(named.format(task), {}) for task in range(int(first), int(last) + 1)]
    assert [str(shard) for shard in shards] == [f"{n}/{len(shards)}" for n in range(1, len(shards) + 1)]


@pytest.mark.usefixtures("real_weights")
def test_gnu_parallel_makes_cutouts_of_the_samples_in_two_shards_and_one_list(tmp_path: Path) -> None:
    if not shutil.which("parallel"):
        pytest.skip("GNU parallel isn't here: apt-get install parallel")
    command = tmp_path / "bin" / "batch-removebg"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m batch_removebg "$@"\n')
    command.chmod(0o755)
    shutil.copytree(ROOT / "samples" / "photos", tmp_path / "photos")
    given = {"PATH": f"{command.parent}:{os.environ['PATH']}", "SHARDS": "2", "BATCH_REMOVEBG_CLASS": "fast"}
    done = subprocess.run(
        ["sh", str(DEPLOY / "parallel.sh")],
        cwd=tmp_path,
        env=environment(given),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "cutouts/results.json").read_text("utf-8"))
    assert found["counts"] == {"total": 5, "saved": 5, "failed": 0, "pending": 0}
    assert {item["output"].partition("/")[0] for item in found["items"]} == {"shard-001-of-002", "shard-002-of-002"}
    assert all((tmp_path / "cutouts" / item["output"]).is_file() for item in found["items"])
