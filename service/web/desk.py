"""A signed-in member at work on one request: what they see, what every page is told, what was looked at."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse
from sqlmodel import Session
from starlette.datastructures import FormData

from service import accounts, audit, second_factor
from service.db import session_on
from service.models import DECIDING_ROLES, Enrollment, Escalation, Member, Patient
from service.runtime import Runtime
from service.settings import require_secret_key
from service.sight import Sight, enrollment_in_sight, escalation_in_sight, patient_in_sight
from service.web import render
from service.web.words import translate

Row = TypeVar("Row", Patient, Escalation, Enrollment)


@dataclass
class Desk:
    """A signed-in member at work on one request. ``session`` only looks; acts open their own.

    ``sight``: whose patients they see; ``has_teams``: pages speak of teams only where there are several.
    ``patient``, ``escalation``, ``enrollment`` raise the same 404 for an unknown id and for one out of sight;
    in the ``session`` of an act the row is held until the act is done.
    """

    request: Request
    runtime: Runtime
    member: Member
    csrf_token: str
    now: datetime
    session: Session
    visit: accounts.Visit
    sight: Sight
    has_teams: bool = False
    form: FormData = field(default_factory=FormData)

    @property
    def language(self) -> str:
        return self.member.language

    @property
    def zone(self) -> str:
        return str((self.member.preferences or {}).get("timezone") or self.runtime.site.timezone)

    @property
    def may_act(self) -> bool:
        return accounts.may_act(self.member.role)

    @property
    def may_decide(self) -> bool:
        """Whether they decide about a record as a whole: hand it out, hold it, redact in it."""
        return self.member.role in DECIDING_ROLES

    def patient(self, patient_id: str | None, session: Session | None = None) -> Patient:
        return _there(patient_in_sight(session or self.session, self.sight, patient_id, hold=bool(session)))

    def escalation(self, escalation_id: str | None, session: Session | None = None) -> Escalation:
        found = escalation_in_sight(session or self.session, self.sight, escalation_id, hold=bool(session))
        return _there(found)

    def enrollment(self, enrollment_id: str | None, session: Session | None = None) -> Enrollment:
        found = enrollment_in_sight(session or self.session, self.sight, enrollment_id, hold=bool(session))
        return _there(found)

    @property
    def must_set_up(self) -> bool:
        """Whether this clinic wants a second factor of them and they have none yet."""
        return must_set_up(self.runtime, self.visit)

    @property
    def secret_key(self) -> str:
        return require_secret_key(self.runtime.settings)

    @property
    def is_live(self) -> bool:
        """Whether the page refreshes itself: no look of a person, so neither activity nor audit."""
        return self.request.headers.get("x-live") == "1"

    def t(self, sentence: str, **values: object) -> str:
        return translate(self.language, sentence, **values)

    def looked(self, action: str, subject_kind: str, subject_id: str | None = None, **detail: object) -> None:
        """Put this look into the audit trail."""
        if self.is_live:
            return
        with session_on(self.runtime.engine) as session:
            audit.record(
                session, now=self.now, actor=self.member.email, action=action, subject_kind=subject_kind,
                subject_id=subject_id, address=address_of(self.request), detail=detail or None,
            )  # fmt: skip
            session.commit()

    def look_again(self) -> None:
        """See what was committed since this request began: SQLite shows what was there at its start."""
        self.session.commit()

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        shared = {
            "member": self.member,
            "may_act": self.may_act,
            "may_decide": self.may_decide,
            "has_teams": self.has_teams,
            "csrf_token": self.csrf_token,
            "preferences": self.member.preferences or {},
            "now": self.now,
        }
        return render.page(
            self.request,
            template,
            {**shared, **values},
            status=status,
            language=self.language,
            zone=self.zone,
        )

    def text(self, name: str, longest: int = 2000) -> str:
        """One form field, trimmed. Raises 422 for one that is too long."""
        value = self.form.get(name)
        value = value.strip() if isinstance(value, str) else ""
        if len(value) > longest:
            raise HTTPException(422, self.t("That is too long: {count} characters at most.", count=longest))
        return value


def _there(found: Row | None) -> Row:
    if found is None:
        raise HTTPException(404)
    return found


def address_of(request: Request) -> str | None:
    return request.client.host if request.client else None


def must_set_up(runtime: Runtime, visit: accounts.Visit) -> bool:
    """Whether this browser may do nothing but set up a second factor."""
    return second_factor.must_set_up(runtime.settings.require_totp, visit.member, visit.way)
