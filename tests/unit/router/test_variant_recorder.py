"""What one variant did, counted in bulk."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import ErrorCode, PenstockError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.router.counts import LATENCY_BOUNDS_S, MAX_CLASSES, NUM_LATENCIES, OTHER
from penstock.router.variant_recorder import REFUSED, ClassNames, StageRecorder, VariantRecorder

CLASSES = ModelSignature((), (TensorSpec("y", DType.INT64, (-1,)),))
SCORES = ModelSignature((), (TensorSpec("y", DType.FP32, (-1,)),))


def outputs(*values: float, dtype: DType = DType.INT64) -> tuple[Tensor, ...]:
    return (Tensor("y", dtype, np.array(values, dtype.numpy)),)


def test_a_recorder_begins_with_nothing() -> None:
    counts = VariantRecorder(ClassNames()).counts()
    assert (counts.requests, counts.errors, counts.refused, counts.non_finite) == (0, 0, 0, 0)
    assert counts.latency == [0] * NUM_LATENCIES


@pytest.mark.parametrize("count", [1, 511, 512, 513, 1500])
def test_every_answer_is_counted_once(count: int) -> None:
    recorder = VariantRecorder(ClassNames())
    for number in range(count):
        recorder.answered(1_000_000, outputs(number % 3, 7, 7), CLASSES)
        if number % 100 == 0:
            recorder.counts()
    counts = recorder.counts()
    assert (counts.requests, sum(counts.latency)) == (count, count)
    assert sum(counts.predictions.values()) == count
    assert recorder.counts() == counts


def test_latencies_fall_into_their_buckets() -> None:
    recorder = VariantRecorder(None)
    seconds = [0.0, 1e-6, 20e-6, 21e-6, 0.004, 1.0, 32.0, 33.0, 1000.0]
    for one in seconds:
        recorder.answered(round(one * 1e9), (), CLASSES)
    expected = [0] * NUM_LATENCIES
    for one in seconds:
        expected[bisect_left(LATENCY_BOUNDS_S, one)] += 1
    assert recorder.counts().latency == expected
    assert expected[-1] == 2


def test_errors_are_the_variants_and_refusals_the_clients() -> None:
    recorder = VariantRecorder(None)
    recorder.answered(1, (), CLASSES)
    for code in ErrorCode:
        recorder.failed(code)
    counts = recorder.counts()
    assert set(counts.codes) == set(ErrorCode) - REFUSED
    assert counts.errors == len(ErrorCode) - len(REFUSED)
    assert (counts.requests, counts.refused) == (1 + counts.errors, len(REFUSED))
    assert {"deadline_exceeded", "overloaded", "not_ready", "model_failed"} <= set(counts.codes)


def test_every_error_has_a_side() -> None:
    """A new kind of error has to be thought about: whose fault is it?"""
    known = {one.code for one in PenstockError.__subclasses__()}
    assert known <= set(ErrorCode)
    assert len(ErrorCode) == 14


def test_answers_that_are_no_numbers_are_counted() -> None:
    recorder = VariantRecorder(ClassNames())
    recorder.answered(1, outputs(0.5, np.nan, dtype=DType.FP32), SCORES)
    recorder.answered(1, outputs(0.5, dtype=DType.FP32), SCORES)
    counts = recorder.counts()
    assert counts.non_finite == 1
    assert counts.predictions["0.5"] in (1, 2)  # a NaN may be drawn, and is no score


def test_another_signature_is_counted_by_its_own_form() -> None:
    recorder = VariantRecorder(ClassNames())
    recorder.answered(1, outputs(3), CLASSES)
    recorder.answered(1, outputs(0.5, dtype=DType.FP32), SCORES)
    recorder.answered(1, outputs(3), CLASSES)
    assert recorder.counts().predictions == {"3": 2, "0.5": 1}


def test_further_classes_are_counted_together_and_alike_for_all_variants() -> None:
    stage = StageRecorder("s")
    for known in range(MAX_CLASSES):
        stage.variant("a").answered(1, outputs(known), CLASSES)
    stage.variant("a").counts()
    for other in (*range(1000, 1010), 3):
        stage.variant("b").answered(1, outputs(other), CLASSES)
    for other in (1000, 3):
        stage.variant("a").answered(1, outputs(other), CLASSES)
    counts = stage.counts().variants
    assert counts["b"].predictions == {OTHER: 10, "3": 1}
    assert counts["a"].predictions[OTHER] == 1
    assert counts["a"].predictions["3"] == 2


def test_large_answers_are_not_held() -> None:
    recorder = VariantRecorder(ClassNames())
    for _ in range(10):
        recorder.answered(1, (Tensor("y", DType.INT64, np.ones(20_000, np.int64)),), CLASSES)
    held_bytes = sum(one.num_bytes for answer in recorder._answers for one in answer)
    assert held_bytes <= 256 * 1024
    assert recorder.counts().predictions == {"1": 10}


def odd_answer() -> tuple[Tensor, ...]:
    """What no check of a tensor lets through, and a model may put into one afterwards."""
    tensor = Tensor("y", DType.FP32, np.zeros(1, np.float32))
    tensor.array = np.array([object()])
    return (tensor,)


def test_what_cannot_be_counted_is_counted_as_that_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = VariantRecorder(ClassNames())
    for _ in range(3):
        recorder.answered(1, outputs(0.5, dtype=DType.FP32), SCORES)
        recorder.answered(1, odd_answer(), SCORES)
        recorder.answered(1, outputs(np.nan, dtype=DType.FP32), SCORES)
        counts = recorder.counts()
    assert (counts.requests, sum(counts.latency), counts.uncounted) == (9, 9, 3)
    assert (counts.predictions, counts.non_finite) == ({"0.5": 3}, 3)
    assert recorder._answers == []
    assert recorder._held_bytes == 0
    (record,) = caplog.records
    assert "cannot be counted" in record.message


def test_what_has_no_size_is_not_held() -> None:
    recorder = VariantRecorder(ClassNames())
    text = Tensor("y", DType.BYTES, np.array([b"cat"], object))
    text.array[0] = 7
    recorder.answered(1, (text,), CLASSES)
    assert recorder._answers == []
    assert recorder.counts().uncounted == 1


def test_answers_that_cannot_be_counted_do_not_gather() -> None:
    recorder = VariantRecorder(ClassNames())
    for _ in range(2000):
        recorder.answered(1, odd_answer(), SCORES)
        assert len(recorder._answers) <= 512
    assert recorder.counts().uncounted == 2000


def test_a_stage_without_a_name_does_not_look_into_answers() -> None:
    stage = StageRecorder("")
    stage.variant("a").answered(1, outputs(1), CLASSES)
    counts = stage.counts().variants["a"]
    assert (counts.requests, sum(counts.latency), counts.predictions) == (1, 1, {})


def test_counts_are_a_copy() -> None:
    stage = StageRecorder("s")
    stage.variant("a").answered(1, outputs(1), CLASSES)
    stage.variant("a").failed("internal")
    first = stage.counts()
    stage.variant("a").answered(1, outputs(1), CLASSES)
    stage.variant("a").failed("internal")
    assert first.variants["a"].requests == 2
    assert first.variants["a"].predictions == {"1": 1}
    assert first.variants["a"].codes == {"internal": 1}
