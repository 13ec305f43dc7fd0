"""Every route that names a patient's data, tried by the wrong team: the answer is that for an unknown id.

What a name in a path stands for is listed here; a name that is not listed fails the test, so that no route
can be forgotten.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, func, select

from service import pictures
from service.db import reading, session_on
from service.models import (
    AuditEvent,
    BreakGlass,
    Enrollment,
    Escalation,
    EscalationEvent,
    OutboundMessage,
    Patient,
    PlanItem,
    Reply,
)
from service.runtime import Runtime
from tests.api_client import bearer, client_of, token_for
from tests.care_teams import TwoTeams, put_in, two_teams
from tests.clinic import BEN, rows, text, the_escalation
from tests.test_routes import CARE, DECIDE, MEMBER, TABLE, TOKEN
from tests.web_clinic import SignedIn, browser_of

# What stands in a path: data of a patient, and what is none.
OF_PATIENTS = {"patient_id", "enrollment_id", "escalation_id", "reply_id", "message_id", "use_id"}
OF_PROGRAMS = {"enrollments": "enrollment_id", "patients": "patient_id", "escalations": "escalation_id"}
NO_PATIENT = {
    "path:path", "token", "browser", "name", "shift_id", "member_id", "link_id", "team_id", "place", "phone",
}  # fmt: skip
UNKNOWN = "0" * 32
ACT = ("nurse", "clinician", "admin")
MAY = {MEMBER: ("viewer", *ACT), CARE: ACT, DECIDE: ("clinician", "admin")}
# Fields with which each act would be done if the row were in sight.
FIELDS: dict[str, dict[str, str]] = {
    "contact": {"method": "phone"},
    "resolve": {"disposition": "sent_to_ed", "note": "went there"},
    "note": {"note": "seen"},
    "text": {"body": "How are you?", "key": "k1"},
    "pause": {"reason": "in hospital"},
    "move": {"procedure_at": "2027-02-27T09:00"},
    "team": {"team": "0" * 31 + "1"},
}
BODIES: dict[str, dict[str, Any]] = {
    "contact": {"method": "phone"},
    "resolve": {"disposition": "sent_to_ed", "note": "went there"},
    "messages": {"body": "How are you?"},
    "PATCH": {"follow_up_on": "2027-03-20"},
}


@dataclass(frozen=True)
class Try:
    """One route with a name in its path that stands for a patient's data."""

    method: str
    path: str
    name: str
    is_program: bool

    def at(self, row_id: str) -> str:
        return re.sub(r"\{(id|\w+_id)\}", row_id, self.path).replace("{place}", "0")


def tries() -> list[Try]:
    """Every such route of the table. A name nobody has classified is a fault."""
    found, unknown = [], set()
    for line, may in TABLE.items():
        method, path = line.split(" ", 1)
        for name in re.findall(r"\{([\w:]+)\}", path):
            if name == "id" and may == TOKEN:
                found.append(Try(method, path, OF_PROGRAMS[path.split("/")[3]], True))
            elif name in OF_PATIENTS:
                found.append(Try(method, path, name, False))
            elif name not in NO_PATIENT:
                unknown.add(name)
    assert unknown == set(), "say in this file whether these stand for data of a patient"
    return found


def hidden_rows(runtime: Runtime) -> tuple[TwoTeams, dict[str, str]]:
    """A clinic in which the other team has one of everything, and the ids of it."""
    clinic = two_teams(runtime)
    media = [{"url": "", "type": "image/jpeg"}]
    text(runtime, BEN, "my left foot is numb", media=media)
    row = the_escalation(runtime, phone=BEN)
    with session_on(runtime.engine) as session:
        use = BreakGlass(
            member_id=clinic.kim.id, patient_id=clinic.ben.patient_id, reason="an emergency at our desk",
            opened_at=runtime.clock() - timedelta(hours=9), until=runtime.clock() - timedelta(hours=5),
        )  # fmt: skip
        session.add(use)
        session.commit()
        return clinic, {
            "patient_id": clinic.ben.patient_id,
            "enrollment_id": clinic.ben.id,
            "escalation_id": row.id,
            "reply_id": str(row.reply_id),
            "message_id": session.exec(
                select(OutboundMessage.id).where(OutboundMessage.patient_id == clinic.ben.patient_id)
            ).first(),
            "use_id": use.id,
        }


def plain(answer: Any, row_id: str) -> tuple[int, str, dict[str, str]]:
    """An answer without what differs by itself: the id asked for, nonces, the time of the answer."""
    body = answer.text.replace(row_id, "ID")
    body = re.sub(r'nonce="[^"]+"|data-now="[^"]+"', "", body)
    passing = ("content-security-policy", "date")
    headers = {name: value for name, value in answer.headers.items() if name not in passing}
    return answer.status_code, body, headers


def counts(runtime: Runtime) -> dict[str, Any]:
    """What acts and looks would change."""
    with reading(runtime.engine) as session:
        found: dict[str, Any] = {
            model.__name__: session.exec(select(func.count()).select_from(model)).one()
            for model in (EscalationEvent, OutboundMessage, AuditEvent, BreakGlass, Patient)
        }
        found["versions"] = session.exec(select(func.sum(Escalation.version))).one()
        found["states"] = sorted(session.exec(select(Enrollment.status)).all())
        found["plan"] = sorted(session.exec(select(PlanItem.due_at)).all())
        found["teams"] = sorted(session.exec(select(Patient.team_id)).all())
    return found


def ask(who: SignedIn, one: Try, row_id: str) -> Any:
    if one.method == "GET":
        return who.get(one.at(row_id))
    return who.post(one.at(row_id), **FIELDS.get(one.path.rsplit("/", 1)[1], {}))


def test_every_route_with_a_patients_data_in_its_path_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    found = tries()
    pages, programs = [one for one in found if not one.is_program], [one for one in found if one.is_program]
    with capsys.disabled():
        print(f" [{len(pages)} pages and {len(programs)} of the API by the wrong team] ", end="")  # noqa: T201
    assert len(pages) >= 28 and len(programs) >= 10
    assert {one.name for one in found} == OF_PATIENTS


@pytest.mark.parametrize("role", ["viewer", "nurse", "clinician", "admin"])
def test_the_wrong_team_gets_what_an_unknown_id_gets(runtime: Runtime, role: str) -> None:
    _clinic, ids = hidden_rows(runtime)
    who = browser_of(runtime, "Wrong Team", role=role)
    assert rows(runtime, Reply, Reply.id == ids["reply_id"])[0].media
    tried = 0
    for one in tries():
        if one.is_program:
            continue
        row_id, before = ids[one.name], counts(runtime)
        hidden, unknown = ask(who, one, row_id), ask(who, one, UNKNOWN)
        assert plain(hidden, row_id) == plain(unknown, UNKNOWN), one.path
        expected = 404 if role in MAY[TABLE[f"{one.method} {one.path}"]] else 403
        assert hidden.status_code == expected, (one.path, hidden.status_code)
        assert counts(runtime) == before, f"{one.method} {one.path} left something behind"
        tried += 1
    assert tried >= 28


def test_the_right_team_gets_them(runtime: Runtime) -> None:
    """The rows are there: without this the test above could pass on misspelt paths."""
    clinic, ids = hidden_rows(runtime)
    in_order = sorted(tries(), key=lambda one: one.path.endswith("/team"))
    for number, one in enumerate(in_order):
        if one.is_program or "/pictures/" in one.path:
            continue
        who = browser_of(runtime, f"Right{number} Team", role="admin")
        put_in(runtime, who.member, clinic.other.id)
        assert ask(who, one, ids[one.name]).status_code != 404, one.path
    with reading(runtime.engine) as session:
        from service.sight import sight_of_member

        lees = sight_of_member(session, clinic.lee, runtime.clock())
        kims = sight_of_member(session, clinic.kim, runtime.clock())
        # The last act of the round above moved Ben to the team that catches all.
        seen = [pictures.find_reply(session, sight, ids["reply_id"], 0) for sight in (kims, lees)]
    assert [found is not None for found in seen] == [True, False]


def test_a_program_of_the_wrong_team_gets_what_an_unknown_id_gets(runtime: Runtime) -> None:
    clinic, ids = hidden_rows(runtime)
    client = client_of(runtime)
    wrong = bearer(token_for(runtime, "wrong", teams=["0" * 31 + "1"]))
    right = bearer(token_for(runtime, "right", teams=[clinic.other.id]))
    tried = 0
    for one in tries():
        if not one.is_program:
            continue
        row_id, before = ids[one.name], counts(runtime)
        last = one.path.rsplit("/", 1)[1]
        body = BODIES.get("PATCH" if one.method == "PATCH" else last, {}) if one.method != "GET" else None
        answers = [
            client.request(one.method, one.at(row), headers=wrong, json=body) for row in (row_id, UNKNOWN)
        ]
        assert plain(answers[0], row_id) == plain(answers[1], UNKNOWN), one.path
        assert answers[0].status_code == 404, (one.path, answers[0].text)
        assert counts(runtime) == before, one.path
        allowed = client.request(one.method, one.at(row_id), headers=right, json=body)
        assert allowed.status_code not in (403, 404), (one.path, allowed.text)
        tried += 1
    assert tried >= 10


def test_lists_and_figures_of_a_program_hold_its_teams_only(runtime: Runtime) -> None:
    clinic, ids = hidden_rows(runtime)
    client = client_of(runtime)
    wrong = bearer(token_for(runtime, "wrong", teams=["0" * 31 + "1"]))
    right = bearer(token_for(runtime, "right", teams=[clinic.other.id]))
    listed = client.get("/api/v1/escalations", headers=wrong).json()["items"]
    assert listed == []
    assert [one["id"] for one in client.get("/api/v1/escalations", headers=right).json()["items"]] == [
        ids["escalation_id"]
    ]
    trail = client.get("/api/v1/audit?limit=1000", headers=wrong)
    assert trail.status_code == 200
    for row_id in ids.values():
        assert row_id not in trail.text
    assert clinic.ana.id in trail.text
    figures = [client.get("/api/v1/scoreboard", headers=token).json() for token in (wrong, right)]
    assert [board["replies"] for board in figures] == [0, 1]


def test_a_member_of_another_team_is_not_named_as_who_acted(runtime: Runtime) -> None:
    clinic, ids = hidden_rows(runtime)
    client = client_of(runtime)
    whole = bearer(token_for(runtime, "whole"))
    path = f"/api/v1/escalations/{ids['escalation_id']}/acknowledge"
    refused = client.post(path, headers=whole, json={"member": clinic.kim.email})
    assert refused.status_code == 422 and refused.json()["errors"] == {"member": ["works in another team"]}
    assert client.post(path, headers=whole, json={"member": clinic.lee.email}).status_code == 200


def test_live_topics_presence_and_typing_tell_nothing_of_another_team(runtime: Runtime) -> None:
    _clinic, ids = hidden_rows(runtime)
    who = browser_of(runtime, "Wrong Team")
    for kind, name in (("patient", "patient_id"), ("escalation", "escalation_id")):
        row_id = ids[name]
        hidden, unknown = (who.get(f"/live?topic={kind}:{one}") for one in (row_id, UNKNOWN))
        assert plain(hidden, row_id) == plain(unknown, UNKNOWN) and hidden.status_code == 404
    from service.models import Mark

    for about in (ids["escalation_id"], UNKNOWN):
        assert who.post("/segments", body="hello", about=about).status_code == 200
    assert rows(runtime, Mark, col(Mark.name).startswith("looking:")) == []


def test_the_counts_a_locked_page_hears_are_those_of_its_teams(runtime: Runtime) -> None:
    from service.sight import EVERYTHING, sight_of_member
    from service.web.live import alarm_counts, version_of

    clinic, ids = hidden_rows(runtime)
    with reading(runtime.engine) as session:
        now = runtime.clock()
        kims, lees = (sight_of_member(session, who, now) for who in (clinic.kim, clinic.lee))
        assert alarm_counts(session, kims)["alarming"] == 0
        assert alarm_counts(session, lees) == alarm_counts(session, EVERYTHING)
        assert alarm_counts(session, lees)["alarming"] == 1
        topics = [f"escalation:{ids['escalation_id']}", f"patient:{ids['patient_id']}"]
        assert [version_of(session, kims, topic) for topic in topics] == ["gone", "gone"]
        assert version_of(session, kims, "queue") != version_of(session, lees, "queue")
