"""Engine ``local``: threads of this process, a copy of the model each."""

from __future__ import annotations

from penstock.jobs.batch.engine import EngineTask
from penstock.jobs.batch.split_worker import SplitWorker


def run_local(task: EngineTask) -> None:
    """Do it here: an ``Engine``. Blocks.

    Raises:
        ConfigError: the memory is too little, or the output's columns are wrong.
        LoadFailed: the model does not load.
    """
    worker = SplitWorker(task.parts, task.settings)
    try:
        worker.serve(task.board)
    finally:
        worker.close()
