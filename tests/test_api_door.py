"""The API's door: the token comes before path, method and body."""

from dataclasses import replace
from datetime import timedelta

from service.db import make_engine, session_on
from service.runtime import Runtime
from service.tokens import SCOPES, revoke_token
from service.web.rates import Rates
from tests.api_client import bearer, client_of, problem, signed_client, token_for
from tests.conftest import SetClock

ROUTES = [
    ("POST", "/api/v1/enrollments", "enrollments:write"),
    ("GET", f"/api/v1/enrollments/{'a' * 32}", "enrollments:read"),
    ("PATCH", f"/api/v1/enrollments/{'a' * 32}", "enrollments:write"),
    ("POST", f"/api/v1/enrollments/{'a' * 32}/withdraw", "enrollments:write"),
    ("GET", f"/api/v1/patients/{'a' * 32}/messages", "patients:read"),
    ("POST", f"/api/v1/patients/{'a' * 32}/messages", "patients:write"),
    ("GET", "/api/v1/escalations", "escalations:read"),
    ("POST", f"/api/v1/escalations/{'a' * 32}/acknowledge", "escalations:write"),
    ("POST", f"/api/v1/escalations/{'a' * 32}/resolve", "escalations:write"),
    ("GET", "/api/v1/audit", "audit"),
]
NOWHERE = [("GET", "/api"), ("GET", "/api/v1"), ("GET", "/api/v1/nothing"), ("DELETE", "/api/v1/enrollments")]


WRONG = ("", "Bearer ", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Bearer " + "x" * 5000, "Bearer caf\xe9")


def test_without_a_valid_token_nobody_learns_whether_a_path_or_body_is_right(runtime: Runtime) -> None:
    client = client_of(runtime)
    for method, path in [route[:2] for route in ROUTES] + NOWHERE:
        for given in WRONG:
            headers = {"Authorization": given.encode("latin-1")} if given else {}
            found = client.request(method, path, headers=headers, content=b"{not json")
            problem(found, 401)
            assert found.headers["www-authenticate"].startswith("Bearer")


def test_a_token_without_the_scope_is_refused_before_its_body_is_read(runtime: Runtime) -> None:
    client = client_of(runtime)
    for number, (method, path, scope) in enumerate(ROUTES):
        token = token_for(runtime, f"all but one {number}", *(other for other in SCOPES if other != scope))
        found = client.request(method, path, headers=bearer(token), content=b"{not json")
        assert scope in problem(found, 403)["detail"]


def test_the_scope_alone_lets_a_program_in(runtime: Runtime) -> None:
    client = client_of(runtime)
    for number, (method, path, scope) in enumerate(ROUTES):
        token = token_for(runtime, f"one scope {number}", scope)
        assert client.request(method, path, headers=bearer(token)).status_code in (200, 404, 422)


def test_with_a_token_unknown_paths_are_404_and_wrong_methods_405(runtime: Runtime) -> None:
    client = signed_client(runtime)
    problem(client.get("/api/v1/nothing"), 404)
    problem(client.get("/api/v2/enrollments"), 404)
    problem(client.get("/api/v1/enrollments/"), 404)
    wrong = client.delete("/api/v1/enrollments")
    problem(wrong, 405)
    assert "POST" in wrong.headers["allow"]


def test_an_expired_token_and_a_revoked_one_are_unknown(runtime: Runtime, clock: SetClock) -> None:
    client = client_of(runtime)
    short = token_for(runtime, "short", expires_at=clock() + timedelta(minutes=5))
    revoked = token_for(runtime, "revoked")
    assert client.get("/api/v1/escalations", headers=bearer(short)).status_code == 200
    assert client.get("/api/v1/escalations", headers=bearer(revoked)).status_code == 200
    clock.advance(minutes=5)
    with session_on(runtime.engine) as session:
        revoke_token(session, now=clock(), name="revoked")
    problem(client.get("/api/v1/escalations", headers=bearer(short)), 401)
    problem(client.get("/api/v1/escalations", headers=bearer(revoked)), 401)


def test_two_authorization_headers_are_none(runtime: Runtime) -> None:
    token = token_for(runtime)
    client = client_of(runtime)
    twice = [("Authorization", "Bearer wrong"), ("Authorization", f"Bearer {token}")]
    problem(client.get("/api/v1/escalations", headers=twice), 401)


def test_the_description_is_public_and_knows_only_the_api(runtime: Runtime) -> None:
    client = client_of(runtime)
    found = client.get("/api/v1/openapi.json")
    assert found.status_code == 200
    paths = found.json()["paths"]
    assert len(paths) >= 9
    assert all(path.startswith("/api/v1/") for path in paths)
    for hidden in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(hidden).status_code == 404
    problem(client.post("/api/v1/openapi.json"), 401)


def test_a_body_over_64_kib_is_refused_with_and_without_a_length(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    body = b'{"protocol": "' + b"x" * 70_000 + b'"}'
    problem(client.post("/api/v1/enrollments", content=body), 413)
    pieces = iter([body[:40_000], body[40_000:]])
    problem(client.post("/api/v1/enrollments", content=pieces), 413)
    problem(client_of(runtime).post("/api/v1/enrollments", content=body), 401)


UNKEEPABLE = (
    b"{not json",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b'{"baseline_pain": NaN}',
    b'{"baseline_pain": Infinity}',
    b'{"baseline_pain": ' + b"9" * 5000 + b"}",
    b"[" * 30_000,
    b'{"a": ' * 5_000 + b"1" + b"}" * 5_000,
    b'{"protocol": "a\\u0000b"}',
    b'{"protocol": "\\ud800"}',
    b'{"\\u0000": 1}',
)


def test_bodies_no_database_could_keep_are_invalid_not_faults(runtime: Runtime) -> None:
    client = signed_client(runtime)
    for content in UNKEEPABLE:
        assert problem(client.post("/api/v1/enrollments", content=content), 422)["errors"]


def test_ids_not_in_our_shape_do_not_exist(runtime: Runtime) -> None:
    client = signed_client(runtime)
    for row in ("x", "a" * 33, "A" * 32, "%00", "1' or '1'='1", "a" * 900, "ü" * 32):
        problem(client.get(f"/api/v1/enrollments/{row}"), 404)
        problem(client.get(f"/api/v1/patients/{row}/messages"), 404)
        problem(client.post(f"/api/v1/escalations/{row}/acknowledge", json={}), 404)


def test_a_limit_outside_1_to_1000_is_named(runtime: Runtime) -> None:
    client = signed_client(runtime)
    for path in ("escalations", "audit"):
        for limit in ("0", "-1", "1001", "9" * 30, "ten", "1.5", ""):
            found = problem(client.get(f"/api/v1/{path}?limit={limit}"), 422)
            assert list(found["errors"]) == ["limit"]


def test_a_cursor_of_somebody_else_is_named(runtime: Runtime) -> None:
    client = signed_client(runtime)
    for path in ("escalations", "audit"):
        for cursor in ("x", "!!", "W10", "WyJhIl0", "A" * 400, "bnVsbA", "%00", "WzEsMiwzXQ"):
            assert "cursor" in problem(client.get(f"/api/v1/{path}?cursor={cursor}"), 422)["errors"]


def test_an_unreachable_database_is_503_with_an_id_and_no_detail(runtime: Runtime) -> None:
    token = token_for(runtime)
    away = replace(runtime, engine=make_engine("postgresql+psycopg://app@127.0.0.1:1/none"))
    client = client_of(away)
    found = client.get("/api/v1/escalations", headers=bearer(token))
    assert "127.0.0.1" not in found.text and len(problem(found, 503)["error_id"]) == 12
    assert found.headers["retry-after"] == "5"


def test_a_program_that_floods_is_told_to_wait_and_others_are_not(runtime: Runtime, clock: SetClock) -> None:
    client = client_of(runtime)
    loud, calm = token_for(runtime, "loud"), token_for(runtime, "calm")
    assert client.get("/api/v1/escalations", headers=bearer(loud)).status_code == 200
    rates: Rates = client.app.state.rates  # type: ignore[attr-defined]
    (loud_id,) = rates.left
    while not rates.wait_for(loud_id, runtime.monotonic()):
        pass
    refused = client.get("/api/v1/escalations", headers=bearer(loud))
    problem(refused, 429)
    assert refused.headers["retry-after"] == "1"
    assert client.get("/api/v1/escalations", headers=bearer(calm)).status_code == 200
    clock.advance(seconds=1)
    assert client.get("/api/v1/escalations", headers=bearer(loud)).status_code == 200
    problem(client.get("/api/v1/escalations", headers=bearer("unknown")), 401)
