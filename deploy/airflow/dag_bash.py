"""Airflow: sync hourly with the command line. Copy it to the DAGs folder; Airflow 2.4 or newer.

``MSSQL_PASSWORD`` and ``POSTGRES_PASSWORD`` must be in the environment of the workers (the configuration reads them).
``STATE`` must be a folder that every worker sees, or retries must run on the same worker.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow import DAG

try:
    from airflow.providers.standard.operators.bash import BashOperator  # Airflow 3
except ImportError:
    from airflow.operators.bash import BashOperator

CONFIG = "/opt/airflow/config/migration.yaml"
STATE = "/opt/airflow/state"

default_args = {
    "retries": 3,
    "retry_delay": timedelta(minutes=5),
    "execution_timeout": timedelta(hours=6),
}

with DAG(
    "mssql_to_pg_sync",
    default_args=default_args,
    schedule="@hourly",
    start_date=datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,  # two runs on one target exclude each other
) as dag:
    # --auto-resume begins anew on the first try and goes on with what an earlier one left; the XCom is the JSON result.
    migrate = BashOperator(
        task_id="incremental_sync",
        bash_command=f"""
            mssql-pg-migrate \
                -c {CONFIG} \
                --state-file "{STATE}/{{{{ run_id }}}}.state" \
                --output-json \
                --progress \
                run --auto-resume
        """,
        do_xcom_push=True,
    )

    validate = BashOperator(
        task_id="validate_sync",
        bash_command=f"""
            mssql-pg-migrate \
                -c {CONFIG} \
                --output-json \
                validate
        """,
        do_xcom_push=True,
    )

    migrate >> validate
