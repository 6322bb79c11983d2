"""Laws of a job's columns: tensors to Arrow and back; groups and sums of whatever batches."""

from __future__ import annotations

import itertools
import random
import sys
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.distribution import (
    MAX_BINS,
    ClassCounts,
    Histogram,
    add_distributions,
    distributions,
    histogram,
)
from penstock.jobs.batch.elements import float32_to_bf16
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.sinks.row_groups import RowGroups


@st.composite
def batched_tensors(draw: st.DrawFn) -> tuple[TensorSpec, Tensor]:
    """A declared tensor and rows of it, any bits; some of its dimensions are free."""
    dtype = draw(st.sampled_from(list(DType)))
    row = draw(st.lists(st.integers(1, 3), max_size=3))
    is_free = [draw(st.booleans()) for _ in row]
    if row and is_free[-1]:
        row[-1] = draw(st.integers(0, 3))
    shape = (draw(st.integers(0, 4)), *row)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype is DType.BYTES:
        items = draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count))
        array: Any = object_array(items)
    else:
        size = count * dtype.itemsize_bytes
        bits = draw(st.binary(min_size=size, max_size=size))
        if dtype is DType.BOOL:
            bits = bytes(byte & 1 for byte in bits)
        array = np.frombuffer(bits, dtype.numpy)
    if dtype is DType.FP16:  # a signalling NaN becomes a quiet one, in every cast
        array = array.astype(np.float32).astype(np.float16)
    declared = (-1, *(-1 if free else dim for dim, free in zip(row, is_free, strict=True)))
    tensor = Tensor("x", dtype, array.reshape(shape))
    return TensorSpec("x", dtype, declared), tensor


@given(batched_tensors(), st.integers(0, 2))
def test_tensors_to_arrow_and_back(declared: tuple[TensorSpec, Tensor], before: int) -> None:
    spec, tensor = declared
    signature = ModelSignature((spec,), (spec,))
    binary = ["x"] if spec.dtype is DType.BYTES else []
    columns = OutputColumns.resolve(signature, pa.schema([]), binary=binary)
    kept = pa.RecordBatch.from_arrays([pa.nulls(tensor.shape[0])], names=["no"])
    batch = columns.to_batch((tensor,), kept)
    assert batch.schema == columns.schema
    padded = pa.concat_batches([batch.slice(0, before), batch])
    (back,), bad = ColumnMap.resolve(signature, {}).to_tensors(
        padded.slice(min(before, batch.num_rows))
    )
    assert not bad
    if tensor.shape[0] or -1 not in spec.shape[1:]:  # without rows nothing tells a free size
        assert back == tensor


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_bf16_is_the_nearest_value(values: list[float]) -> None:
    floats = np.array(values, dtype=np.float32)
    bits = float32_to_bf16(floats)
    again = (bits.astype(np.uint32) << 16).view(np.float32)
    assert (np.isnan(again) == np.isnan(floats)).all()
    for step in (-1, 1):
        other = ((bits.astype(np.int64) + step) % 2**16).astype(np.uint32) << 16
        exact = floats.astype(np.float64)
        with np.errstate(invalid="ignore"):
            beside = other.view(np.float32).astype(np.float64)
            is_nearer = np.abs(beside - exact) < np.abs(again.astype(np.float64) - exact)
        assert not (is_nearer & np.isfinite(beside) & np.isfinite(again)).any()


numbers = st.lists(
    st.floats(allow_subnormal=False)
    | st.floats(0, 1)
    | st.sampled_from([0.0, -0.0, 1.0, 1e308, -1e308, 1e-300]),
    max_size=30,
)
integers = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), max_size=30)


@example([0.0, 0.001], [1], random.Random(0))
@given(numbers, st.lists(st.integers(0, 30), max_size=4), st.randoms(use_true_random=False))
def test_a_histogram_is_the_sum_of_its_parts(
    values: list[float], cuts: list[int], order: Any
) -> None:
    check_sums(np.array(values, dtype=np.float64), cuts, order)


@given(integers, st.lists(st.integers(0, 30), max_size=4), st.randoms(use_true_random=False))
def test_so_is_one_of_integers(values: list[int], cuts: list[int], order: Any) -> None:
    check_sums(np.array(values, dtype=np.int64), cuts, order)


def check_sums(array: Any, cuts: list[int], order: Any) -> None:
    whole = histogram(array)
    parts = [histogram(part) for part in np.split(array, sorted(cuts))]
    order.shuffle(parts)
    total = Histogram()
    for part in parts:
        total = total.plus(part)
    assert total == whole
    assert len(whole.counts) <= MAX_BINS
    assert sum(whole.counts) + whole.nan + whole.below + whole.above == array.size
    finite = [float(value) for value in array.tolist() if np.isfinite(value)]
    for start, stop, count in zip(whole.edges[:-1], whole.edges[1:], whole.counts, strict=True):
        if array.dtype.kind == "f":
            is_last = stop == whole.edges[-1] == sys.float_info.max
            inside = [
                value for value in finite if start <= value < stop or (is_last and value == stop)
            ]
            assert len(inside) == count


@given(st.lists(st.sampled_from([b"a", b"b", b"\xff", b""]), max_size=20), st.integers(0, 20))
def test_classes_are_the_sum_of_their_parts(values: list[bytes], cut: int) -> None:
    spec = TensorSpec("y", DType.BYTES, (-1,))
    signature = ModelSignature((), (spec,))

    def counted(part: list[bytes]) -> Any:
        return distributions(signature, (Tensor("y", DType.BYTES, object_array(part)),))

    both = add_distributions(counted(values[:cut]), counted(values[cut:]))
    assert both == counted(values)
    found = both["y"]
    assert isinstance(found, ClassCounts)
    assert sum(found.counts.values()) == len(values)


rows = st.lists(
    st.tuples(
        st.none() | st.text(max_size=12),
        st.none() | st.lists(st.none() | st.integers(0, 9), max_size=5),
    ),
    max_size=40,
)


@given(rows, st.lists(st.integers(0, 40), max_size=5), st.lists(st.integers(0, 40), max_size=5))
def test_groups_do_not_depend_on_batches(
    values: list[tuple[str | None, list[int | None] | None]], one: list[int], other: list[int]
) -> None:
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([text for text, _ in values], pa.string()),
            pa.array([items for _, items in values], pa.list_(pa.int16())),
        ],
        names=["text", "items"],
    )

    def groups(cuts: list[int]) -> list[list[dict[str, Any]]]:
        edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
        collected = RowGroups(max_rows=7, max_bytes=40)
        found = []
        for start, stop in itertools.pairwise(edges):
            found += list(collected.add(batch.slice(start, stop - start)))
        return [group.to_pylist() for group in [*found, *collected.rest()]]

    assert groups(one) == groups(other)
    assert [row for group in groups(one) for row in group] == batch.to_pylist()
    assert all(0 < len(group) <= 7 for group in groups(one))
