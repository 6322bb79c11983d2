"""The OpenAPI document of the models that are being served, made from their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.core.dtype import DType
from penstock.core.signature import TensorSpec
from penstock.scheduler.model_info import ModelInfo
from penstock.server.example import example_request

_ERRORS = {
    "400": "The request is malformed or does not fit the model",
    "404": "No such model or version",
    "413": "The body is too large",
    "429": "The model's queue is full; try again after Retry-After",
    "500": "The model failed",
    "501": "A part of the protocol that is not offered",
    "503": "Not ready",
    "504": "The deadline passed",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_ERROR_REF = {"$ref": "#/components/schemas/Error"}


def openapi_document(models: Sequence[ModelInfo], version: str) -> dict[str, Any]:
    """OpenAPI 3.0: what the page at ``/docs`` can show.

    Args:
        models: every version that serves.
        version: the server's version.
    """
    from penstock.server.control_api.openapi_paths import control_paths, control_schemas
    from penstock.server.jobs_api.openapi_paths import job_paths, job_schemas

    paths: dict[str, Any] = {}
    newest = {info.id.name: info for info in models}
    for info in newest.values():
        paths |= _model_paths(info, f"/v2/models/{info.id.name}", "")
    for info in models:
        base = f"/v2/models/{info.id.name}/versions/{info.id.version}"
        paths |= _model_paths(info, base, f" version {info.id.version}")
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Penstock",
            "version": version,
            "description": "Open Inference Protocol (V2). One section for each model served.",
        },
        "paths": paths | _server_paths() | control_paths() | job_paths(),
        "components": {"schemas": {"Error": _ERROR} | control_schemas() | job_schemas()},
    }


def _model_paths(info: ModelInfo, base: str, which: str) -> dict[str, Any]:
    name = info.id.name
    tag = {"tags": [name]}
    return {
        f"{base}/infer": {"post": tag | _infer(info, which)},
        base: {"get": tag | _get(f"Metadata of {name}{which}", "404", "503")},
        f"{base}/ready": {"get": tag | _get(f"Whether {name}{which} is ready", "503")},
        f"{base}/config": {"get": tag | _get(f"Configuration of {name}{which}", "404", "503")},
        f"{base}/stats": {"get": tag | _get(f"Statistics of {name}{which}", "404", "503")},
    }


def _infer(info: ModelInfo, which: str) -> dict[str, Any]:
    example = example_request(info.signature)
    content: dict[str, Any] = {"schema": _request_schema(info)}
    if example is not None:
        content["example"] = example
    return {
        "summary": f"Predict with {info.id.name}{which}",
        "description": info.manifest.description,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {
                "description": "The prediction",
                "content": {"application/json": {"schema": _response_schema(info)}},
            },
            **_errors(*_ERRORS),
        },
    }


def _request_schema(info: ModelInfo) -> dict[str, Any]:
    specs = info.signature.inputs
    required = sum(not spec.optional for spec in specs)
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {
                "type": "array",
                "minItems": max(1, required),
                "maxItems": len(specs),
                "items": {"anyOf": [_tensor_schema(spec) for spec in specs]},
            },
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": [spec.name for spec in info.signature.outputs]},
                        "parameters": {"type": "object"},
                    },
                },
            },
        },
    }


def _response_schema(info: ModelInfo) -> dict[str, Any]:
    specs = info.signature.outputs
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "outputs": {
                "type": "array",
                "items": {"anyOf": [_tensor_schema(spec) for spec in specs]},
            },
        },
    }


def _tensor_schema(spec: TensorSpec) -> dict[str, Any]:
    dims = " x ".join("any" if dim < 0 else str(dim) for dim in spec.shape) or "scalar"
    return {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "description": spec.description or f"{spec.dtype}, {dims}",
        "properties": {
            "name": {"enum": [spec.name]},
            "datatype": {"enum": [str(spec.dtype)]},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": len(spec.shape),
                "maxItems": len(spec.shape),
            },
            "data": {"type": "array", "items": _element_schema(spec.dtype)},
            "parameters": {"type": "object"},
        },
    }


def _element_schema(dtype: DType) -> dict[str, Any]:
    if dtype is DType.BYTES:
        return {"type": "string"}
    if dtype is DType.BOOL:
        return {"type": "boolean"}
    return {"type": "integer" if dtype.is_integer else "number"}


def _server_paths() -> dict[str, Any]:
    tag = {"tags": ["server"]}
    return {
        "/livez": {"get": tag | _get("Whether the process lives")},
        "/readyz": {"get": tag | _get("Whether all models that should serve do", "503")},
        "/metrics": {"get": tag | _get("Prometheus metrics", of="text/plain")},
        "/v2": {"get": tag | _get("Server metadata")},
        "/v2/health/live": {"get": tag | _get("Whether the server lives")},
        "/v2/health/ready": {"get": tag | _get("Whether the server is ready", "503")},
        "/v2/models": {"get": tag | _get("Names of the models that are ready")},
        "/v2/models/stats": {"get": tag | _get("Statistics of all models")},
        "/v2/repository/index": {"post": tag | _get("Every model in the repository", "400")},
    }


def _get(summary: str, *errors: str, of: str = "application/json") -> dict[str, Any]:
    content = {of: {"schema": {} if of == "application/json" else {"type": "string"}}}
    return {
        "summary": summary,
        "responses": {"200": {"description": "Done", "content": content}, **_errors(*errors)},
    }


def _errors(*codes: str) -> dict[str, Any]:
    return {
        code: {
            "description": _ERRORS[code],
            "content": {"application/json": {"schema": _ERROR_REF}},
        }
        for code in codes
    }
