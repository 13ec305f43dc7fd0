"""The bodies of the API as models: those that come in are checked by them, those that go out described."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.escalations import DISPOSITIONS, METHODS
from service.member_texts import LONGEST_TEXT
from service.web.api_body import Strict

Short = Field(default=None, max_length=254)
LONGEST_NOTE = 4000


class ProblemShape(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str | None = None
    errors: dict[str, list[str]] | None = None


class PatientShape(Strict):
    """A person; the phone in E.164 or as people write it."""

    name: str = Field(max_length=120)
    phone: str = Field(max_length=40, examples=["+13125550142"])
    timezone: str = Field(max_length=60, examples=["America/Chicago"])
    language: Literal["en", "es"]
    external_id: str | None = Field(default=None, max_length=80)
    caregiver_phone: str | None = Field(default=None, max_length=40)
    caregiver_consent: bool | None = None


class ConsentShape(Strict):
    """How and when the patient agreed to texts."""

    method: Literal["written", "verbal", "electronic"]
    at: datetime


class EnrollmentRequest(Strict):
    """Described here, read by ``service.enrollment_request`` as forms and CSV are."""

    patient: PatientShape
    protocol: str = Field(max_length=60, examples=["kyphoplasty"])
    procedure_at: datetime
    discharged_at: datetime | None = None
    on_blood_thinner: bool | None = None
    baseline_pain: int | None = Field(default=None, ge=0, le=10)
    levels: list[str] | None = Field(default=None, max_length=24)
    sedation: Literal["local", "conscious", "general"] | None = None
    follow_up_on: date | None = None
    team: str | None = Field(default=None, max_length=60, description="Name or id; the default team without")
    consent: ConsentShape


class EnrollmentChange(Strict):
    """Null clears a value; what is left out stays."""

    procedure_at: datetime | None = None
    discharged_at: datetime | None = None
    follow_up_on: date | None = None


class Withdrawal(Strict):
    reason: str | None = Field(default=None, max_length=500)


class PlanShape(BaseModel):
    key: str
    due_at: datetime
    status: str


class EnrollmentShape(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    patient_id: str
    status: Literal["active", "paused", "completed", "withdrawn"]
    protocol: str
    version: int
    plan: list[PlanShape]


class TextRequest(Strict):
    """A person's own words to the patient."""

    body: str = Field(min_length=1, max_length=LONGEST_TEXT)
    member: str | None = Short


class MessageShape(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    direction: Literal["out", "in"]
    body: str
    at: datetime
    status: str
    carrier_sid: str | None = None
    urgency: str | None = None


class MessageList(BaseModel):
    items: list[MessageShape]
    next: str | None


class Act(Strict):
    """``member``: the e-mail of the member on whose behalf the program acts; else the token is the actor."""

    member: str | None = Short


class ContactAct(Act):
    method: Literal[*METHODS]  # type: ignore[valid-type]
    note: str | None = Field(default=None, max_length=LONGEST_NOTE)


class ResolveAct(Act):
    disposition: Literal[*DISPOSITIONS]  # type: ignore[valid-type]
    note: str = Field(min_length=1, max_length=LONGEST_NOTE)


class ReopenAct(Act):
    reason: str | None = Field(default=None, max_length=500)


class EscalationShape(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    patient_id: str | None
    enrollment_id: str | None
    urgency: Literal["none", "routine", "urgent", "emergency"]
    status: Literal["open", "acknowledged", "contacted", "resolved"]
    reason: str
    opened_at: datetime
    acknowledge_by: datetime
    acknowledged_by: str | None = None
    reply: dict[str, Any] | None = None
    findings: list[dict[str, Any]]


class EscalationList(BaseModel):
    items: list[EscalationShape]
    next: str | None


class AuditShape(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    at: datetime
    actor: str
    action: str


class AuditList(BaseModel):
    items: list[AuditShape]
    next: str | None


class ScoreboardShape(BaseModel):
    model_config = ConfigDict(extra="allow")
    days: int
    escalations: list[dict[str, Any]]
    false_alarms: int
    resolved: int


_PROBLEM = {"content": {"application/problem+json": {"schema": ProblemShape.model_json_schema()}}}


def answers(status: int, model: type[BaseModel], *problems: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route, for its description; those of the door are part of every route's."""
    said = {401: "No valid token", 403: "The token lacks the scope", 422: "Invalid values, by field"}
    said |= {404: "Unknown id", 409: "The state does not allow it", 413: "Body too large"}
    said[429] = "Too many requests"
    found: dict[int | str, dict[str, Any]] = {status: {"model": model, "description": "Done"}}
    for code in (401, 403, 422, 429, *problems):
        found[code] = {"description": said[code], **_PROBLEM}
    return found
