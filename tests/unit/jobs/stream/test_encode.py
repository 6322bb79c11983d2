"""What a model says becomes what is sent: JSON, headers, an id."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, InvalidArgument, InvalidInput
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.jobs.stream.decode import Decoder
from penstock.jobs.stream.encode import Answerer, Encoder
from penstock.jobs.stream.micro_batch import MicroBatches
from penstock.jobs.stream.model import Prediction
from penstock.jobs.stream.prediction_id import dead_letter_id, prediction_id
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.retry import BackOff, Patience
from penstock.telemetry.stream_stats import StreamStats

SIGNATURE = ModelSignature(
    (TensorSpec("text", DType.BYTES, (-1,)),),
    (
        TensorSpec("label", DType.BYTES, (-1,)),
        TensorSpec("score", DType.FP32, (-1, 1)),
        TensorSpec("scores", DType.FP64, (-1, 2)),
    ),
)
RECORD = Record("s", "p", "9", b"", b"key", (("trace", b"1"), ("penstock-id", b"old")))


def outputs(*labels: bytes) -> tuple[Tensor, ...]:
    count = len(labels)
    return (
        Tensor("label", DType.BYTES, object_array(list(labels))),
        Tensor("score", DType.FP32, np.full((count, 1), 0.5, np.float32)),
        Tensor("scores", DType.FP64, np.array([[1.0, np.nan]] * count)),
    )


def test_an_answer_is_an_object_with_what_is_kept() -> None:
    encoder = Encoder(keep=("id",), rename={"label": "sentiment"})
    rows: list[Any] = [{"text": "a", "id": 1}, {"text": "b", "id": 2}]
    answers = encoder.answers(outputs(b"good", "böse".encode()), SIGNATURE, rows)
    produced = encoder.produced(RECORD, answers[1], Answerer("m", 3))
    assert produced is not None
    assert json.loads(produced.value) == {
        "sentiment": "böse", "score": 0.5, "scores": [1.0, None], "id": 2,
    }  # fmt: skip
    assert produced.id == prediction_id(RECORD, "m", 3)
    assert produced.key == b"key"
    assert dict(produced.headers) == {
        "trace": b"1",
        "penstock-id": produced.id.encode(),
        "penstock-model": b"m",
        "penstock-version": b"3",
        "penstock-source": b"s/p/9",
    }
    routed = encoder.produced(RECORD, answers[1], Answerer("m", 3, "canary"))
    assert routed is not None
    assert routed.headers["penstock-variant"] == b"canary"
    assert routed.id != produced.id


def test_a_name_that_is_no_output_is_refused() -> None:
    Encoder(rename={"label": "sentiment"}).check(SIGNATURE)
    with pytest.raises(ConfigError, match=r"rename: .* no output 'labels': did you mean 'label'"):
        Encoder(rename={"labels": "sentiment"}).check(SIGNATURE)


def test_ids_are_what_they_always_were() -> None:
    assert prediction_id(RECORD, "m", 3) == "036dd49b-0111-5200-a2e7-a3d01d5588d3"
    assert dead_letter_id(RECORD) == "3546cfc5-e904-5404-bf96-52b095236fc4"


def test_what_cannot_be_encoded() -> None:
    with pytest.raises(InvalidArgument, match="'label' is not text in UTF-8"):
        Encoder().answers(outputs(b"\xff"), SIGNATURE, [{}])
    with pytest.raises(InvalidArgument, match="keep: the field 'id' is missing"):
        Encoder(keep=("id",)).answers(outputs(b"a"), SIGNATURE, [{}])


@pytest.mark.parametrize(
    ("made", "value"), [(b"raw", b"raw"), ("text", b"text"), ({"a": 1}, b'{"a":1}'), (None, None)]
)
def test_a_function_of_ones_own(made: Any, value: bytes | None) -> None:
    seen = []

    def own(answer: Any, record: Record) -> Any:
        seen.append((answer, record.position))
        return made

    produced = Encoder(make_value=own).produced(RECORD, {"x": 1}, Answerer("m", 1))
    assert (produced and produced.value) == value
    assert seen == [({"x": 1}, "9")]


def test_a_function_of_ones_own_that_raises() -> None:
    def own(answer: Any, record: Record) -> Any:
        raise ValueError("no")

    with pytest.raises(InvalidArgument, match="encode raised ValueError: no"):
        Encoder(make_value=own).produced(RECORD, {}, Answerer("m", 1))


class _Labels:
    """Answers texts as they are; refuses ``bad``."""

    name = "m"

    def signature(self) -> ModelSignature:
        return SIGNATURE

    async def predict(self, inputs: tuple[Tensor, ...]) -> Prediction:
        texts = inputs[0].array.tolist()
        invalid = {n: InvalidInput(n, "bad") for n, text in enumerate(texts) if text == b"bad"}
        good = [b"\xff" if text == b"odd" else text for text in texts if text != b"bad"]
        return Prediction(1, outputs(*good), invalid)


async def test_each_record_of_a_micro_batch_has_the_rows_that_are_its_own() -> None:
    values = [
        {"text": "a"},
        [{"text": "b"}, {"text": "c"}],
        [{"text": "d"}, {"text": "bad"}],
        {"text": "bad"},
        [{"text": "e"}],
        {"text": "odd"},
        {"text": "f"},
    ]
    for values_now, odd in ((values, ["5"]), ([v for v in values if v != {"text": "odd"}], [])):
        records = [
            Record("s", "", str(n), json.dumps(value).encode())
            for n, value in enumerate(values_now)
        ]
        patience = Patience(StreamStats("s"), BackOff())
        batches = MicroBatches(_Labels(), Decoder({}), Encoder(), patience, 3)
        effects = await batches.effects(records)
        labels = []
        for result in effects.results:
            answer = json.loads(result.value)
            many = isinstance(answer, list)
            labels.append([a["label"] for a in answer] if many else answer["label"])
        assert labels == ["a", ["b", "c"], ["e"], "f"]
        assert [record.position for record, _ in effects.rejected] == ["2", "3", *odd]
        assert [result.source.position for result in effects.results][-1] == str(len(records) - 1)
