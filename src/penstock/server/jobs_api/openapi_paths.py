"""The jobs API in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from penstock.server.control_api.actor import ACTOR_HEADER
from penstock.server.jobs_api.answers import JobAnswer, JobList, JobResult
from penstock.server.jobs_api.job_routes import KEY_HEADER
from penstock.server.openapi_schemas import ref, schemas_of

_ERRORS = {
    "400": "The request is malformed; the text names the field, what was expected and what came",
    "404": "No such job, or no such model",
    "409": "Not in this state: it has not ended, it has ended otherwise, or the id is taken",
    "413": "The body is too large",
    "415": "The upload is packed in a way that a job cannot unpack",
    "429": "Too many jobs wait; try again after Retry-After",
    "500": "Internal error",
    "501": "This server takes no jobs: its setting jobs.folder is empty",
    "503": "The queue cannot be reached, or there is no room",
    "504": "The upload does not come",
}
_BEGUN = {"202": "It waits for its turn", "200": "It is there already"}
_JOB_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_ACTOR = {
    "name": ACTOR_HEADER,
    "in": "header",
    "required": False,
    "description": "Who asks",
    "schema": {"type": "string", "pattern": "^[a-zA-Z0-9@._-]*$"},
}
_KEY = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "The job's id: the same request once more is answered with the same job",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
}
_TEXT_OR_NUMBER = [{"type": "string"}, {"type": "integer"}]
_JOB = {
    "type": "object",
    "required": ["model", "input", "output"],
    "description": "Fields of a batch job, as of its file",
    "properties": {
        "id": {"type": "string", "description": "As the header Idempotency-Key"},
        "name": {"type": "string"},
        "model": {
            "oneOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "version": {"anyOf": _TEXT_OR_NUMBER},
                    },
                },
            ]
        },
        "input": {"type": "object", "required": ["format", "path"]},
        "output": {"type": "object", "required": ["format", "path"]},
        "columns": {"type": "object"},
        "keep": {"type": "array", "items": {"type": "string"}},
        "rename": {"type": "object", "additionalProperties": {"type": "string"}},
        "binary": {"type": "array", "items": {"type": "string"}},
        "batch_size": {"anyOf": _TEXT_OR_NUMBER},
        "split_rows": {"type": "integer", "minimum": 1},
        "memory": {"anyOf": _TEXT_OR_NUMBER},
        "on_error": {"type": "object"},
        "workers": {"type": "integer", "minimum": 1},
    },
}


def job_schemas() -> dict[str, Any]:
    """The schemas of what is told, by name."""
    return schemas_of((JobAnswer, JobList, JobResult))


def job_paths() -> dict[str, Any]:
    """Jobs by reference, and what is asked of every job. Uploads have no schema: see docs."""
    one = "/v2/jobs/{id}"
    job = ref("JobAnswer")
    begun = {code: _answer(text, job) for code, text in _BEGUN.items()}
    return {
        "/v2/jobs": {
            "get": _operation("Every job, the youngest first", ref("JobList")),
            "post": {
                **_operation("Begin a batch job", job),
                "parameters": [_ACTOR, _KEY],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": _JOB}},
                },
                "responses": begun | _errors(),
            },
        },
        one: {
            "parameters": [_JOB_ID],
            "get": _operation("How far a job is", job),
            "delete": _operation("Forget a job that has ended", {"type": "object"}),
        },
        f"{one}/cancel": {
            "parameters": [_JOB_ID],
            "post": {**_operation("End a job", job), "parameters": [_ACTOR]},
        },
        f"{one}/result": {
            "parameters": [_JOB_ID],
            "get": _operation("What a job has done", ref("JobResult")),
        },
    }


def _operation(summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": ["jobs"],
        "summary": summary,
        "responses": {"200": _answer("Done", schema), **_errors()},
    }


def _errors() -> dict[str, Any]:
    return {code: _answer(text, ref("Error")) for code, text in _ERRORS.items()}


def _answer(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
