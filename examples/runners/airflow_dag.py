"""A batch job as an Airflow operator, in a DAG that runs each night. For Airflow 3.

What a try has done before it failed or was killed stays done: the next one goes on where it stood.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

import penstock


class PenstockBatchOperator(BaseOperator):
    """Runs a batch job; its XCom is what became of the rows.

    Args:
        job: the job's file; templated.
        overrides: fields that win over the file's; templated.
    """

    template_fields: Sequence[str] = ("job", "overrides")

    def __init__(
        self, *, job: str, overrides: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.overrides = dict(overrides or {})
        self._stop = threading.Event()

    def execute(self, context: Any) -> dict[str, Any]:
        """Do what is missing of the job."""
        try:
            report = penstock.BatchJob.load(self.job, **self.overrides).run(stop=self._stop)
        except penstock.PenstockError as err:
            if err.retryable:
                raise
            raise AirflowFailException(err.message) from err  # another try would fail the same way
        tally = report.tally
        self.log.info("%s rows, %s dead, in %s", tally.rows_out, tally.rows_dead, report.output)
        return {"output": report.output, "rows": tally.rows_out, "dead": tally.rows_dead}

    def on_kill(self) -> None:
        """Stop within a batch; what is done stays done."""
        self._stop.set()


with DAG(
    dag_id="nightly_predictions",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"job": "examples/runners/job.yaml"},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
) as dag:
    PenstockBatchOperator(task_id="predict", job="{{ params.job }}")
