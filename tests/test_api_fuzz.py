"""Whatever the description allows, and much that it does not, is answered without a fault of ours."""

import json
from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import create_app
from service.runtime import Runtime
from service.web.api import described
from tests.api_client import bearer, enroll, signed_client, token_for
from tests.conftest import SetClock
from tests.spared import examples
from tests.test_api_escalations import opened

EXAMPLES = examples(12)
MOSTLY = st.sampled_from([True, True, False])
ACTS = ("contact", "resolve", "reopen")
QUIET = {
    "deadline": None,
    "suppress_health_check": list(hypothesis.HealthCheck),
    "database": None,
    "derandomize": True,
    "print_blob": False,
}
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["\0", "%00", "'", '"', "{{7*7}}", "<script>", "\u202e", "../..", "%ff", "-1", "9" * 40]),
)


def test_the_description_bounds_every_number_and_text_that_comes_in() -> None:
    for path, operations in described()["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] != "path":
                    assert is_bounded(parameter["schema"]), (path, method, parameter["name"])
            body = operation.get("requestBody")
            if body:
                schema = body["content"]["application/json"]["schema"]
                assert schema["additionalProperties"] is False, (path, method)


def is_bounded(schema: dict[str, Any]) -> bool:
    kinds = schema.get("anyOf", [schema])
    return all(
        kind.get("type") == "null"
        or "enum" in kind
        or "const" in kind
        or "maxLength" in kind
        or {"minimum", "maximum"} <= set(kind)
        for kind in kinds
    )


def test_every_operation_answers_as_described(
    runtime: Runtime, clock: SetClock, capsys: pytest.CaptureFixture[str]
) -> None:
    client = signed_client(runtime)
    item = enroll(client, clock())
    known = [item["id"], item["patient_id"], opened(runtime, "urgent")]
    headers = bearer(token_for(runtime, "fuzz"))
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", create_app(runtime))
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 14
    statuses: Counter[int] = Counter()

    for operation in operations:
        cases = operation.as_strategy()

        @hypothesis.settings(max_examples=EXAMPLES, **QUIET)
        @hypothesis.given(case=cases, row=st.sampled_from([*known, "0" * 32]), is_known=MOSTLY)
        def attack(case: Any, row: str, is_known: bool) -> None:
            if is_known and "id" in case.path_parameters:
                case.path_parameters["id"] = row
            case.headers = {**(case.headers or {}), **headers}
            statuses[case.call_and_validate(checks=CHECKS).status_code] += 1

        attack()
    with capsys.disabled():
        print(f" [{statuses.total()} requests: {dict(sorted(statuses.items()))}] ", end="")  # noqa: T201
    assert statuses.total() >= EXAMPLES * 5 and {200, 404, 422} <= set(statuses)


def test_hostile_words_in_queries_ids_headers_and_bodies_are_never_a_fault(
    runtime: Runtime, clock: SetClock
) -> None:
    client = signed_client(runtime)
    item = enroll(client, clock())
    row = opened(runtime, "urgent")

    @hypothesis.settings(max_examples=examples(25), **QUIET)
    @hypothesis.given(words=st.lists(HOSTILE, min_size=4, max_size=4), data=st.data())
    def attack(words: list[str], data: Any) -> None:
        one, two, three, four = words
        body = data.draw(
            st.dictionaries(
                st.sampled_from(
                    ["member", "method", "note", "disposition", "reason", "body", "patient", one]
                ),
                st.one_of(HOSTILE, st.none(), st.booleans(), st.integers(), st.lists(HOSTILE), st.floats()),
                max_size=5,
            )
        )
        for answer in (
            client.get("/api/v1/escalations", params={"status": one, "cursor": two, "limit": three}),
            client.get("/api/v1/audit", params={"since": one, "cursor": two, four: three}),
            client.get(f"/api/v1/patients/{item['patient_id']}/messages", params={"cursor": one}),
            *(
                post(client, f"/api/v1/escalations/{row}/{act}", body)
                for act in ("contact", "resolve", "reopen")
            ),
            post(client, f"/api/v1/patients/{item['patient_id']}/messages", body),
            post(client, "/api/v1/enrollments", body),
            client.patch(f"/api/v1/enrollments/{item['id']}", content=encoded(body)),
        ):
            assert answer.status_code < 500, answer.text

    attack()


def post(client: TestClient, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, content=encoded(body))


def encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
