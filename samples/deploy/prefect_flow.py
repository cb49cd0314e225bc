"""Prefect 3: the night's job as a flow; its counts are shown as an artifact.

The command is on the PATH of the worker, in an environment of its own (`pipx install .` in a checkout), and the key in
its variable GATEWAY_KEY. To have it run every night: `cutouts.serve(cron="0 2 * * *")`.
"""

import json
import subprocess

from prefect import flow, task
from prefect.artifacts import create_table_artifact

BUSY = 11  # another run is at it
SOME_FAILED = 3
OUT_OF_TIME = 5  # by --until or --max-runtime; the next run goes on
LONGEST = 5 * 3600.0  # seconds


# Each retry goes on where the last try ended; nothing is paid for twice.
@task(retries=2, retry_delay_seconds=600)
def run(feed: str, out: str, *flags: str) -> int:
    """The exit code of a run that has ended by itself."""
    with subprocess.Popen(["batch-removebg", "run", feed, "--out", out, "--progress", "none", *flags]) as process:
        try:
            code = process.wait(LONGEST)
        except BaseException:  # cancelled, or out of time
            process.terminate()  # what is in flight is brought home; leaving the block waits for it
            raise
    if code not in (0, SOME_FAILED, OUT_OF_TIME, BUSY):
        raise RuntimeError(f"batch-removebg ended with exit code {code}; the task's log says why")
    return code


@task
def report(out: str) -> dict:
    """What `status --json` says of a run's folder."""
    done = subprocess.run(["batch-removebg", "status", out, "--json"], check=True, capture_output=True, text=True)
    said = json.loads(done.stdout)
    create_table_artifact([said["counts"]], key="cutouts", description=f"The cutouts in {out}")
    return said


@flow(name="cutouts")
def cutouts(feed: str, out: str, base_url: str) -> dict:
    """Make what is new or changed in a feed; fails where items have failed, once that is reported."""
    code = run(feed, out, "--provider", "gateway", "--base-url", base_url, "--token-env", "GATEWAY_KEY")
    said = report(out)
    if code == SOME_FAILED:
        raise RuntimeError(f"{said['counts']['failed']} items failed: batch-removebg status {out}")
    return said
