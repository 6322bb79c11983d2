"""The OpenAPI document against the server that it describes, by schemathesis."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.live import Live

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import checks  # noqa: E402
from schemathesis.specs.openapi import checks as conformance  # noqa: E402

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

CHECKS = (
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_schema_conformance,
)
EXAMPLES = 8


@pytest.fixture(scope="module")
def schema(server: Live) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def operations(schema: Any) -> list[Any]:
    return [result.ok() for result in schema.get_all_operations()]


def test_every_operation_answers_as_the_document_says(schema: Any) -> None:
    found = operations(schema)
    assert len(found) > 60
    skipped = ("/v2/models/slow/",)  # takes the seconds it is told
    for operation in found:
        if not operation.path.startswith(skipped):
            check_operation(operation)


def check_operation(operation: Any) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, timeout=20)

    run()


def test_the_examples_of_the_document_work(server: Live) -> None:
    document = server.ask("GET", "/openapi.json").json()
    tried = 0
    for path, item in document["paths"].items():
        content = item.get("post", {}).get("requestBody", {}).get("content", {})
        example = content.get("application/json", {}).get("example")
        if example is not None:
            assert server.ask("POST", path, example).status == 200, path
            tried += 1
    assert tried > 20


def test_the_page_can_show_the_document(schema: Any) -> None:
    """The Swagger UI that is shipped reads OpenAPI 3.0 and shows nothing of 3.1."""
    assert schema.raw_schema["openapi"].startswith("3.0.")
