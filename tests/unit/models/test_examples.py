"""The small examples load and answer."""

from __future__ import annotations

import numpy as np

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor
from penstock.runtime.python_runtime import PythonRuntime
from tests.unit.models.committed import CLIENT, example


def test_shout_refuses_only_the_empty_text() -> None:
    shout = PythonRuntime().load(example("shout.py"), CLIENT)
    text = np.array([b"hello", b"", b"you"], object)
    result = shout.execute([Tensor("text", DType.BYTES, text)], {})
    assert result.outputs[0].array.tolist() == [b"HELLO!", b"YOU!"]
    assert result.invalid[1].reason == "there is nothing to shout"
    shout.close()


def test_scale_multiplies_each_row_by_its_factor() -> None:
    scale = PythonRuntime().load(example("scale.py"), CLIENT)
    assert [spec.shape for spec in scale.signature.inputs] == [(-1, 4), (-1,)]
    x = Tensor.from_array("x", np.arange(8, dtype=np.float32).reshape(2, 4))
    factor = Tensor.from_array("factor", np.array([10, 2], np.float32))
    (output,) = scale.execute([x, factor], {}).outputs
    assert output.array.tolist() == [[0, 10, 20, 30], [8, 10, 12, 14]]
    scale.close()
