"""A batch job as a Dagster asset: `dagster dev -f examples/runners/dagster_asset.py`.

What a run has done before it failed or was stopped stays done, so that Dagster's retries go on
where it stood. The job's own report becomes the metadata of the materialization.
"""

from typing import Any

import dagster
from pydantic import Field

import penstock


class JobFile(dagster.Config):
    """Which job, and fields that win over its file's."""

    path: str = "examples/runners/job.yaml"
    overrides: dict[str, Any] = Field(default_factory=dict)


@dagster.asset(retry_policy=dagster.RetryPolicy(max_retries=2, delay=30))
def predictions(context: dagster.AssetExecutionContext, config: JobFile) -> dagster.Output[str]:
    """Predictions of every line, on disk."""
    try:
        report = penstock.BatchJob.load(config.path, **config.overrides).run()
    except penstock.PenstockError as err:
        raise dagster.Failure(err.message, allow_retries=err.retryable) from err
    context.log.info("%s rows, %s dead", report.tally.rows_out, report.tally.rows_dead)
    return dagster.Output(
        report.output,
        metadata={
            "dagster/row_count": report.tally.rows_out,
            "dead": report.tally.rows_dead,
            "rows/s": round(report.rows_per_s, 1),
            "model": f"{report.model.name} version {report.model.version}",
            "output": dagster.MetadataValue.path(report.output),
        },
    )


nightly = dagster.ScheduleDefinition(
    name="nightly", target=dagster.AssetSelection.assets(predictions), cron_schedule="0 2 * * *"
)
defs = dagster.Definitions(assets=[predictions], schedules=[nightly])
