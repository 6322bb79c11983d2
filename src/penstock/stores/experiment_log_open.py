"""open_experiment_log: the experiment log that goes with a control store."""

from __future__ import annotations

from pathlib import Path

from penstock.core.clock import Clock
from penstock.stores import postgres_url
from penstock.stores.experiment_log import ExperimentLog
from penstock.stores.store_url import parse_store_url


def open_experiment_log(
    control_url: str, otherwise: Path, *, clock: Clock | None = None
) -> ExperimentLog:
    """The log of those who share a control store. Connects to nothing, and opens no file.

    Beside a file there is another one, of ``control.db`` it is ``control-experiments.db``; a
    PostgreSQL database holds both.

    Args:
        control_url: of the control store, see ``open_control_store``.
        otherwise: the file where the store has no place for a log; it is of one machine.
        clock: where time comes from; how long rows are kept goes by its wall clock for a file, by
            the server's in a database; None: the machine's.

    Raises:
        ConfigError: the URL is wrong; its text holds no password.

    Concurrency: on the event loop that will use it.
    """
    if control_url.partition(":")[0] in postgres_url.SCHEMES:
        from penstock.stores.experiment_log_postgres import PostgresExperimentLog

        return PostgresExperimentLog(postgres_url.parse_postgres_url(control_url), clock=clock)
    from penstock.stores.experiment_log_sqlite import SqliteExperimentLog

    place, path = parse_store_url(control_url), otherwise
    if place.scheme == "sqlite":
        beside = Path(place.path).absolute()
        path = beside.with_name(f"{beside.stem}-experiments.db")
    return SqliteExperimentLog(path, clock=clock)
