"""A model over Spark DataFrames, in Spark's local mode: a JVM, and Python workers of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.app.adapters.spark import SparkPredictor
from penstock.core.errors import ConfigError
from tests.runners.runner_models import MODELS, digits, loads, words_model

pyspark = pytest.importorskip("pyspark")

pytestmark = [pytest.mark.timeout(240), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable  # of the workers
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.memory", "1g")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def test_the_answers_are_those_of_the_bare_engine(spark: Any, tmp_path: Path) -> None:
    table, label = digits()
    rows = [(row["id"], row["pixels"]) for row in table.to_pylist()]
    frame = spark.createDataFrame(rows, "id long, pixels array<float>").repartition(3)
    predictor = SparkPredictor(
        {"path": str(MODELS), "name": "digits", "version": 1}, keep=["id"], rename={"label": "is"}
    )
    predicted = predictor.predict(frame)
    assert predicted.schema.simpleString() == (
        "struct<id:bigint,is:bigint,probabilities:array<float>,error:string>"
    )
    found = {row["id"]: row for row in predicted.collect()}
    assert [found[number]["is"] for number in range(len(label))] == label.tolist()
    assert all(row["error"] is None for row in found.values())


def test_a_refused_row_says_why_and_harms_no_other(spark: Any, tmp_path: Path) -> None:
    texts: list[Any] = [f"word{number}" for number in range(40)]
    texts[7], texts[23], texts[31] = "", "bomb", None
    frame = spark.createDataFrame(list(enumerate(texts)), "id long, body string").coalesce(1)
    predictor = SparkPredictor(
        str(words_model(tmp_path)), columns={"text": "body"}, keep=["id", "body"]
    )
    rows = predictor.predict(frame).collect()
    assert [row["id"] for row in rows] == list(range(40))
    assert (rows[3]["body"], rows[3]["letters"], rows[3]["loud"]) == ("word3", 5, "WORD3")
    assert {row["id"] for row in rows if row["error"] is not None} == {7, 23, 31}
    assert rows[7].asDict() == {
        "id": 7,
        "body": "",
        "letters": None,
        "loud": None,
        "error": "invalid_argument: an empty text",
    }
    assert "a bomb" in rows[23]["error"]
    with pytest.raises(Exception, match=r"3 of 40 rows were refused; the first of them, row 7"):
        SparkPredictor(
            str(tmp_path / "words.py"), columns={"text": "body"}, error_column=None
        ).predict(frame).collect()


def test_a_python_worker_loads_once_for_all_its_tasks(spark: Any, tmp_path: Path) -> None:
    frame = spark.createDataFrame([(f"w{number}",) for number in range(64)], "text string")
    predictor = SparkPredictor(str(words_model(tmp_path)))
    for _ in range(3):
        assert predictor.predict(frame.repartition(8)).count() == 64
    assert len(loads(tmp_path)) == len(set(loads(tmp_path))) <= 3  # the driver's, and two workers'


def test_a_model_that_changed_since_the_driver_saw_it_is_refused(
    spark: Any, tmp_path: Path
) -> None:
    path = words_model(tmp_path)
    predicted = SparkPredictor(str(path)).predict(spark.createDataFrame([("w",)], "text string"))
    path.write_text(path.read_text().replace("upper", "lower"))
    with pytest.raises(Exception, match="its files on this worker are others than the driver's"):
        predicted.collect()


def test_columns_that_are_not_there(spark: Any, tmp_path: Path) -> None:
    frame = spark.createDataFrame([("a", 1)], "`te.xt` string, error int")
    path = str(words_model(tmp_path))
    with pytest.raises(ConfigError, match="the frame has no column 'text'"):
        SparkPredictor(path).predict(frame)
    dotted = SparkPredictor(path, columns={"text": "te.xt"})
    assert dotted.predict(frame).collect()[0]["loud"] == "A"
    with pytest.raises(ConfigError, match="'error' is a column of the output already"):
        SparkPredictor(path, columns={"text": "te.xt"}, keep=["error"]).predict(frame)
