"""load_job: a job's file as a BatchJob, or a word on what has to be installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.core.errors import ConfigError

if TYPE_CHECKING:
    from penstock.app.jobs.batch_job import BatchJob


def load_job(file: Path, overrides: Mapping[str, Any]) -> BatchJob:
    """Read a job's file.

    Args:
        file: the file.
        overrides: fields that the command line says.

    Raises:
        ConfigError: it is wrong, or pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError("batch jobs need pyarrow: pip install 'penstock[batch]'")
    from penstock.app.jobs.batch_job import BatchJob

    return BatchJob.load(file, **overrides)
