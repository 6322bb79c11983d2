"""Ray Data: `read_parquet`, `map_batches` with an actor a worker, `write_parquet`."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from plan import Plan, asked
from timing import first_mark, mark_first, tell

IN_FLIGHT = 2  # with Ray's default, the actor that is up first takes all of little data
BLOCKS = 16  # for each actor, at least: Ray makes two of 8 small files, and the actors take turns


class Predict:
    """What an actor does: the bare model, loaded once."""

    def __init__(self, plan: Plan) -> None:
        from bare_models import MODELS

        self._plan = plan
        self._model = MODELS[plan.data](plan.model)
        self._is_first = True

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return the columns of the output."""
        plan = self._plan
        if self._is_first:
            mark_first(plan.marks)
            self._is_first = False
        if plan.data == "tweets":
            labels, scores = self._model(batch["text"].tolist())
        else:
            labels, scores = self._model(np.column_stack([batch[name] for name in plan.columns]))
        return {"id": batch["id"], "label": labels, plan.scores: scores}


def run(plan: Plan) -> None:
    """Run the pipeline on a cluster of this machine, which is up before the clock starts."""
    # a CPU for each actor, and as many for what reads and writes: else nothing can be read
    ray.init(
        num_cpus=2 * plan.workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    size = sum(path.stat().st_size for path in Path(plan.input).iterdir())
    wanted = size // (BLOCKS * plan.workers)
    context.target_max_block_size = min(context.target_max_block_size, wanted)
    context.target_min_block_size = min(context.target_min_block_size, wanted)
    started = time.time()
    rows = ray.data.read_parquet(plan.input, columns=["id", *plan.columns])
    predicted = rows.map_batches(
        Predict,
        fn_constructor_args=(plan,),
        batch_size=plan.batch,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(
            size=plan.workers, max_tasks_in_flight_per_actor=IN_FLIGHT
        ),
        num_cpus=1,
    )
    predicted.write_parquet(plan.output)
    ended = time.time()
    tell(started, first_mark(plan.marks), ended)
    ray.shutdown()


if __name__ == "__main__":
    run(asked())
