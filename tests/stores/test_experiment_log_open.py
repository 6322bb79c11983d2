"""Which experiment log goes with which control store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from penstock.core.errors import ConfigError
from penstock.stores import experiment_log_statements as statements
from penstock.stores.experiment_log import Exposure
from penstock.stores.experiment_log_open import open_experiment_log
from penstock.stores.experiment_log_postgres import PostgresExperimentLog


@pytest.mark.parametrize(
    ("url", "name"),
    [("sqlite:///{folder}/control.db", "control-experiments.db"), ("redis://nobody/0", "own.db")],
)
async def test_a_file_is_beside_the_control_store_or_where_it_is_said(
    tmp_path: Path, url: str, name: str
) -> None:
    log = open_experiment_log(url.format(folder=tmp_path), tmp_path / "own.db")
    await log.expose([Exposure("e", "u", "a", "1", 1)])
    await log.close()
    assert name in names(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_postgresql_holds_both(tmp_path: Path) -> None:
    log = open_experiment_log("postgresql://host/db", tmp_path / "own.db")
    assert isinstance(log, PostgresExperimentLog)
    assert names(tmp_path) == []


def test_a_wrong_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_experiment_log("sqlite://", tmp_path / "own.db")


def test_a_new_file_is_opened_by_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for n in range(50):
            start = Barrier(4)

            def connect(_: int, path: Path = tmp_path / f"{n}.db", start: Barrier = start) -> None:
                start.wait()
                statements.connect(path).close()

            list(pool.map(connect, range(4)))
