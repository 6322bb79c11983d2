"""JSON Schemas of our types as an OpenAPI 3.0 document has them.

msgspec writes JSON Schema 2020-12; OpenAPI 3.0, which the page at ``/docs`` shows, is older.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

_REF = "#/components/schemas/{name}"


def schemas_of(types: Iterable[type]) -> dict[str, Any]:
    """The schemas of types and of what they hold, by name."""
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF, schema_hook=_any_value)
    return {name: _older(schema) for name, schema in schemas.items()}


def ref(name: str) -> dict[str, Any]:
    """A schema by its name."""
    return {"$ref": _REF.format(name=name)}


def _older(schema: Any) -> Any:
    """JSON Schema 2020-12 as OpenAPI 3.0 writes it."""
    if isinstance(schema, list):
        return [_older(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: _older(value) for key, value in schema.items() if key != "propertyNames"}
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in told:
            told[bound.lower()] = told[f"exclusive{bound}"]
            told[f"exclusive{bound}"] = True
    if "const" in told:
        told["enum"] = [told.pop("const")]
    if isinstance(text := told.get("description"), str):
        told["description"] = text.partition("Attributes:")[0].strip()
    if {"type": "null"} in told.get("anyOf", ()):
        told = _nullable(told)
    return told


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kept = [one for one in schema.pop("anyOf") if one != {"type": "null"}]
    is_one = len(kept) == 1 and "$ref" not in kept[0]
    return {**schema, **(kept[0] if is_one else {"anyOf": kept}), "nullable": True}


def _any_value(_: type) -> dict[str, Any]:
    return {"description": "Any JSON value"}
