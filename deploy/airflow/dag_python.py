"""Airflow: sync hourly with the Python API. Copy it to the DAGs folder; Airflow 2.4 or newer.

The workers need ``pip install mssql-pg-migrate`` and, in their environment, ``MSSQL_PASSWORD`` and
``POSTGRES_PASSWORD``. ``STATE`` must be a folder that every worker sees, or retries must run on the same worker.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow import DAG
from airflow.exceptions import AirflowException, AirflowFailException

try:
    from airflow.providers.standard.operators.python import PythonOperator  # Airflow 3
except ImportError:
    from airflow.operators.python import PythonOperator

CONFIG = Path("/opt/airflow/config/migration.yaml")
STATE = Path("/opt/airflow/state")
log = logging.getLogger(__name__)

default_args = {
    "retries": 3,
    "retry_delay": timedelta(minutes=5),
    "execution_timeout": timedelta(hours=6),
}


def sync(run_id: str, **_: Any) -> dict[str, Any]:
    """Run, or go on with what an earlier try of the same DAG run left; the result becomes the XCom."""
    from mssql_pg_migrate import Config, Migration, MigrationError
    from mssql_pg_migrate.events import Message, TableFinished

    def on_event(event: object) -> None:
        if isinstance(event, TableFinished):
            log.info("%s: %d rows in %.1f s", event.table, event.rows, event.seconds)
        elif isinstance(event, Message) and event.level in ("warn", "error"):
            log.warning("%s", event.text)

    try:
        migration = Migration(Config.load(CONFIG), state_file=STATE / f"{run_id}.state", on_event=on_event)
        result = migration.run(auto_resume=True)
    except MigrationError as error:
        # What another try cannot cure (a wrong configuration or password) fails at once.
        raise (AirflowException if error.retryable else AirflowFailException)(str(error)) from error
    if result.failed_tables:
        reasons = "\n".join(f"{table.table}: {table.error}" for table in result.failed_tables)
        again = any(table.retryable for table in result.failed_tables)
        raise (AirflowException if again else AirflowFailException)(reasons)
    if result.exit_code:
        raise AirflowFailException("\n".join(result.problems) or result.status)
    return {
        "run_id": result.run_id,
        "rows": result.rows,
        "unchanged": result.skipped,
        "seconds": round(result.seconds, 1),
    }


def compare(**_: Any) -> dict[str, Any]:
    """Exact row counts of both sides."""
    from mssql_pg_migrate import Config, Migration

    report = Migration(Config.load(CONFIG)).validate()
    different = [table.table for table in report.tables if not table.equal]
    if different:
        raise AirflowFailException(f"source and target differ: {', '.join(different)}")
    return {"tables": len(report.tables)}


with DAG(
    "mssql_to_pg_sync_python",
    default_args=default_args,
    schedule="@hourly",
    start_date=datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,  # two runs on one target exclude each other
) as dag:
    migrate = PythonOperator(task_id="incremental_sync", python_callable=sync)
    validate = PythonOperator(task_id="validate_sync", python_callable=compare)
    migrate >> validate
