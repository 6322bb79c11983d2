"""From the fused graph to int8: pieces by row, matrices by column, activations by calibration.

The graph is written node by node, since the library's static quantisation of transformers leaves
ONNX Runtime a form that it computes in FP32 again (measured in docs/tweet-model.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import NodeProto, TensorProto, helper, numpy_helper

BINS = 4096


class Range(NamedTuple):
    """The values of an activation that int8 shall tell apart; the rest is cut to its ends."""

    low: float
    high: float


def feed(rows: list[list[int]]) -> dict[str, np.ndarray]:
    """Return the graph's inputs: INT64 [rows, longest] ids padded with 0, and their mask."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return {"ids": ids, "mask": (ids != 0).astype(np.int64)}


def unpadded(tokens: list[list[int]], size: int = 16) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches of one length each: padding would count as activations."""
    same: dict[int, list[list[int]]] = {}
    for row in tokens:
        same.setdefault(len(row), []).append(row)
    for rows in same.values():
        for start in range(0, len(rows), size):
            yield feed(rows[start : start + size])


def calibrate(source: Path, tokens: list[list[int]], method: str) -> dict[str, Range]:
    """Measure the input of every matrix product on tweets of the training data.

    Args:
        source: the fused FP32 graph.
        tokens: a few hundred tweets.
        method: ``minmax``: all values; ``percentile``: all but the outermost 0.01 % on each side;
            ``error``: the range, shrunk towards 0, that rounds with the least squared error.
    """
    model = onnx.load(source)
    names = sorted({node.input[0] for node in _products(model)})
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ends = {name: Range(0.0, 0.0) for name in names}
    for batch in unpadded(tokens):
        for name, array in zip(names, session.run(names, batch), strict=True):
            low, high = ends[name]
            ends[name] = Range(min(low, float(array.min())), max(high, float(array.max())))
    if method == "minmax":
        return ends
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for batch in unpadded(tokens):
        for name, array in zip(names, session.run(names, batch), strict=True):
            counts[name] += np.histogram(array, BINS, ends[name])[0]
    chosen = {"percentile": _percentile, "error": _least_error}[method]
    return {name: chosen(ends[name], counts[name]) for name in names}


def _percentile(ends: Range, counts: np.ndarray, outside: float = 1e-4) -> Range:
    edges = np.linspace(*ends, BINS + 1)
    share = counts.cumsum() / counts.sum()
    low, high = np.searchsorted(share, (outside, 1 - outside))
    return Range(min(0.0, float(edges[low])), max(0.0, float(edges[high + 1])))


def _least_error(ends: Range, counts: np.ndarray) -> Range:
    edges = np.linspace(*ends, BINS + 1)
    values = (edges[1:] + edges[:-1]) / 2

    def error(found: Range) -> float:
        scale, zero = _steps(found)
        steps = np.clip(np.round(values / scale) + zero, 0, 255)
        return float((counts * ((steps - zero) * scale - values) ** 2).sum())

    shares = np.linspace(0.1, 1, 46)
    return min((Range(ends.low * a, ends.high * b) for a in shares for b in shares), key=error)


def _steps(found: Range) -> tuple[np.float32, np.uint8]:
    """Return scale and zero point of uint8 over a range that holds 0."""
    scale = np.float32(max(found.high - found.low, 1e-8) / 255)
    return scale, np.uint8(np.clip(round(-found.low / scale), 0, 255))


def to_int8(source: Path, path: Path, ranges: Mapping[str, Range] | None) -> None:
    """Write the graph with int8 look-ups and matrix products; the rest stays FP32.

    Args:
        source: the fused FP32 graph, the products outside of attention.
        path: where to write.
        ranges: of every product's input, as ``calibrate`` measured them: an answer then does not
            depend on what else is in the batch. None: found anew in every run.

    Raises:
        KeyError: a product's input was not measured.
    """
    model = onnx.load(source)
    _shrink_tables(model)
    quantised: dict[str, tuple[str, str, str]] = {}
    for product in _products(model):
        new: list[NodeProto] = []
        name = product.input[0]
        if name not in quantised:
            new.append(_quantise(model, name, None if ranges is None else ranges[name]))
            quantised[name] = (f"{name}_u8", f"{name}_scale", f"{name}_zero")
        new.append(_integer_product(model, product, quantised[name]))
        _replace(model, product, new)
    _drop_unused(model)
    onnx.save(model, path)


def _quantise(model: onnx.ModelProto, name: str, found: Range | None) -> NodeProto:
    small, scale, zero = f"{name}_u8", f"{name}_scale", f"{name}_zero"
    if found is None:
        return helper.make_node("DynamicQuantizeLinear", [name], [small, scale, zero])
    size, middle = _steps(found)
    _constant(model, scale, np.array(size))
    _constant(model, zero, np.array(middle))
    return helper.make_node("QuantizeLinear", [name, scale, zero], [small])


def _integer_product(
    model: onnx.ModelProto, product: NodeProto, x: tuple[str, str, str]
) -> NodeProto:
    """Return the product of int8 that takes in the bias added behind it, if there is one."""
    weights = {w.name: w for w in model.graph.initializer}
    name = product.input[1]
    matrix = numpy_helper.to_array(weights[name])
    scale = np.maximum(np.abs(matrix).max(0) / 127, 1e-8).astype(np.float32)
    _constant(model, f"{name}_int8", np.round(matrix / scale).astype(np.int8))
    _constant(model, f"{name}_scales", scale)
    _constant(model, f"{name}_zeros", np.zeros(len(scale), np.int8))
    small, x_scale, x_zero = x
    inputs = [small, f"{name}_int8", x_scale, f"{name}_scales", x_zero, f"{name}_zeros"]
    output = product.output[0]
    after = [node for node in model.graph.node if output in node.input]
    if len(after) == 1 and after[0].op_type == "Add":
        bias = next(i for i in after[0].input if i != output)
        if bias in weights and list(weights[bias].dims) == [len(scale)]:
            inputs.append(bias)
            output = after[0].output[0]
            model.graph.node.remove(after[0])
    return helper.make_node(
        "MatMulIntegerToFloat", inputs, [output], name=product.name, domain="com.microsoft"
    )


def _shrink_tables(model: onnx.ModelProto) -> None:
    """Keep the pieces' and the positions' vectors as int8 with one scale each."""
    weights = {w.name: w for w in model.graph.initializer}
    lookups = [n for n in model.graph.node if n.op_type == "Gather" and n.input[0] in weights]
    for number, node in enumerate(lookups):
        table = numpy_helper.to_array(weights[node.input[0]])
        if table.ndim != 2 or table.dtype != np.float32:
            continue
        names = [f"table{number}_{part}" for part in ("int8", "scale", "row", "by", "float")]
        scale = np.maximum(np.abs(table).max(1, keepdims=True) / 127, 1e-8).astype(np.float32)
        _constant(model, names[0], np.round(table / scale).astype(np.int8))
        _constant(model, names[1], scale)
        new = [
            helper.make_node("Gather", [names[0], node.input[1]], [names[2]]),
            helper.make_node("Gather", [names[1], node.input[1]], [names[3]]),
            helper.make_node("Cast", [names[2]], [names[4]], to=TensorProto.FLOAT),
            helper.make_node("Mul", [names[4], names[3]], [node.output[0]]),
        ]
        _replace(model, node, new)


def _products(model: onnx.ModelProto) -> list[NodeProto]:
    """Return the matrix products with a constant matrix, in the graph's order."""
    weights = {w.name for w in model.graph.initializer}
    return [n for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in weights]


def _constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    model.graph.initializer.append(numpy_helper.from_array(value, name))


def _replace(model: onnx.ModelProto, node: NodeProto, new: Iterable[NodeProto]) -> None:
    at = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    for offset, one in enumerate(new):
        model.graph.node.insert(at + offset, one)


def _drop_unused(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [w for w in model.graph.initializer if w.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
