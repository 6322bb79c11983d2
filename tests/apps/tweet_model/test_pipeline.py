"""The committed version, through the Python runtime: signature, answers, refusals, size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.python_runtime import PythonExecutable, PythonRuntime
from tests.apps.tweet_model.committed import FOLDER, artifact
from tests.unit.models.committed import CLIENT

pytest.importorskip("tokenizers")

POSITIVE = [
    "I love this album, best one they ever made!",
    "What a wonderful evening with friends, so happy 😊",
    "Congrats to the whole team, you were amazing!!!",
]
NEGATIVE = [
    "This is the worst service I ever had, never again",
    "So sad and angry about the news today :(",
    "The new update is terrible, it crashes all the time",
]
NEUTRAL = [
    "The council meets on Tuesday at 7 pm in the town hall",
    "Train to Leeds leaves from platform 4 https://example.org",
    "Does anyone know when the shop opens on Sunday?",
]
LABELS = ["negative", "neutral", "positive"]


@pytest.fixture(scope="module")
def model() -> Iterator[PythonExecutable]:
    executable = PythonRuntime().load(artifact("tweet-sentiment", 1, "model.py"), CLIENT)
    yield executable
    executable.close()


def ask(model: PythonExecutable, *texts: str | bytes) -> ExecuteResult:
    array = np.empty(len(texts), object)
    array[:] = [text.encode() if isinstance(text, str) else text for text in texts]
    return model.execute([Tensor("text", DType.BYTES, array)], {})


def labels(result: ExecuteResult) -> list[str]:
    return [label.decode() for label in result.outputs[0].array.tolist()]


def test_signature(model: PythonExecutable) -> None:
    assert [(s.name, s.dtype, s.shape) for s in model.signature.inputs] == [
        ("text", DType.BYTES, (-1,))
    ]
    assert [(s.name, s.dtype, s.shape) for s in model.signature.outputs] == [
        ("label", DType.BYTES, (-1,)),
        ("scores", DType.FP32, (-1, 3)),
    ]


def test_plain_sentences(model: PythonExecutable) -> None:
    found = labels(ask(model, *NEGATIVE, *NEUTRAL, *POSITIVE))
    assert found == ["negative"] * 3 + ["neutral"] * 3 + ["positive"] * 3


def test_scores_are_probabilities_in_the_order_of_the_labels(model: PythonExecutable) -> None:
    result = ask(model, *NEGATIVE, *NEUTRAL, *POSITIVE)
    scores = result.outputs[1].array
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert [LABELS[at] for at in scores.argmax(axis=1)] == labels(result)


def test_a_bad_row_is_refused_next_to_good_ones(model: PythonExecutable) -> None:
    result = ask(
        model, POSITIVE[0], "  ", b"\xff\xfe", NEGATIVE[0], "x" * 501, "Сегодня хороший день"
    )
    assert labels(result) == ["positive", "negative"]
    reasons = {row: refusal.reason for row, refusal in result.invalid.items()}
    assert sorted(reasons) == [1, 2, 4, 5]
    assert "empty" in reasons[1]
    assert "UTF-8" in reasons[2]
    assert "501 characters, the limit is 500" in reasons[4]
    assert "Latin" in reasons[5]


def test_bad_rows_alone(model: PythonExecutable) -> None:
    assert sorted(ask(model, "", "@bob").invalid) == [0, 1]


def test_an_answer_does_not_depend_on_its_company(model: PythonExecutable) -> None:
    texts = [*NEGATIVE, *NEUTRAL, *POSITIVE, "ok", "long and winding words again " * 15] * 4
    together = ask(model, *texts).outputs[1].array
    alone = np.concatenate([ask(model, text).outputs[1].array for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_more_pieces_than_positions(model: PythonExecutable) -> None:
    assert labels(ask(model, "a b ! ? " * 60))[0] in LABELS


def test_size() -> None:
    files = [f for f in FOLDER.iterdir() if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 16_000_000
