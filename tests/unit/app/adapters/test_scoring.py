"""What an adapter is told, and what it says where its framework is missing."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.app.adapters.beam import beam_model_handler
from penstock.app.adapters.scoring import Scoring, model_ref
from penstock.app.adapters.spark import SparkPredictor
from penstock.app.adapters.spark_types import spark_arrow_schema
from penstock.core.errors import ConfigError
from penstock.jobs.model_ref import ModelRef


def test_a_model_is_told_as_in_a_jobs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = model_ref({"path": "models", "name": "tweet", "version": "stable"})
    assert told == ModelRef(path=str(tmp_path / "models"), name="tweet", version="stable")
    assert model_ref("app.py:Class").path == str(tmp_path / "app.py:Class")
    assert model_ref(told) == told
    for url in ("s3://bucket/models", "hf://org/model"):
        assert model_ref(url).path == url
    server = ModelRef(url="grpc://host:8081", name="tweet")
    assert model_ref({"url": "grpc://host:8081", "name": "tweet"}) == server


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({"path": "m", "nmae": "x"}, "model: Object contains unknown field `nmae`"),
        ({"path": "m", "url": "grpc://h"}, "model: expected either 'path' .* got both"),
        ({}, "model: expected either 'path' .* got neither"),
        ({"url": "grpc://h"}, "model.name: missing"),
    ],
)
def test_a_model_that_cannot_be(model: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        model_ref(model)


def test_what_is_told_can_be_pickled() -> None:
    told = Scoring(model=ModelRef(path="m"), columns={"x": ["a", "b"]}, keep=("id",))
    assert pickle.loads(pickle.dumps(told)) == told


def test_a_framework_that_is_missing_is_told_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(ConfigError, match=r"needs Beam: pip install 'penstock\[beam\]'"):
        beam_model_handler("m")
    with pytest.raises(ConfigError, match=r"needs Spark: pip install 'penstock\[spark\]'"):
        SparkPredictor("m").predict(None)  # type: ignore[arg-type]


def test_spark_has_no_unsigned_integers_and_no_lists_of_fixed_length() -> None:
    ours = pa.schema(
        [
            pa.field("a", pa.uint8()),
            pa.field("b", pa.uint64()),
            pa.field("c", pa.list_(pa.list_(pa.uint16(), 2), 3)),
            pa.field("d", pa.string()),
            pa.field("e", pa.list_(pa.float32())),
        ]
    )
    theirs = spark_arrow_schema(ours)
    assert theirs.types == [
        pa.int16(),
        pa.decimal128(20, 0),
        pa.list_(pa.list_(pa.int32())),
        pa.string(),
        pa.list_(pa.float32()),
    ]
    rows = {"a": [255], "b": [2**64 - 1], "c": [[[1, 65535]] * 3], "d": ["x"], "e": [[0.5]]}
    told = pa.RecordBatch.from_pydict(rows, schema=ours).cast(theirs).to_pydict()
    assert told == rows
