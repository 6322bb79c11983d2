"""Bodies of the control API, good and bad."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.errors import ConfigError, InvalidArgument
from penstock.router.route import Route, Variant
from penstock.server.control_api.bodies import (
    check_no_more,
    read_object,
    read_route,
    take_flag,
    take_why,
)


def test_an_object_or_nothing() -> None:
    assert read_object(b"", "route") == {}
    assert read_object(b' {"a": 1}', "route") == {"a": 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "the route must be a JSON object, got a list"),
        (b'"x"', "the route must be a JSON object, got text 'x'"),
        (b"{", "failed to parse the route JSON buffer"),
        (b"\xff{}", "failed to parse the route JSON buffer: invalid UTF-8"),
        (b"[" * 100_000, "JSON nesting depth exceeds"),
    ],
)
def test_a_body_that_is_no_object(body: bytes, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_object(body, "route")
    assert said in caught.value.message


def test_why_is_taken_out_and_cleaned() -> None:
    fields: dict[str, Any] = {"why": "too\nslow", "full": True, "x": 1}
    assert take_why(fields) == "too slow"
    assert take_flag(fields, "full") is True
    assert fields == {"x": 1}
    assert (take_why({}), take_flag({}, "full")) == ("", False)


def test_why_is_text_and_full_a_boolean() -> None:
    with pytest.raises(InvalidArgument, match="why: expected text, got 7"):
        take_why({"why": 7})
    with pytest.raises(InvalidArgument, match="full: expected true or false, got text 'yes'"):
        take_flag({"full": "yes"}, "full")


def test_a_field_that_is_left_is_refused_with_the_nearest() -> None:
    check_no_more({}, ("why",), "body")
    with pytest.raises(InvalidArgument, match="the body: wy: unknown field, did you mean 'why'"):
        check_no_more({"wy": ""}, ("why",), "body")


def test_a_route() -> None:
    variants = [{"name": "stable", "version": 1, "weight": 100}]
    assert read_route({"variants": variants}) == Route(
        variants=(Variant(name="stable", version=1, weight=100.0),)
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "route: $.variants: missing"),
        ({"variants": {}}, "route: $.variants: expected a list, got a mapping"),
        ({"variants": [{"name": "a"}]}, "route: $.variants[0].version: missing"),
        (
            {"variants": [{"name": "a", "version": "1"}]},
            "route: $.variants[0].version: expected a whole number >= 0, got text '1'",
        ),
        (
            {"variants": [{"name": "a", "version": 1, "weight": 120}]},
            "route: $.variants[0].weight: expected a number from 0 to 100, got 120",
        ),
        (
            {"variants": [], "xvariants": []},
            "route: $.xvariants: unknown field, did you mean 'variants'?",
        ),
        ({"variants": [{"name": "a b", "version": 1}]}, "route: $.variants[0].name: "),
        ({"variants": [], "labels": {"": 1}}, "route: $.labels: name: expected text"),
    ],
)
def test_a_route_that_is_wrong(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_route(fields)
    assert said in caught.value.message
