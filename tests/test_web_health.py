"""Alive, ready, figures: each condition of the contract, broken one at a time."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import col, update

from jobs.scheduler import JOBS, tick
from service import marks, outbox
from service.db import make_engine, session_on
from service.models import OutboundMessage
from service.runtime import Runtime, make_runtime
from tests.api_client import bearer, client_of, enroll, problem, signed_client, token_for
from tests.conftest import SetClock, settings_for
from tests.test_api_messages import text_from

KINDS = {"safety": 0, "page": 0, "notice": 1, "member": 1, "check_in": 5, "reminder": 5}


def ticked(runtime: Runtime, at: datetime) -> None:
    with session_on(runtime.engine) as session:
        marks.set_mark(session, "tick:send_due", at)
        session.commit()


def queued(runtime: Runtime, kind: str, due_at: datetime, count: int = 1, **values: object) -> None:
    with session_on(runtime.engine) as session:
        for number in range(count):
            row = outbox.queue(
                session, now=due_at, key=f"{kind} {due_at} {number}", kind=kind, to_phone="+13125550142",
                body="x", due_at=due_at, expires_at=due_at + timedelta(days=1), priority=KINDS[kind],
            )  # fmt: skip
            for name, value in values.items():
                setattr(row, name, value)
            session.add(row)
        session.commit()


def reasons(runtime: Runtime) -> list[str]:
    answer = client_of(runtime).get("/readyz")
    body = answer.json()
    assert answer.status_code == (200 if body["ready"] else 503)
    assert body["ready"] is (not body["reasons"])
    return list(body["reasons"])


def test_alive_whatever_else_is_broken(runtime: Runtime) -> None:
    away = replace(runtime, engine=make_engine("postgresql+psycopg://app@127.0.0.1:1/none"))
    client = client_of(away)
    assert client.get("/healthz").status_code == client.head("/healthz").status_code == 200
    answer = client.get("/readyz", headers={"Host": "10.2.3.4:8000"})  # probes know only an address
    assert answer.status_code == 503 and "cannot be reached" in answer.json()["reasons"][0]
    assert "127.0.0.1" not in answer.text


def test_ready_once_a_job_ticked_within_a_minute(runtime: Runtime, clock: SetClock) -> None:
    assert "No job has run yet" in reasons(runtime)[0]
    ticked(runtime, clock())
    assert reasons(runtime) == []
    clock.advance(seconds=60)
    assert reasons(runtime) == []
    clock.advance(seconds=1)
    assert "61 s ago" in reasons(runtime)[0]


def test_the_real_jobs_make_it_ready(runtime: Runtime, clock: SetClock) -> None:
    enroll(signed_client(runtime), clock())
    for job in JOBS:
        assert tick(runtime, job, {}) is not None, job.name
    assert reasons(runtime) == []


@pytest.mark.parametrize("kind", ["safety", "page"])
@pytest.mark.parametrize("status", ["planned", "claimed"])
def test_a_safety_text_or_page_may_wait_sixty_seconds(
    runtime: Runtime, clock: SetClock, kind: str, status: str
) -> None:
    queued(runtime, kind, clock(), status=status)
    clock.advance(seconds=60)
    ticked(runtime, clock())
    assert reasons(runtime) == []
    clock.advance(seconds=1)
    assert reasons(runtime) == ["A safety answer or page has waited 61 s to be sent."]


@pytest.mark.parametrize("kind", ["check_in", "notice", "member", "reminder"])
def test_other_texts_may_be_fifteen_minutes_late(runtime: Runtime, clock: SetClock, kind: str) -> None:
    queued(runtime, kind, clock())
    clock.advance(minutes=15)
    ticked(runtime, clock())
    assert reasons(runtime) == []
    clock.advance(seconds=1)
    assert "901 s later" in reasons(runtime)[0]


def test_texts_not_due_and_texts_done_do_not_count(runtime: Runtime, clock: SetClock) -> None:
    queued(runtime, "check_in", clock() + timedelta(days=1))
    for status in ("accepted", "delivered", "failed", "expired", "cancelled", "unknown"):
        queued(runtime, "safety", clock() - timedelta(hours=1), status=status)
    ticked(runtime, clock())
    assert reasons(runtime) == []


def test_what_the_pace_explains_is_not_late(database_url: str, clock: SetClock) -> None:
    runtime = make_runtime(settings_for(database_url, pace="1"), clock=clock)
    due = clock()
    queued(runtime, "check_in", due, count=1500)
    with session_on(runtime.engine) as session:  # 1,200 were sent, one a second; 300 still wait
        keys = [f"check_in {due} {number}" for number in range(1200)]
        session.exec(
            update(OutboundMessage)
            .where(col(OutboundMessage.key).in_(keys))
            .values(status="accepted", dispatched_at=due + timedelta(minutes=10))
        )
        session.commit()
    clock.advance(seconds=1200 + 900)
    ticked(runtime, clock())
    assert reasons(runtime) == []
    clock.advance(seconds=30)  # nothing moved for 15 min and 30 s beyond those 1,200
    ticked(runtime, clock())
    assert "930 s later" in reasons(runtime)[0]
    runtime.close()


def test_an_older_or_newer_schema_is_not_ready(runtime: Runtime, clock: SetClock) -> None:
    ticked(runtime, clock())
    client = client_of(runtime)
    with runtime.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = client.get("/readyz")
    assert answer.status_code == 503 and "revision 0000" in answer.json()["reasons"][0]


def test_figures_need_the_scope_metrics_beyond_loopback(runtime: Runtime) -> None:
    runtime.bound_host = "0.0.0.0"
    client = client_of(runtime)
    problem(client.get("/metrics"), 401)
    problem(client.get("/metrics", headers=bearer("wrong")), 401)
    blind = token_for(runtime, "no metrics", "audit", "patients:read")
    problem(client.get("/metrics", headers=bearer(blind)), 403)
    scraper = token_for(runtime, "prometheus", "metrics")
    answer = client.get("/metrics", headers=bearer(scraper))
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    problem(client.get("/api/v1/escalations", headers=bearer(scraper)), 403)


def test_figures_are_open_on_loopback_but_not_through_a_proxy_there(runtime: Runtime) -> None:
    client = client_of(runtime)
    for host in ("127.0.0.1", "::1", "localhost"):
        runtime.bound_host = host
        assert client.get("/metrics").status_code == 200
        problem(client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}), 401)
    for host in ("", "0.0.0.0", "::", "10.0.0.5", "example.org"):
        runtime.bound_host = host
        problem(client.get("/metrics"), 401)


def test_figures_say_what_waits_and_name_nobody(runtime: Runtime, clock: SetClock) -> None:
    runtime.bound_host = "127.0.0.1"
    client = signed_client(runtime)
    enroll(client, clock(), patient__name="Zebulon Marked", patient__phone="+13125550142")
    text_from(runtime, "my legs are numb and I can't move them")
    for job in JOBS:
        if job.name == "seal_audit":
            tick(runtime, job, {})
    clock.advance(seconds=90)
    client.get(f"/api/v1/enrollments/{'0' * 32}")
    found = client.get("/metrics").text
    for line in (
        'aftercare_escalations{status="open",urgency="emergency"} 1.0',
        'aftercare_enrollments{status="active"} 1.0',
        'aftercare_oldest_open_seconds{urgency="emergency"} 90.0',
        'aftercare_oldest_due_seconds{lane="urgent"} 90.0',
        'aftercare_tick_age_seconds{job="seal_audit"} 90.0',
        "aftercare_replies_untriaged 0.0",
        "aftercare_audit_unsealed 0.0",
        'aftercare_http_requests_total{method="GET",route="/api/v1/enrollments/{id}",status="404"} 1.0',
    ):
        assert line in found, f"{line}\n{found}"
    for secret in ("Zebulon", "Marked", "5550142", "numb", "0" * 32):
        assert secret not in found
