"""Law: what was merged comes apart again, bit for bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import InvalidInput
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.repository.manifest import Pad
from penstock.runtime.executable import ExecuteResult
from penstock.scheduler.batch import Member, Tensors, merge, split
from penstock.scheduler.padding import Padding
from penstock.testing.strategies import echo_signatures, requests


def without(tensors: Tensors, refused: set[int]) -> Tensors:
    kept = [row for row in range(tensors[0].shape[0]) if row not in refused]
    return tuple(Tensor(t.name, t.dtype, t.array[np.array(kept, np.intp)]) for t in tensors)


def check(
    parts: list[Tensors],
    refused: set[int],
    signature: ModelSignature,
    padding: Padding | None,
) -> None:
    merged = merge(parts, padding)
    members = [Member(p[0].shape[0], padding.length(p) if padding else -1) for p in parts]
    total = sum(member.rows for member in members)
    assert all(tensor.shape[0] == total for tensor in merged)
    refused = {row for row in refused if row < total}
    outputs = without(merged, refused) if refused else merged
    result = ExecuteResult(outputs, {row: InvalidInput(row, f"bad {row}") for row in refused})
    outcomes = split(result, members, signature, padding)
    assert len(outcomes) == len(parts)
    start = 0
    for part, outcome, member in zip(parts, outcomes, members, strict=True):
        mine = sorted(row - start for row in refused if start <= row < start + member.rows)
        start += member.rows
        if mine:
            assert isinstance(outcome, InvalidInput)
            assert outcome.index == mine[0]
        else:
            assert outcome == part


@given(st.data())
def test_equal_shapes(data: st.DataObject) -> None:
    signature = data.draw(echo_signatures())
    parts = data.draw(st.lists(requests(signature), min_size=1, max_size=4))
    check(parts, data.draw(st.sets(st.integers(0, 8), max_size=3)), signature, None)


@given(st.data())
def test_padded(data: st.DataObject) -> None:
    signature = data.draw(echo_signatures(free_axis=True))
    pad = Pad(to_multiple_of=data.draw(st.integers(1, 4)), value=data.draw(st.integers(0, 1)))
    padding = Padding.resolve(pad, signature)
    parts = data.draw(st.lists(requests(signature), min_size=1, max_size=4))
    check(parts, data.draw(st.sets(st.integers(0, 8), max_size=3)), signature, padding)
