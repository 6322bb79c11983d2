"""A model in Apache Beam's RunInference, on Beam's own runner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.app.adapters.beam import beam_model_handler
from penstock.core.errors import ConfigError
from tests.runners.runner_models import MODELS, digits, loads, words_model

beam = pytest.importorskip("apache_beam")

from apache_beam.ml.inference.base import KeyedModelHandler, RunInference  # noqa: E402
from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]


def ran(build: Callable[[Any], Any], folder: Path, options: list[str] | None = None) -> list[Any]:
    """What a pipeline writes, by way of a file: it may run in other processes."""
    import ast

    with beam.Pipeline(options=PipelineOptions(options or [])) as pipeline:
        build(pipeline) | beam.Map(repr) | beam.io.WriteToText(str(folder / "out"))
    lines = [line for part in folder.glob("out*") for line in part.read_text().splitlines()]
    return [ast.literal_eval(line) for line in lines]


def plain(result: Any) -> Any:
    inference = result.inference
    told = dict(inference) if isinstance(inference, dict) else tuple(inference)
    return result.example, told, result.model_id


def test_the_answers_are_those_of_the_bare_engine(tmp_path: Path) -> None:
    table, label = digits()
    handler = beam_model_handler({"path": str(MODELS), "name": "digits", "version": 1})
    rows = table.to_pylist()
    told = ran(lambda p: p | beam.Create(rows) | RunInference(handler) | beam.Map(plain), tmp_path)
    found = {example["id"]: inference for example, inference, _ in told}
    assert [found[row]["label"] for row in range(len(label))] == label.tolist()
    assert {model for _, _, model in told} == {"digits:1"}
    assert len(found[0]["probabilities"]) == 10


def test_a_refused_row_harms_no_other(tmp_path: Path) -> None:
    handler = beam_model_handler({"path": str(words_model(tmp_path))}, max_batch_rows=64)
    texts = [f"word{number}" for number in range(40)]
    texts[7], texts[23], texts[31] = "", "bomb", None  # type: ignore[call-overload]

    def build(p: Any) -> Any:
        rows = p | beam.Create(list(enumerate(texts)))
        rows = rows | beam.Map(lambda pair: (pair[0], {"text": pair[1]}))
        results = rows | RunInference(KeyedModelHandler(handler))
        answered, refused = handler.split_refused(results)
        good = answered | "good" >> beam.Map(lambda r: ("good", r[0], plain(r[1])[1]))
        bad = refused | "bad" >> beam.Map(lambda r: ("bad", r[0], plain(r[1])[1]))
        return (good, bad) | beam.Flatten()

    told = ran(build, tmp_path)
    good = {key: inference for kind, key, inference in told if kind == "good"}
    bad = {key: inference for kind, key, inference in told if kind == "bad"}
    assert set(good) == set(range(40)) - {7, 23, 31}
    assert good[3] == {"letters": 5, "loud": "WORD3"}
    assert bad[7] == ("invalid_argument", "an empty text")
    assert bad[23][0] == "model_failed"
    assert "a bomb" in bad[23][1]
    assert bad[31] == ("invalid_argument", "column 'text': expected a value, got null")


def test_an_element_may_be_the_only_columns_value_or_of_another_kind(tmp_path: Path) -> None:
    handler = beam_model_handler(str(words_model(tmp_path)), rename={"loud": "shout"})
    model = handler.load_model()
    batch = ["one", {"text": "two"}, 3, {"other": "x"}, beam.Row(text="five")]
    inferences = [result.inference for result in handler.run_inference(batch, model)]
    assert inferences[0] == {"letters": 3, "shout": "ONE"}
    assert inferences[1]["shout"] == "TWO"
    assert inferences[4]["shout"] == "FIVE"
    assert {type(inferences[place]).__name__ for place in (2, 3)} == {"RefusedRow"}


def test_arrays_are_elements(tmp_path: Path) -> None:
    table, label = digits()
    pixels = np.array(table["pixels"].to_pylist(), np.float32)
    handler = beam_model_handler({"path": str(MODELS), "name": "digits", "version": 1})
    results = handler.run_inference(list(pixels[:50]), handler.load_model())
    assert [result.inference["label"] for result in results] == label[:50].tolist()


def test_worker_processes_load_one_copy_each(tmp_path: Path) -> None:
    path = str(words_model(tmp_path))
    handler = beam_model_handler(path, max_batch_rows=4)

    def build(p: Any) -> Any:
        rows = p | beam.Create([f"w{number}" for number in range(64)]) | beam.Reshuffle()
        return rows | RunInference(handler) | beam.Map(lambda r: r.inference["loud"])

    options = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    assert sorted(ran(build, tmp_path, options)) == sorted(f"W{number}" for number in range(64))
    assert len(loads(tmp_path)) == len(set(loads(tmp_path))) <= 2


def test_what_beam_may_not_ask(tmp_path: Path) -> None:
    handler = beam_model_handler(str(words_model(tmp_path)))
    assert handler.get_metrics_namespace() == "BeamML_Penstock"
    assert handler.get_num_bytes([{"text": "four"}, np.zeros(4, np.float32)]) == 20
    with pytest.raises(ConfigError, match="inference_args: expected none, got k"):
        handler.run_inference(["a"], handler.load_model(), {"k": 1})
    with pytest.raises(ConfigError, match="move the label"):
        handler.update_model_path("models/other")
    with pytest.raises(penstock.PenstockError, match="nowhere"):
        beam_model_handler(str(tmp_path / "nowhere")).load_model()
