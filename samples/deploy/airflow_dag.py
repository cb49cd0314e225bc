"""Airflow 3: the night's job as a task that runs the command; its result is what `status --json` says.

The command lies beside Airflow, in an environment of its own: `pipx install .` in a checkout. The connection `gateway`
holds the API's address (`host`) and key (`password`).
"""

import json
from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

# Jinja fills in names of variables only, so what a parameter or a connection holds is never read as shell.
RUN = """\
batch-removebg run "$FEED" --out "$OUT" --provider gateway --base-url "$GATEWAY_URL" --token-env GATEWAY_KEY \
    --progress none >&2 || exit
batch-removebg status "$OUT" --json"""

with DAG(
    "cutouts",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,  # a run does all that is new or changed, so one makes up for any number of missed ones
    max_active_runs=1,
    params={"feed": Param("https://shop.example/feed.csv", type="string"), "out": Param("/srv/cutouts", type="string")},
):
    BashOperator(
        task_id="cut_out",
        bash_command=RUN,
        env={
            "FEED": "{{ params.feed }}",
            "OUT": "{{ params.out }}",
            "GATEWAY_URL": "{{ conn.gateway.host }}",
            "GATEWAY_KEY": "{{ conn.gateway.password }}",
        },
        append_env=True,
        output_processor=json.loads,  # of the last line
        skip_on_exit_code=[11, 5],  # another run is at it, or the time is over
        retries=2,  # each goes on where the last one ended; nothing is paid for twice
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=5),  # ends it by SIGTERM: what is paid for is on record
    )
