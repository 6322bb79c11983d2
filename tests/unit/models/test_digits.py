"""The committed ONNX models: signatures, accuracies, size."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor
from penstock.runtime.declared import declare
from penstock.runtime.onnx_runtime import OnnxExecutable, OnnxRuntime
from tests.unit.models.committed import CLIENT, artifact, held_out, manifest


def _load(version: int) -> OnnxExecutable:
    return OnnxRuntime().load(artifact("digits", version, "model.onnx"), CLIENT)


def _accuracy(version: int) -> float:
    pixels, truth = held_out()
    label, _ = _load(version).execute([Tensor.from_array("pixels", pixels)], {}).outputs
    return float(np.mean(label.array == truth))


@pytest.mark.parametrize("version", [1, 2])
def test_signature_is_batched_and_named(version: int) -> None:
    raw = _load(version).signature
    assert raw.batched
    assert [(s.name, s.dtype, s.shape) for s in raw.inputs] == [("pixels", DType.FP32, (-1, 64))]
    assert [(s.name, s.dtype, s.shape) for s in raw.outputs] == [
        ("label", DType.INT64, (-1,)),
        ("probabilities", DType.FP32, (-1, 10)),
    ]
    assert {s.dim_names[0] for s in (*raw.inputs, *raw.outputs)} == {"batch"}


@pytest.mark.parametrize("version", [1, 2])
def test_manifest_fits_the_artifact_and_names_the_classes(version: int) -> None:
    signature = declare(_load(version).signature, manifest("digits"))
    probabilities = signature.output("probabilities")
    assert signature.batched
    assert probabilities is not None
    assert probabilities.labels == tuple("0123456789")


def test_both_versions_serve_under_their_labels() -> None:
    assert manifest("digits").version_policy == "all"
    assert manifest("digits").labels == {"stable": 1, "canary": 2}


def test_canary_is_better_and_both_are_useful() -> None:
    assert 0.8 < _accuracy(1) < _accuracy(2)
    assert _accuracy(2) > 0.95


@pytest.mark.parametrize("version", [1, 2])
def test_probabilities_sum_to_one_and_agree_with_the_label(version: int) -> None:
    pixels, _ = held_out()
    label, probabilities = (
        _load(version).execute([Tensor.from_array("pixels", pixels[:20])], {}).outputs
    )
    np.testing.assert_allclose(probabilities.array.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.array.argmax(axis=1), label.array)


@pytest.mark.parametrize("version", [1, 2])
def test_artifact_is_small(version: int) -> None:
    assert artifact("digits", version, "model.onnx").num_bytes < 100 * 1024
