"""The control API in the OpenAPI document, its schemas made of the types that are read and told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.rollout.experiment.experiments import OutcomesTold
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.rollout.spec import RolloutSpec
from penstock.router.route import Route
from penstock.server.control_api.actor import ACTOR_HEADER, MAX_WHY_CHARS
from penstock.server.control_api.answers import Disagreements, History, Rollouts, Routes
from penstock.server.experiment_api import ExperimentAnswer
from penstock.server.openapi_schemas import ref, schemas_of

_TYPES = (
    Routes,
    Rollouts,
    History,
    Disagreements,
    ExperimentAnswer,
    OutcomesTold,
    RolloutSpec,
    ExperimentSpec,
    Route,
)
_ERRORS = {
    "400": "The request is malformed; the text names the field, what was expected and what came",
    "404": "No such model, or nothing of it",
    "409": "Not in this state: a rollout is under way, or has ended",
    "413": "The body is too large",
    "500": "Internal error",
    "503": "The control store, or a serving process, cannot be reached",
}
_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
_ACTOR = {
    "name": ACTOR_HEADER,
    "in": "header",
    "required": False,
    "description": "Who asks, for the history",
    "schema": {"type": "string", "pattern": "^[a-zA-Z0-9@._-]*$"},
}
_WHY = {"type": "string", "maxLength": MAX_WHY_CHARS, "description": "For what reason"}
_OUTCOME = {
    "type": "object",
    "required": ["prediction_id", "metric", "value"],
    "properties": {
        "prediction_id": {"type": "string", "minLength": 1},
        "metric": {"type": "string", "minLength": 1},
        "value": {"type": "number"},
        "at_ms": {"type": "integer", "description": "Milliseconds since 1970; without: now"},
    },
}
_OUTCOMES = {
    "type": "object",
    "required": ["outcomes"],
    "properties": {"outcomes": {"type": "array", "items": _OUTCOME}},
}


def control_schemas() -> dict[str, Any]:
    """The schemas of what is read and told, by name."""
    return schemas_of(_TYPES)


def control_paths() -> dict[str, Any]:
    """Routes, rollouts and experiments."""
    route, rollout = ref("RouteAnswer"), ref("RolloutAnswer")
    one = "/v2/rollouts/{model}"
    return {
        "/v2/routes": {"get": _operation("routes", "Every model that has a route", ref("Routes"))},
        "/v2/routes/{model}": {
            "parameters": [_MODEL],
            "get": _operation("routes", "Who answers the requests of a model", route),
            "put": _change("routes", "Replace the route of a model", route, _with_why("Route")),
            "delete": _change(
                "routes",
                "Clear the route: the newest version answers",
                route,
                _why(),
                is_needed=False,
            ),
        },
        "/v2/rollouts": {
            "get": _operation("rollouts", "The last rollout of every model", ref("Rollouts")),
            "post": _change("rollouts", "Begin a rollout", rollout, ref("RolloutSpec")),
        },
        one: {
            "parameters": [_MODEL],
            "get": _operation("rollouts", "Where the last rollout of a model stands", rollout),
        },
        f"{one}/history": {
            "parameters": [_MODEL],
            "get": _operation(
                "rollouts",
                "Who changed what, when and why",
                ref("History"),
            ),
        },
        f"{one}/disagreements": {
            "parameters": [_MODEL],
            "get": _operation("rollouts", "Where the shadow differs most", ref("Disagreements")),
        },
        **{
            f"{one}/{action}": {
                "parameters": [_MODEL],
                "post": _change("rollouts", summary, rollout, body, is_needed=False),
            }
            for action, summary, body in (
                ("pause", "Stay where it is", _why()),
                ("resume", "Go on", _why()),
                ("promote", "Move on without waiting for evidence", _why(promotes=True)),
                ("abort", "Roll back at once", _why()),
            )
        },
        **_experiment_paths(),
    }


def _experiment_paths() -> dict[str, Any]:
    tag, answer = "experiments", ref("ExperimentAnswer")
    stop = _why()
    stop["properties"]["keep"] = {
        "type": "string",
        "description": "The variant that answers from now on; empty: as before the experiment",
    }
    return {
        "/v2/experiments": {
            "post": _change(tag, "Begin an experiment", answer, ref("ExperimentSpec"))
        },
        "/v2/experiments/{model}": {
            "parameters": [_MODEL],
            "get": _operation(tag, "Where the last experiment of a model stands", answer),
        },
        "/v2/experiments/{model}/stop": {
            "parameters": [_MODEL],
            "post": _change(tag, "End an experiment", answer, stop, is_needed=False),
        },
        "/v2/outcomes": {
            "post": _change(tag, "Tell what came of predictions", ref("OutcomesTold"), _OUTCOMES)
        },
    }


def _operation(tag: str, summary: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {
        "tags": [tag],
        "summary": summary,
        "responses": {"200": {"description": "Done", "content": content}, **_errors()},
    }


def _change(
    tag: str,
    summary: str,
    schema: Mapping[str, Any],
    body: Mapping[str, Any],
    *,
    is_needed: bool = True,
) -> dict[str, Any]:
    content = {"application/json": {"schema": body}}
    return {
        **_operation(tag, summary, schema),
        "parameters": [_ACTOR],
        "requestBody": {"required": is_needed, "content": content},
    }


def _errors() -> dict[str, Any]:
    content = {"application/json": {"schema": ref("Error")}}
    return {code: {"description": text, "content": content} for code, text in _ERRORS.items()}


def _why(*, promotes: bool = False) -> dict[str, Any]:
    properties: dict[str, Any] = {"why": _WHY}
    if promotes:
        text = "All requests to the candidate at once, instead of one stage further"
        properties["full"] = {"type": "boolean", "description": text}
        text = "The stage to leave, such as 'canary 5 %'; 409 where it is left already"
        properties["stage"] = {"type": "string", "description": text}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _with_why(name: str) -> dict[str, Any]:
    """A schema of ours with the field ``why`` beside its own."""
    schema = control_schemas()[name]
    return {**schema, "properties": {**schema["properties"], "why": _WHY}}
