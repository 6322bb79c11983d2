"""Spark: `mapInPandas`, or `predict_batch_udf`, from Parquet to Parquet on ``local[workers]``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from plan import Plan, asked
from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.types import StructType
from timing import first_mark, mark_first, tell


def in_pandas(rows: DataFrame, plan: Plan) -> DataFrame:
    """Predict with `mapInPandas`; a task loads the model."""

    def predict(frames: Iterator[Any]) -> Iterator[Any]:
        import pandas as pd
        from bare_models import MODELS

        model = MODELS[plan.data](plan.model)
        mark_first(plan.marks)
        for frame in frames:
            given = frame["text"].tolist() if plan.data == "tweets" else frame[plan.columns]
            labels, scores = model(given if plan.data == "tweets" else given.to_numpy("float32"))
            yield pd.DataFrame({"id": frame["id"], "label": labels, plan.scores: list(scores)})

    return rows.mapInPandas(predict, f"id long, {_answer(plan)}")


def by_udf(rows: DataFrame, plan: Plan) -> DataFrame:
    """Predict with `predict_batch_udf`; a Python worker keeps the model."""
    from pyspark.ml.functions import predict_batch_udf

    def make() -> Any:
        from bare_models import MODELS

        model = MODELS[plan.data](plan.model)
        mark_first(plan.marks)

        def predict(given: Any) -> dict[str, Any]:
            labels, scores = model(given)
            return {"label": labels, plan.scores: scores}

        return predict

    if plan.data == "tweets":
        given, shapes = functions.col("text"), None
    else:
        given, shapes = functions.array(*plan.columns), [[len(plan.columns)]]
    answer = StructType.fromDDL(_answer(plan))
    udf = predict_batch_udf(
        make, return_type=answer, batch_size=plan.batch, input_tensor_shapes=shapes
    )
    return rows.select("id", udf(given).alias("told")).select("id", "told.*")


def _answer(plan: Plan) -> str:
    return f"label {'string' if plan.data == 'tweets' else 'long'}, {plan.scores} array<float>"


def run(plan: Plan) -> None:
    """Run the query in a session that is up before the clock starts."""
    spark = (
        SparkSession.builder.master(f"local[{plan.workers}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "3g")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", str(plan.batch))
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    started = time.time()
    rows = spark.read.parquet(plan.input).select("id", *plan.columns)
    predicted = in_pandas(rows, plan) if plan.kind == "pandas" else by_udf(rows, plan)
    predicted.write.mode("overwrite").parquet(plan.output)
    ended = time.time()
    tell(started, first_mark(plan.marks), ended)
    spark.stop()


if __name__ == "__main__":
    run(asked())
