"""Plays a whole conversation from a TOML file: signed webhooks in, the stand-in carrier out, jobs by the
clock.

Time jumps from event to event, so that ninety days take seconds. After every event the auditor looks, and
must find nothing to repair. Unknown keys are refused: a misspelt expectation must not pass unseen.
"""

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from sqlmodel import Session, col, func, select
from starlette.testclient import TestClient

from jobs import (
    complete_enrollments,
    flag_silence,
    page_on_call,
    send_due,
    send_reminders,
    send_urgent,
    triage_backlog,
    watch_escalations,
)
from service import enrollments, escalations, oncall
from service.db import reading, session_on
from service.enrollment_request import NewEnrollment
from service.models import Enrollment, Escalation, Member, OutboundMessage, PlanItem, Reply, StoredAssessment
from service.runtime import Runtime
from service.web import webhooks
from tests.conftest import SetClock
from tests.standin_carrier import StandIn, deliver, inbound_form, sign

FOLDER = Path(__file__).parent / "transcripts"
PUBLIC = "https://aftercare.example.test"
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}
JOBS = (
    triage_backlog.run,
    flag_silence.run,
    send_reminders.run,
    page_on_call.run,
    send_urgent.run,
    send_due.run,
    complete_enrollments.run,
)
FILE_KEYS = {"title", "shows", "clock", "timezone", "patients", "members", "steps"}
STEP_KEYS = {
    "after", "until", "say", "by", "media", "optout", "act", "on", "with", "carrier", "answers", "urgency",
    "concepts", "answer", "escalation", "unresolved", "pages", "plan", "sent", "enrollment", "refused",
    "note",
}  # fmt: skip
PHONES = {
    "patient": "+13125550111",
    "carer": "+13125550112",
    "stranger": "+13125550199",
    "second": "+13125550113",
}


class TranscriptError(AssertionError):
    """What happened is not what the transcript says; names the step."""


def load(path: Path) -> dict[str, Any]:
    """A transcript file; unknown keys are refused."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    unknown = set(data) - FILE_KEYS
    for step in data["steps"]:
        unknown |= set(step) - STEP_KEYS
        if "say" in step and not {"urgency", "answer"} <= set(step):
            raise ValueError(f"{path.name}: the text {step['say']!r} needs an urgency and an answer")
    if unknown:
        raise ValueError(f"{path.name}: unknown keys {', '.join(sorted(unknown))}")
    return data


def duration(text: str) -> timedelta:
    """``3d``, ``2h30m``, ``45s``."""
    parts = re.findall(r"(\d+)([dhms])", text)
    assert "".join(number + unit for number, unit in parts) == text, f"no duration: {text}"
    units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    return sum((timedelta(**{units[unit]: int(number)}) for number, unit in parts), timedelta())


class Play:
    """One transcript on one runtime."""

    def __init__(self, data: dict[str, Any], runtime: Runtime, standin: StandIn, clock: SetClock) -> None:
        self.data, self.runtime, self.standin, self.clock = data, runtime, standin, clock
        self.zone = ZoneInfo(data.get("timezone", "America/Chicago"))
        self.enrollments: list[str] = []
        self.phones = dict(PHONES)
        self.talked: set[str] = set()
        self.seen: dict[str, int] = {}
        self.reported: set[str] = set()
        app = FastAPI()
        app.state.runtime = runtime
        app.include_router(webhooks.router)
        self.web = TestClient(app, base_url=PUBLIC)

    def run(self) -> None:
        self.clock.now = self._local(self.data["clock"])
        for member in self.data.get("members", []):
            self._join(member)
        for patient in self.data.get("patients", []):
            self._enroll(patient)
        self.tick()
        for number, step in enumerate(self.data["steps"], start=1):
            try:
                self._step(step)
            except AssertionError as error:
                at = self.clock().astimezone(self.zone)
                raise TranscriptError(f"step {number} at {at:%Y-%m-%d %H:%M}: {step}\n{error}") from error
        self._nothing_doubled()

    # -- what the file sets up
    # ---------------------------------------------------------------------------------

    def _local(self, text: str) -> datetime:
        return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=self.zone).astimezone(UTC)

    def _join(self, given: dict[str, Any]) -> None:
        name = given["name"]
        phone = given.get("phone", f"+131255501{70 + len(self.phones):02d}")
        self.phones[name] = phone
        with session_on(self.runtime.engine) as session:
            row = Member(
                name=name.title(),
                email=f"{name}@clinic.example",
                role=given.get("role", "nurse"),
                phone=phone,
                created_at=self.clock(),
            )
            session.add(row)
            session.commit()
            if "tier" in given:
                start = self.clock() + duration(given.get("from", "0s"))
                end = given.get("to")
                oncall.add_shift(
                    session,
                    now=self.clock(),
                    actor="test",
                    member_id=row.id,
                    tier=given["tier"],
                    starts_at=start,
                    ends_at=self.clock() + duration(end) if end else None,
                )

    def _enroll(self, given: dict[str, Any]) -> None:
        procedure_at = self._local(given["procedure_at"])
        values = {key: value for key, value in given.items() if key not in ("who", "procedure_at")}
        if "discharged_at" in values:
            values["discharged_at"] = self._local(values["discharged_at"])
        if "levels" in values:
            values["levels"] = tuple(values["levels"])
        usual = {
            "name": "Ana Doe",
            "protocol": "vertebroplasty",
            "language": "en",
            "timezone": str(self.zone),
            "baseline_pain": 7,
            "on_blood_thinner": False,
        }
        request = NewEnrollment(
            **usual | values,
            phone=self.phones[given.get("who", "patient")],
            procedure_at=procedure_at,
            consent_method="written",
            consent_at=procedure_at,
        )
        with session_on(self.runtime.engine) as session:
            row = enrollments.enroll(session, self.runtime, request, now=self.clock(), actor="test")
            self.enrollments.append(row.id)

    # -- time
    # --------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """All jobs at this moment, then the carrier's receipts, then the auditor."""
        now = self.clock()
        for run in JOBS:
            run(self.runtime, now)
        deliver(self.standin, self._post)
        page_on_call.run(self.runtime, now)
        send_urgent.run(self.runtime, now)
        deliver(self.standin, self._post)
        found = watch_escalations.run(self.runtime, now)
        assert not any(found[key] for key in ("unread", "without_escalation", "clocks")), (
            f"the auditor: {found}"
        )

    def go_on(self, until: datetime, answers: dict[str, str]) -> None:
        """Let time pass to ``until``, stopping wherever something is due; ``answers`` by question asked."""
        for _ in range(4000):
            self._answer_questions(answers)
            following = self._next_event()
            if following is None or following >= until:
                break
            self.clock.now = max(following, self.clock() + timedelta(seconds=20))
            self.tick()
        else:
            raise AssertionError("time does not pass: something is due again and again")
        self.clock.now = max(until, self.clock())
        self.tick()

    def _next_event(self) -> datetime | None:
        with reading(self.runtime.engine) as session:
            found = [
                session.exec(statement).one()
                for statement in (
                    select(func.min(OutboundMessage.due_at)).where(OutboundMessage.status == "planned"),
                    select(func.min(PlanItem.silent_at)).where(PlanItem.status == "sent"),
                    select(func.min(PlanItem.remind_at)).where(PlanItem.status == "sent"),
                    select(func.min(Escalation.next_event_at)).where(Escalation.status != "resolved"),
                    select(func.min(Enrollment.ends_at)).where(
                        col(Enrollment.status).in_(("active", "paused"))
                    ),
                )
            ]
        return min((at for at in found if at is not None), default=None)

    def _answer_questions(self, answers: dict[str, str]) -> None:
        if not answers:
            return
        with reading(self.runtime.engine) as session:
            open_items = session.exec(
                select(PlanItem).where(PlanItem.status == "sent", col(PlanItem.asks).in_(answers))
            ).all()
        for item in open_items:
            if item.id not in self.talked:
                self.talked.add(item.id)
                self.clock.advance(minutes=3)
                self._write("patient", answers[str(item.asks)])
                self.tick()

    # -- acts
    # --------------------------------------------------------------------------------------------------

    def _post(self, path: str, form: dict[str, str], headers: dict[str, str] | None = None) -> Any:
        signed = sign(PUBLIC + path, form)
        answer = self.web.post(path, content=urlencode(form), headers=FORM_TYPE | signed)
        assert answer.status_code == 200, f"{path} answered {answer.status_code}"
        return answer

    def _write(self, who: str, body: str, media: int = 0, optout: str | None = None) -> str:
        form = inbound_form(self.standin.write(self.phones[who], body, media=media))
        if optout:
            form["OptOutType"] = optout
        assert self._post("/twilio/inbound", form).text == "<Response/>"
        assert self._post("/twilio/inbound", form).text == "<Response/>"  # carriers repeat themselves
        return form["MessageSid"]

    def _with_code(self, text: str) -> str:
        """``{code}`` is the code of the top escalation, ``{wrong code}`` another."""
        if "{" not in text:
            return text
        code = self._top().code
        wrong = f"{(int(code) + 1) % 10000:04d}"
        return text.replace("{code}", code).replace("{wrong code}", wrong)

    def _step(self, step: dict[str, Any]) -> None:
        answers = step.get("answers", {})
        if "after" in step:
            self.go_on(self.clock() + duration(step["after"]), answers)
        if "until" in step:
            self.go_on(self._local(step["until"]), answers)
        for name, code in step.get("carrier", {}).items():
            (self.standin.later if code < 0 else self.standin.refusals)[self.phones[name]] = abs(code)
        before = self._now_sent()
        sid = None
        if "say" in step:
            who = step.get("by", "patient")
            sid = self._write(who, self._with_code(step["say"]), step.get("media", 0), step.get("optout"))
            self.tick()
        if "act" in step:
            self._act(step)
            self.tick()
        self._check(step, sid, before)

    def _act(self, step: dict[str, Any]) -> None:
        values, actor = dict(step.get("with", {})), f"{step.get('by', 'nora')}@clinic.example"
        act: Callable[..., Any]
        with session_on(self.runtime.engine) as session:
            if step["act"] == "shift":
                return self._shift(session, values, step["by"])
            act = getattr(escalations, step["act"]) if step["act"] != "resume" else enrollments.resume
            given: dict[str, Any] = {"now": self.clock(), "actor": actor}
            if step["act"] == "resume":
                act(session, self.enrollments[0], **given)
                return None
            given |= {"site": self.runtime.site, "escalation_id": self._top(step.get("on")).id}
            if step["act"] in ("note",):
                del given["site"]
            refused = None
            try:
                act(session, **given, **values)
            except escalations.EscalationError as error:
                session.rollback()
                refused = type(error).__name__
            assert refused == step.get("refused"), f"refused: {refused}"
        return None

    def _shift(self, session: Session, values: dict[str, Any], name: str) -> None:
        row = session.exec(select(Member).where(Member.email == f"{name}@clinic.example")).one()
        start = self.clock() + duration(values.get("from", "0s"))
        oncall.add_shift(
            session,
            now=self.clock(),
            actor="test",
            member_id=row.id,
            tier=values["tier"],
            starts_at=start,
            ends_at=self.clock() + duration(values["to"]) if "to" in values else None,
            override=values.get("override", False),
        )

    # -- looks
    # -------------------------------------------------------------------------------------------------

    def _top(self, reason: str | None = None) -> Escalation:
        with reading(self.runtime.engine) as session:
            found = session.exec(
                select(Escalation).order_by(
                    (col(Escalation.status) == "resolved"),
                    col(Escalation.urgency_rank).desc(),
                    Escalation.opened_at,
                )
            ).all()
        mine = [row for row in found if reason in (None, row.reason)]
        assert mine, f"no escalation with reason {reason}; there are {[row.reason for row in found]}"
        return mine[0]

    def _now_sent(self) -> set[str]:
        with reading(self.runtime.engine) as session:
            return set(
                session.exec(
                    select(OutboundMessage.id).where(col(OutboundMessage.kind).in_(("safety", "notice")))
                )
            )

    def _check(self, step: dict[str, Any], sid: str | None, before: set[str]) -> None:
        if sid is not None:
            self._check_reply(step, sid, before)
        if "escalation" in step:
            row = self._top(step.get("on"))
            found = {
                key: getattr(row, key) for key in step["escalation"] if key not in ("due", "contact_due")
            }
            if "due" in step["escalation"]:
                found["due"] = f"{row.acknowledge_by.astimezone(self.zone):%Y-%m-%d %H:%M}"
            assert found == step["escalation"], f"the escalation is {found}"
        if "unresolved" in step:
            with reading(self.runtime.engine) as session:
                rows = session.exec(select(Escalation.reason).where(Escalation.status != "resolved"))
                found_now = sorted(rows)
            assert found_now == sorted(step["unresolved"]), f"unresolved: {found_now}"
        for name, count in step.get("pages", {}).items():
            assert len(self._pages(name)) == count, f"{name} got {len(self._pages(name))} pages"
        if "plan" in step:
            assert self._plan(step["plan"]) == step["plan"], f"the plan is {self._plan(step['plan'])}"
        if "sent" in step:
            assert self._fresh_keys() == step["sent"], f"sent: {self._reported_now}"
        if "enrollment" in step:
            with reading(self.runtime.engine) as session:
                assert session.get_one(Enrollment, self.enrollments[0]).status == step["enrollment"]

    def _check_reply(self, step: dict[str, Any], sid: str, before: set[str]) -> None:
        with reading(self.runtime.engine) as session:
            reply = session.exec(select(Reply).where(Reply.carrier_sid == sid)).one()
            reads = session.exec(select(StoredAssessment).where(StoredAssessment.reply_id == reply.id)).all()
            texts = session.exec(
                select(OutboundMessage).where(
                    OutboundMessage.to_phone == reply.from_phone,
                    col(OutboundMessage.kind).in_(("safety", "notice")),
                )
            ).all()
        assert reply.triaged_at is not None
        assert reply.urgency == step["urgency"], f"read as {reply.urgency}: {[r.findings for r in reads]}"
        present = {one["concept"] for row in reads for one in row.findings if one["status"] == "present"}
        missing = set(step.get("concepts", [])) - present
        assert not missing, f"not found: {missing}; found {present}"
        fresh = sorted((m for m in texts if m.id not in before), key=lambda m: (m.priority, m.created_at))
        wanted = (
            step["answer"] if isinstance(step["answer"], list) else [step["answer"]] * bool(step["answer"])
        )
        assert len(fresh) == len(wanted), f"answered {[m.body for m in fresh]}"
        for message, part in zip(fresh, wanted, strict=True):
            assert part in message.body, f"answered {message.body!r}"
            assert message.kind != "safety" or "911" in message.body
            assert message.kind == "safety" or message.priority == 1

    def _pages(self, name: str) -> list[str]:
        with reading(self.runtime.engine) as session:
            bodies = set(session.exec(select(OutboundMessage.body).where(OutboundMessage.kind == "page")))
        return [body for body in self.standin.got(self.phones[name]) if body in bodies]

    def _plan(self, wanted: dict[str, str]) -> dict[str, str]:
        with reading(self.runtime.engine) as session:
            rows = session.exec(
                select(PlanItem.key, PlanItem.status).where(PlanItem.enrollment_id == self.enrollments[0])
            )
            found = dict(iter(rows))
        return {key: found.get(key, "missing") for key in wanted}

    def _fresh_keys(self) -> list[str]:
        """Plan keys whose text went out since this was last asked, in order."""
        with reading(self.runtime.engine) as session:
            rows = session.exec(
                select(PlanItem.key, PlanItem.sent_at)
                .where(PlanItem.enrollment_id == self.enrollments[0], col(PlanItem.sent_at).is_not(None))
                .order_by(col(PlanItem.sent_at))
            ).all()
        self._reported_now = [key for key, _ in rows if key not in self.reported]
        self.reported.update(self._reported_now)
        return self._reported_now

    def _nothing_doubled(self) -> None:
        """What the phones got is exactly what the outbox says went out, once each."""
        with reading(self.runtime.engine) as session:
            rows = session.exec(
                select(OutboundMessage.to_phone, OutboundMessage.body).where(
                    col(OutboundMessage.status).in_(("accepted", "sent", "delivered", "undelivered"))
                )
            ).all()
        sent: dict[tuple[str, str], int] = {}
        for phone, body in rows:
            sent[phone, body] = sent.get((phone, body), 0) + 1
        assert sent == dict(self.standin.texts())
