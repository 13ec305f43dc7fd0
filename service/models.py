"""Every table. All times are aware UTC; ids are opaque 32-character strings made by ``new_id``.

States are plain words with CHECK constraints (PostgreSQL enum types survive a downgrade and then block the
next upgrade). SQLModel tables do not validate values: forms and ``messages`` do.
"""

from datetime import date, datetime
from time import time_ns
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, Index, MetaData, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from service.chance import random_id
from service.patient_words import keep_words
from service.rows import Row
from service.sealed_columns import (
    SealedJson,
    SealedLookup,
    SealedText,
    SubjectId,
    digest_of,
    keep_digests,
)

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
metadata: MetaData = SQLModel.metadata

ENROLLMENT_STATES = ("active", "paused", "completed", "withdrawn")
PLAN_STATES = ("planned", "skipped", "sent", "answered", "silent", "expired", "cancelled")
MESSAGE_STATES = (
    "planned",
    "claimed",
    "accepted",
    "sent",
    "delivered",
    "undelivered",
    "failed",
    "unknown",
    "expired",
    "cancelled",
)
MESSAGE_KINDS = ("check_in", "reminder", "safety", "notice", "member", "page")
ESCALATION_STATES = ("open", "acknowledged", "contacted", "resolved")
URGENCIES = ("none", "routine", "urgent", "emergency")
ROLES = ("viewer", "nurse", "clinician", "admin")
LINK_KINDS = ("first_admin", "invitation", "password", "code", "sso")
SIGN_IN_WAYS = ("password", "sso")
ANSWERING_ROLES = ("nurse", "clinician", "admin")
DECIDING_ROLES = ("clinician", "admin")  # about a record as a whole
DEFAULT_TEAM = "0" * 31 + "1"  # made by the migration; catches what belongs to nobody else


def new_id() -> str:
    """An opaque id: 128 random bits, so that an address tells nothing and cannot be guessed."""
    return random_id()


def ordered_id() -> str:
    """An opaque id that sorts by when it was made on this machine: rows of one instant keep their order."""
    return f"{time_ns():016x}{random_id()[:16]}"


def _one_of(name: str, column: str, words: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=name)


def _json(nullable: bool = True) -> Any:
    return Column(JSON(none_as_null=True), nullable=nullable)


def _text(place: str, nullable: bool = False, long: bool = True) -> Any:
    return Column(SealedText(place, long), nullable=nullable)


def _sought(place: str, kind: str = "phone", nullable: bool = False, long: bool = True) -> Any:
    return Column(SealedLookup(place, kind, long), nullable=nullable)


def _sealed_json(place: str, nullable: bool = True) -> Any:
    return Column(SealedJson(place, empty_list=not nullable), nullable=nullable)


def _team() -> Any:
    """The one team a row belongs to. No foreign key: SQLite could not add it to a table that has rows; teams
    are never removed, and a team nobody knows counts as one without people (``service.sight``)."""
    return Field(default=DEFAULT_TEAM, max_length=32, sa_column_kwargs={"server_default": DEFAULT_TEAM})


class Team(Row, table=True):
    """A care team of this site. One that is not active takes no patients and has none."""

    __tablename__ = "teams"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    name: str = Field(unique=True)
    active: bool = True
    created_at: datetime


class Patient(Row, table=True):
    """One person. ``timezone`` is an IANA name; phones are E.164. Several patients may share a phone."""

    __tablename__ = "patients"
    __table_args__ = (
        Index("ix_patients_created_at_id", "created_at", "id"),
        Index("ix_patients_team_id", "team_id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    team_id: str = _team()
    name: str = Field(sa_column=_text("patients.name"))
    phone: str = Field(sa_column=_sought("patients.phone"))
    phone_hash: str | None = Field(default=None, sa_column=digest_of("phone", index=True))
    timezone: str
    language: str
    external_id: str | None = Field(
        default=None, sa_column=_sought("patients.external_id", "external_id", nullable=True, long=False)
    )
    external_id_hash: str | None = Field(
        default=None, sa_column=digest_of("external_id", "external_id", index=True)
    )
    caregiver_phone: str | None = Field(
        default=None, sa_column=_sought("patients.caregiver_phone", nullable=True)
    )
    caregiver_phone_hash: str | None = Field(default=None, sa_column=digest_of("caregiver_phone", index=True))
    caregiver_consent: bool = False
    created_at: datetime


class PatientWord(Row, table=True):
    """What a patient is found by: keyed hashes of the words of the name and of the phone's last digits."""

    __tablename__ = "patient_words"
    patient_id: str = Field(foreign_key="patients.id", primary_key=True, max_length=32)
    word_hash: str = Field(primary_key=True, index=True)


class SealingKey(Row, table=True):
    """A key that sealed something here, by name, and with it the index key as it lies sealed by that key.

    ``plain`` is no key: the index key as it is, while nothing is sealed. ``lost_at``: its owner said that the
    key is lost; what it sealed cannot be read, and the service starts all the same.
    """

    __tablename__ = "sealing_keys"
    key_id: str = Field(primary_key=True)
    index_key: str
    created_at: datetime
    lost_at: datetime | None = None


class PhoneState(Row, table=True):
    """What the carrier taught us about one number: opted out, or cannot receive texts (with the code).

    Its key is the number's keyed hash: ``session.get(PhoneState, number)`` finds it.
    """

    __tablename__ = "phone_states"
    phone_hash: str | None = Field(default=None, sa_column=digest_of("phone", primary_key=True))
    phone: str = Field(sa_column=_sought("phone_states.phone"))
    opted_out_at: datetime | None = None
    unreachable_at: datetime | None = None
    code: str | None = None


class ProtocolVersion(Row, table=True):
    """The text of each protocol version ever used: an enrollment stays on the version it began with."""

    __tablename__ = "protocol_versions"
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    digest: str
    source_text: str = Field(sa_type=Text)
    created_at: datetime


class Enrollment(Row, table=True):
    """One patient on one protocol version, with consent. ``thoracic`` is derived from ``levels``."""

    __tablename__ = "enrollments"
    __table_args__ = (
        _one_of("status", "status", ENROLLMENT_STATES),
        Index(
            "uq_enrollments_one_active",
            "patient_id",
            "protocol",
            unique=True,
            sqlite_where=text("status IN ('active', 'paused')"),
            postgresql_where=text("status IN ('active', 'paused')"),
        ),
        Index("ix_enrollments_status_ends_at", "status", "ends_at"),
    )
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    patient_id: str = Field(foreign_key="patients.id", index=True)
    protocol: str
    version: int
    status: str = "active"
    procedure_at: datetime
    discharged_at: datetime | None = None
    on_blood_thinner: bool | None = None
    baseline_pain: int | None = None
    levels: list[str] | None = Field(default=None, sa_column=_json())
    sedation: str | None = None
    follow_up_on: date | None = None
    consent_method: str
    consent_at: datetime
    enrolled_at: datetime
    enrolled_by: str
    ends_at: datetime
    last_score: float | None = None
    flagged_at: datetime | None = None
    paused_at: datetime | None = None
    paused_reason: str | None = Field(
        default=None, sa_column=_text("enrollments.paused_reason", nullable=True, long=False)
    )
    withdrawn_at: datetime | None = None
    withdrawn_reason: str | None = Field(
        default=None, sa_column=_text("enrollments.withdrawn_reason", nullable=True, long=False)
    )


class PlanItem(Row, table=True):
    """One check-in of one enrollment: when it is due, what became of it.

    ``asks`` is None for plain advice. ``sent_at`` opens the question, ``silent_at`` is when no answer counts
    as silence, ``closed_at`` when a later question may go out.
    """

    __tablename__ = "plan_items"
    __table_args__ = (
        UniqueConstraint("enrollment_id", "key"),
        _one_of("status", "status", PLAN_STATES),
        Index("ix_plan_items_status_silent_at", "status", "silent_at"),
        Index(
            "ix_plan_items_remind_at",
            "remind_at",
            sqlite_where=text("remind_at IS NOT NULL"),
            postgresql_where=text("remind_at IS NOT NULL"),
        ),
    )
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    enrollment_id: str = Field(foreign_key="enrollments.id", index=True)
    key: str
    asks: str | None = None
    due_at: datetime
    expires_at: datetime
    status: str = "planned"
    why: str | None = None
    sent_at: datetime | None = None
    silent_at: datetime | None = None
    remind_at: datetime | None = None
    closed_at: datetime | None = None
    answered_at: datetime | None = None
    answer: dict[str, Any] | None = Field(default=None, sa_column=_sealed_json("plan_items.answer"))
    silence_cause: str | None = None


class OutboundMessage(Row, table=True):
    """One text we mean to send, with its fate. ``key`` is unique: the same text can never be planned twice.

    ``priority`` 0 goes first (safety answers and pages), 5 is a check-in. ``fence`` counts claims: a worker
    that lost its lease cannot write a result. ``dispatched_at`` is committed before the carrier is called.
    """

    __tablename__ = "outbound_messages"
    __table_args__ = (
        UniqueConstraint("key"),
        _one_of("status", "status", MESSAGE_STATES),
        _one_of("kind", "kind", MESSAGE_KINDS),
        Index(
            "ix_outbound_messages_due",
            "priority",
            "due_at",
            "id",
            sqlite_where=text("status = 'planned'"),
            postgresql_where=text("status = 'planned'"),
        ),
        Index(
            "ix_outbound_messages_unsettled",
            "lease_until",
            sqlite_where=text("status IN ('claimed', 'unknown')"),
            postgresql_where=text("status IN ('claimed', 'unknown')"),
        ),
        Index(
            "ix_outbound_messages_paged",
            "member_id",
            "escalation_id",
            sqlite_where=text("kind = 'page'"),
            postgresql_where=text("kind = 'page'"),
        ),
        Index("ix_outbound_messages_patient_id_created_at", "patient_id", "created_at"),
        Index("ix_outbound_messages_to_phone_hash_created_at", "to_phone_hash", "created_at"),
    )
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    key: str
    kind: str
    priority: int = 5
    to_phone: str = Field(sa_column=_sought("outbound_messages.to_phone"))
    to_phone_hash: str | None = Field(default=None, sa_column=digest_of("to_phone"))
    body: str = Field(sa_column=_text("outbound_messages.body"))
    language: str = "en"
    patient_id: str | None = Field(default=None, foreign_key="patients.id")
    enrollment_id: str | None = Field(default=None, foreign_key="enrollments.id")
    plan_item_id: str | None = Field(default=None, foreign_key="plan_items.id", index=True)
    escalation_id: str | None = Field(default=None, foreign_key="escalations.id", index=True)
    reply_id: str | None = Field(default=None, foreign_key="replies.id", index=True)
    member_id: str | None = Field(default=None, foreign_key="members.id")
    author: str | None = None
    status: str = "planned"
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    claimed_by: str | None = None
    lease_until: datetime | None = None
    fence: int = 0
    attempts: int = 0
    dispatched_at: datetime | None = None
    carrier_sid: str | None = Field(default=None, unique=True)
    accepted_at: datetime | None = None
    settled_at: datetime | None = None
    error_code: str | None = None
    why: str | None = None


class Reply(Row, table=True):
    """Any text from a phone, stored before anything reads it. Unique on the carrier's id.

    ``triaged_at`` is empty until every assessment and its consequences are committed. ``caught_up`` marks a
    reply that was read from the carrier's log instead of arriving by webhook.
    """

    __tablename__ = "replies"
    __table_args__ = (
        UniqueConstraint("carrier_sid"),
        Index(
            "ix_replies_untriaged",
            "received_at",
            sqlite_where=text("triaged_at IS NULL"),
            postgresql_where=text("triaged_at IS NULL"),
        ),
        Index("ix_replies_patient_id_received_at", "patient_id", "received_at"),
        Index("ix_replies_from_phone_hash_received_at", "from_phone_hash", "received_at"),
    )
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    carrier_sid: str
    from_phone: str = Field(sa_column=_sought("replies.from_phone"))
    from_phone_hash: str | None = Field(default=None, sa_column=digest_of("from_phone"))
    to_phone: str | None = Field(default=None, sa_type=Text)
    body: str = Field(sa_column=_text("replies.body"))
    media: list[dict[str, Any]] | None = Field(default=None, sa_column=_sealed_json("replies.media"))
    opt_out_type: str | None = None
    segments: int = 1
    received_at: datetime
    stored_at: datetime
    caught_up: bool = False
    patient_id: str | None = Field(default=None, foreign_key="patients.id")
    from_caregiver: bool = False
    from_member_id: str | None = Field(default=None, foreign_key="members.id")
    urgency: str | None = None
    triaged_at: datetime | None = None
    triage_attempts: int = 0
    triage_after: datetime | None = None


class StoredAssessment(Row, table=True):
    """The result of triage of one reply for one patient (two rows where two patients share a phone).

    ``escalation_id``: the escalation it led to or joined; the auditor goes by it, not by comparing times. No
    foreign key: an escalation may be deleted before its assessments, and they must not go with it.
    """

    __tablename__ = "assessments"
    __table_args__ = (_one_of("urgency", "urgency", URGENCIES),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    reply_id: str = Field(foreign_key="replies.id", index=True)
    patient_id: str | None = Field(default=None, foreign_key="patients.id", index=True)
    enrollment_id: str | None = Field(default=None, foreign_key="enrollments.id")
    plan_item_id: str | None = Field(default=None, foreign_key="plan_items.id")
    escalation_id: str | None = Field(default=None, index=True, max_length=32)
    asked: str | None = None
    urgency: str
    understood: bool
    findings: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=_sealed_json("assessments.findings", nullable=False)
    )
    weighed: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=_sealed_json("assessments.weighed", nullable=False)
    )
    answer: dict[str, Any] | None = Field(default=None, sa_column=_sealed_json("assessments.answer"))
    catalogue: str
    at: datetime


class Escalation(Row, table=True):
    """An open need for a human, with its reason; ends only with a resolution.

    ``code`` is what a member texts back. ``ladder`` is frozen at opening. ``version`` rises with every change
    (live views compare it). ``next_event_at`` is when the clock must be looked at again; never empty while
    the escalation is not resolved. Only one escalation per ``subject`` (patient id, or the keyed hash of a
    phone) is unresolved. ``team_id`` is always the patient's; that of an unknown number is the team that
    catches all. ``moved_at``: when it last came from another team; who was paged before sees it no more.
    """

    __tablename__ = "escalations"
    __table_args__ = (
        _one_of("status", "status", ESCALATION_STATES),
        _one_of("urgency", "urgency", URGENCIES),
        Index(
            "uq_escalations_one_open",
            "subject",
            "kind",
            unique=True,
            sqlite_where=text("status <> 'resolved'"),
            postgresql_where=text("status <> 'resolved'"),
        ),
        Index(
            "ix_escalations_queue",
            "urgency_rank",
            "opened_at",
            "id",
            sqlite_where=text("status <> 'resolved'"),
            postgresql_where=text("status <> 'resolved'"),
        ),
        Index(
            "ix_escalations_team_queue",
            "team_id",
            "urgency_rank",
            "opened_at",
            "id",
            sqlite_where=text("status <> 'resolved'"),
            postgresql_where=text("status <> 'resolved'"),
        ),
        Index("ix_escalations_order", "urgency_rank", "opened_at", "id"),
        Index(
            "ix_escalations_resolved_at",
            "resolved_at",
            "id",
            sqlite_where=text("status = 'resolved'"),
            postgresql_where=text("status = 'resolved'"),
        ),
        Index("ix_escalations_code", "code"),
        Index(
            "uq_escalations_code_open",
            "code",
            unique=True,
            sqlite_where=text("status <> 'resolved'"),
            postgresql_where=text("status <> 'resolved'"),
        ),
        Index(
            "ix_escalations_next_event_at",
            "next_event_at",
            sqlite_where=text("status <> 'resolved'"),
            postgresql_where=text("status <> 'resolved'"),
        ),
    )
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    code: str
    subject: str = Field(sa_column=Column(SubjectId(), nullable=False))
    kind: str
    team_id: str = _team()
    patient_id: str | None = Field(default=None, foreign_key="patients.id", index=True)
    enrollment_id: str | None = Field(default=None, foreign_key="enrollments.id")
    phone: str | None = Field(default=None, sa_column=_sought("escalations.phone", nullable=True))
    phone_hash: str | None = Field(default=None, sa_column=digest_of("phone"))
    reply_id: str | None = Field(default=None, foreign_key="replies.id", index=True)
    urgency: str
    urgency_rank: int
    reason: str
    summary: str | None = Field(
        default=None, sa_column=_text("escalations.summary", nullable=True, long=False)
    )
    status: str = "open"
    findings: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=_sealed_json("escalations.findings", nullable=False)
    )
    ladder: list[dict[str, Any]] = Field(default_factory=list, sa_column=_json(nullable=False))
    opened_at: datetime
    raised_at: datetime
    acknowledge_by: datetime
    contact_by: datetime
    ladder_started_at: datetime
    next_event_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledgement_expires_at: datetime | None = None
    contacted_by: str | None = None
    contacted_at: datetime | None = None
    contact_method: str | None = None
    contact_tries: int = 0
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    disposition: str | None = None
    note: str | None = Field(default=None, sa_column=_text("escalations.note", nullable=True))
    cannot_be_texted: bool = False
    moved_at: datetime | None = None
    version: int = 1


class EscalationEvent(Row, table=True):
    """One line of an escalation's timeline."""

    __tablename__ = "escalation_events"
    id: str = Field(default_factory=ordered_id, primary_key=True, max_length=32)
    escalation_id: str = Field(foreign_key="escalations.id", index=True)
    at: datetime
    kind: str
    actor: str
    detail: dict[str, Any] | None = Field(default=None, sa_column=_sealed_json("escalation_events.detail"))


class Member(Row, table=True):
    """A person of the care team who signs in. ``pages_blocked_at``: the carrier refuses our pages to them.

    ``totp_secret`` is sealed (``service.account_secrets``); ``totp_counter`` is the 30-second step of
    the last code used. ``sso_subject``: who they are at the identity provider, empty until they come from it.
    """

    __tablename__ = "members"
    __table_args__ = (_one_of("role", "role", ROLES),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    email: str = Field(unique=True)
    name: str
    role: str
    phone: str | None = Field(default=None, sa_column=_sought("members.phone", nullable=True, long=False))
    phone_hash: str | None = Field(default=None, sa_column=digest_of("phone", index=True))
    language: str = "en"
    password_hash: str | None = None
    pages_blocked_at: datetime | None = None
    disabled_at: datetime | None = None
    totp_secret: str | None = None
    totp_counter: int | None = None
    sso_subject: str | None = Field(default=None, unique=True, index=True)
    preferences: dict[str, Any] | None = Field(default=None, sa_column=_json())
    created_at: datetime


class TeamMember(Row, table=True):
    """Who works in which team. A member without any row works in the team that catches all."""

    __tablename__ = "team_members"
    team_id: str = Field(foreign_key="teams.id", primary_key=True, max_length=32)
    member_id: str = Field(foreign_key="members.id", primary_key=True, index=True, max_length=32)


class BreakGlass(Row, table=True):
    """A member opened a patient of another team in an emergency: why, and until when. Never removed."""

    __tablename__ = "break_glass"
    __table_args__ = (
        Index("ix_break_glass_member_id_until", "member_id", "until"),
        Index("ix_break_glass_patient_id_until", "patient_id", "until"),
    )
    id: str = Field(default_factory=ordered_id, primary_key=True, max_length=32)
    member_id: str = Field(foreign_key="members.id", max_length=32)
    patient_id: str = Field(foreign_key="patients.id", max_length=32)
    reason: str = Field(sa_column=_text("break_glass.reason"))
    opened_at: datetime
    until: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None


class MemberSession(Row, table=True):
    """One signed-in browser; only the hash of its token is stored.

    ``totp_offered``: the sealed secret of a second factor that is being set up in this browser.
    """

    __tablename__ = "member_sessions"
    __table_args__ = (_one_of("way", "way", SIGN_IN_WAYS),)
    token_hash: str = Field(primary_key=True)
    member_id: str = Field(foreign_key="members.id", index=True)
    csrf_token: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str | None = None
    agent: str | None = None
    way: str = Field(default="password", sa_column_kwargs={"server_default": "password"})
    totp_offered: str | None = None


class MemberLink(Row, table=True):
    """Something that opens a door once: an invitation, a new password, the first admin, the step between
    password and code, a sign-in that came back from the identity provider. Only a token's hash is kept."""

    __tablename__ = "member_links"
    __table_args__ = (_one_of("kind", "kind", LINK_KINDS),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    kind: str
    token_hash: str = Field(unique=True)
    member_id: str | None = Field(default=None, foreign_key="members.id", index=True)
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None


class RecoveryCode(Row, table=True):
    """One of ten ways in for whoever lost their second factor; keyed hash, each works once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (UniqueConstraint("member_id", "code_hash"),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    member_id: str = Field(foreign_key="members.id", index=True)
    code_hash: str
    created_at: datetime
    used_at: datetime | None = None


class SignInAttempt(Row, table=True):
    """Failed and good tries to get in, for throttling: sign-ins, searches that break the glass. ``subject``
    is a hash of whose tries they are."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (Index("ix_sign_in_attempts_subject_at", "subject", "at"),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    subject: str
    at: datetime
    good: bool


class ApiToken(Row, table=True):
    """A key for programs; only its hash is stored. ``teams``: ids of the teams whose patients it reaches;
    None: all of them."""

    __tablename__ = "api_tokens"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    name: str = Field(unique=True)
    token_hash: str = Field(unique=True)
    scopes: list[str] = Field(default_factory=list, sa_column=_json(nullable=False))
    teams: list[str] | None = Field(default=None, sa_column=_json())
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class IdempotencyKey(Row, table=True):
    """A POST that was answered already: the same key within 24 h gets the same answer."""

    __tablename__ = "idempotency_keys"
    token_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_hash: str
    status_code: int | None = None
    body: str | None = Field(default=None, sa_column=_text("idempotency_keys.body", nullable=True))
    created_at: datetime


class OnCallShift(Row, table=True):
    """Who holds a tier when. Without ``ends_at`` it holds around the clock until changed.

    ``override`` shifts stand above ordinary ones of the same tier while they last. ``team_id`` None: for the
    whole site, wherever a team has nobody of its own who can be paged.
    """

    __tablename__ = "on_call_shifts"
    __table_args__ = (Index("ix_on_call_shifts_tier_starts_at", "tier", "starts_at"),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    member_id: str = Field(foreign_key="members.id", index=True)
    team_id: str | None = Field(default=None, max_length=32)
    tier: int
    starts_at: datetime
    ends_at: datetime | None = None
    override: bool = False
    created_by: str
    created_at: datetime


class AuditEvent(Row, table=True):
    """Every look at and act on patient data. Append-only; a job seals rows into a hash chain.

    ``seal_number`` and ``seal`` are empty until the job has sealed the row.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_at_id", "at", "id"),
        Index(
            "ix_audit_events_unsealed",
            "at",
            "id",
            sqlite_where=text("seal_number IS NULL"),
            postgresql_where=text("seal_number IS NULL"),
        ),
    )
    id: str = Field(default_factory=ordered_id, primary_key=True, max_length=32)
    at: datetime
    actor: str
    action: str
    subject_kind: str | None = None
    subject_id: str | None = Field(default=None, index=True)
    address: str | None = None
    detail: dict[str, Any] | None = Field(default=None, sa_column=_json())
    seal_number: int | None = Field(default=None, unique=True)
    seal: str | None = None


class Mark(Row, table=True):
    """Small facts about the running system: last tick of each job, catch-up cursors, counts of refusals.

    ``name`` such as ``tick:send_due`` or ``refused:signature``.
    """

    __tablename__ = "marks"
    name: str = Field(primary_key=True)
    at: datetime
    count: int = 0
    detail: dict[str, Any] | None = Field(default=None, sa_column=_json())


class SenderPace(Row, table=True):
    """When a sender may send its next text: shared by all workers so that the pace holds across them."""

    __tablename__ = "sender_paces"
    sender: str = Field(primary_key=True)
    free_at: datetime


class SimulatedText(Row, table=True):
    """The simulated carrier's own log: every text that reached or left a simulated phone.

    It belongs to the carrier, not to us: the service learns of it only as it would from a real one.
    ``reported`` is the last receipt already given for it.
    """

    __tablename__ = "simulated_texts"
    __table_args__ = (
        Index("ix_simulated_texts_phone_hash_created_at", "phone_hash", "created_at"),
        Index(
            "ix_simulated_texts_unreported",
            "created_at",
            sqlite_where=text("direction = 'out' AND reported <> 'delivered'"),
            postgresql_where=text("direction = 'out' AND reported <> 'delivered'"),
        ),
    )
    carrier_sid: str = Field(primary_key=True)
    direction: str
    phone: str = Field(sa_column=_sought("simulated_texts.phone"))
    phone_hash: str | None = Field(default=None, sa_column=digest_of("phone"))
    body: str = Field(sa_column=_text("simulated_texts.body"))
    status: str
    reported: str = ""
    message_id: str | None = None
    created_at: datetime


class SimulatedPicture(Row, table=True):
    """A picture that came with a text from a simulated phone: kept by the simulated carrier, as a real one
    keeps its own."""

    __tablename__ = "simulated_pictures"
    carrier_sid: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    content: bytes


class SiteVersion(Row, table=True):
    """What an admin set in place of the site file's values, one row per change; the last one holds.

    ``overrides``: field such as ``clinic.name`` to its text. ``changes``: field, from, to of this change.
    """

    __tablename__ = "site_versions"
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime
    actor: str
    overrides: dict[str, str] = Field(default_factory=dict, sa_column=_json(nullable=False))
    changes: list[dict[str, Any]] = Field(default_factory=list, sa_column=_json(nullable=False))


class LabelledCase(Row, table=True):
    """A reply that a member marked as read wrongly, with what should have been read: for the bank."""

    __tablename__ = "labelled_cases"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    reply_id: str = Field(foreign_key="replies.id", index=True)
    escalation_id: str | None = Field(default=None, foreign_key="escalations.id")
    asked: str | None = None
    read_as: str
    should_be: str
    note: str | None = Field(default=None, sa_column=_text("labelled_cases.note", nullable=True, long=False))
    member: str
    at: datetime


class LegalHold(Row, table=True):
    """Nothing about this patient may be deleted or redacted until it is lifted. One at a time; earlier ones
    stay. ``reason`` is for the team and stays out of the audit trail, which names the hold by its id."""

    __tablename__ = "legal_holds"
    __table_args__ = (
        Index(
            "uq_legal_holds_one_standing",
            "patient_id",
            unique=True,
            sqlite_where=text("lifted_at IS NULL"),
            postgresql_where=text("lifted_at IS NULL"),
        ),
    )
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    patient_id: str = Field(foreign_key="patients.id", index=True)
    reason: str = Field(sa_column=_text("legal_holds.reason"))
    set_by: str
    set_at: datetime
    lifted_reason: str | None = Field(
        default=None, sa_column=_text("legal_holds.lifted_reason", nullable=True)
    )
    lifted_by: str | None = None
    lifted_at: datetime | None = None


class Redaction(Row, table=True):
    """A text whose words were taken out, who did it and why (a word of our own list). Never the text."""

    __tablename__ = "redactions"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    reply_id: str | None = Field(default=None, foreign_key="replies.id", unique=True)
    message_id: str | None = Field(default=None, foreign_key="outbound_messages.id", unique=True)
    why: str
    by: str
    at: datetime


class CarrierRedaction(Row, table=True):
    """A text whose words and pictures are to be taken out of the carrier's own log too, until that is done.

    Stands alone: it outlives the text's own row. ``refused``: the carrier never will.
    """

    __tablename__ = "carrier_redactions"
    __table_args__ = (
        _one_of("status", "status", ("waiting", "done", "refused")),
        Index("ix_carrier_redactions_status_next_at", "status", "next_at"),
    )
    carrier_sid: str = Field(primary_key=True)
    has_media: bool = False
    status: str = "waiting"
    tries: int = 0
    next_at: datetime
    queued_at: datetime
    done_at: datetime | None = None
    error_code: str | None = None


for _model in (Patient, PhoneState, OutboundMessage, Reply, Escalation, Member, SimulatedText):
    keep_digests(_model)
keep_words(Patient, metadata.tables["patient_words"])
