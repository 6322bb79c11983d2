"""What a request is assigned by, wherever that is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.messages import InferRequest
from penstock.core.tensor import Tensor, object_array
from penstock.router.route import RoutingKey, Rule
from penstock.router.routing_key import key_reader, matcher


def read(key: RoutingKey, **fields: Any) -> bytes | None:
    reader = key_reader(key)
    assert reader is not None
    return reader(InferRequest("m", fields.pop("inputs", ()), **fields))


def tensor(dtype: DType, *values: object, shape: tuple[int, ...] = (1, 1)) -> Tensor:
    if dtype is DType.BYTES:
        return Tensor("user", dtype, object_array(list(values)).reshape(shape))
    return Tensor("user", dtype, np.array(values, dtype.numpy).reshape(shape))


def test_a_route_without_a_key_reads_nothing() -> None:
    assert key_reader(RoutingKey()) is None


def test_a_header_is_taken_as_it_came() -> None:
    key = RoutingKey(header="x-user")
    assert read(key, headers={b"x-user": b"\xff\xfe"}) == b"\xff\xfe"
    assert read(key, headers={b"x-other": b"1"}) is None
    assert read(key) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("ü", b"\xc3\xbc"), (7, b"7"), (True, b"true"), (1.5, b"1.5"), ("", b"")],
)
def test_a_parameter_is_its_text(value: Any, expected: bytes) -> None:
    key = RoutingKey(parameter="user")
    assert read(key, parameters={"user": value}) == expected
    assert read(key, parameters={"other": value}) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (tensor(DType.BYTES, b"\xff7"), b"\xff7"),
        (tensor(DType.INT64, 7), b"7"),
        (tensor(DType.BOOL, True, shape=(1,)), b"true"),
        (tensor(DType.FP64, 0.5, shape=()), b"0.5"),
        (tensor(DType.INT64, 7, 8, shape=(2, 1)), None),
        (tensor(DType.INT64, 7, 8, shape=(1, 2)), None),
        (tensor(DType.INT64, shape=(0, 1)), None),
    ],
)
def test_an_input_of_one_element_is_its_text(given: Tensor, expected: bytes | None) -> None:
    assert read(RoutingKey(input="user"), inputs=(given,)) == expected
    assert read(RoutingKey(input="other"), inputs=(given,)) is None


def test_a_caller_has_one_key_whichever_way_it_comes() -> None:
    ways = (
        read(RoutingKey(header="x"), headers={b"x": "Zoë 7".encode()}),
        read(RoutingKey(parameter="x"), parameters={"x": "Zoë 7"}),
        read(RoutingKey(input="user"), inputs=(tensor(DType.BYTES, "Zoë 7".encode()),)),
    )
    assert len(set(ways)) == 1


def test_the_client_is_its_address() -> None:
    assert read(RoutingKey(client=True), client="10.0.0.1") == b"10.0.0.1"
    assert read(RoutingKey(client=True)) == b""


def test_a_rule_looks_at_a_header() -> None:
    matches = matcher(Rule(header="x-group", equals="Zoë", variant="a"))
    assert matches(InferRequest("m", (), headers={b"x-group": b"Zo\xeb"}))
    assert not matches(InferRequest("m", (), headers={b"x-group": b"zo\xeb"}))
    assert not matches(InferRequest("m", ()))


@pytest.mark.parametrize(
    ("value", "equals", "expected"),
    [
        ("a", "a", True),
        ("a", "A", False),
        (1, "1", True),
        (True, "true", True),
        (True, "1", False),
        (2.5, "2.5", True),
        ("", "", True),
    ],
)
def test_a_rule_looks_at_a_parameter(value: Any, equals: str, expected: bool) -> None:
    matches = matcher(Rule(parameter="p", equals=equals, variant="a"))
    assert matches(InferRequest("m", (), parameters={"p": value})) is expected
    assert not matches(InferRequest("m", ()))
