"""The control API in the OpenAPI document."""

from __future__ import annotations

import json
import re
from typing import Any

from penstock.server.control_api.openapi_paths import control_paths, control_schemas
from penstock.server.routes import allowed_methods


def operations() -> dict[str, set[str]]:
    known = {"get", "put", "post", "delete"}
    return {
        path: {method.upper() for method in item if method in known}
        for path, item in control_paths().items()
    }


def test_every_path_takes_the_methods_that_it_is_said_to() -> None:
    for path, methods in operations().items():
        segments = path.removeprefix("/").replace("{model}", "digits").split("/")
        assert allowed_methods(segments) == methods, path


def test_every_reference_leads_somewhere() -> None:
    schemas = {*control_schemas(), "Error"}
    text = json.dumps([control_paths(), control_schemas()])
    found = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert found <= schemas
    assert {"RolloutAnswer", "RouteAnswer", "RolloutSpec", "GateResult"} <= found | schemas


def walk(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def test_nothing_is_in_it_that_openapi_3_0_does_not_know() -> None:
    for schema in control_schemas().values():
        for part in walk(schema):
            assert not {"const", "prefixItems", "propertyNames", "$defs"} & part.keys()
            assert part.get("type") != "null"
            assert not isinstance(part.get("exclusiveMinimum"), int | float) or isinstance(
                part["exclusiveMinimum"], bool
            )


def test_every_operation_has_a_summary_and_its_errors() -> None:
    for path, item in control_paths().items():
        for method in ("get", "put", "post", "delete"):
            if method in item:
                assert item[method]["summary"], path
                assert {"200", "400", "404", "409"} <= item[method]["responses"].keys()


def test_descriptions_are_the_first_words_only() -> None:
    for schema in control_schemas().values():
        assert "Attributes:" not in schema.get("description", "")
