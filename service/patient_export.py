"""Everything we hold about one patient, as one zip: JSON for programs, HTML to read and print, CSV tables.

The names of file and members carry no patient detail; the same record at one moment gives the same bytes.
"""

import json
from datetime import date, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlmodel import Session, col, select

from service import audit, record
from service.harmless import shown, table
from service.instants import zulu
from service.models import AuditEvent, Patient
from service.runtime import Runtime

TEMPLATES = Path(__file__).parent / "templates"
AT_ONCE = 500
Rows = list[dict[str, Any]]


def file_name(patient_id: str) -> str:
    """The name of a patient's file: our own id and nothing else."""
    return f"aftercare-record-{patient_id}.zip"


def export_patient(
    session: Session,
    runtime: Runtime,
    *,
    now: datetime,
    patient_id: str,
    actor: str,
    address: str | None = None,
) -> bytes:
    """The zip, and a row in the audit trail that it was made; commits. Raises LookupError."""
    patient = session.get(Patient, patient_id)
    if patient is None:
        raise LookupError("There is no such patient.")
    audit.record(
        session, now=now, actor=actor, action="export patient record", subject_kind="patient",
        subject_id=patient_id, address=address,
    )  # fmt: skip
    session.commit()
    tables = record.everything(session, patient_id)
    trail = _trail(session, tables)
    made = {
        "record.json": _json(runtime, tables, trail, now),
        "record.html": _html(runtime, patient, tables, trail, now),
        **{f"tables/{name}.csv": text for name, text in _tables(tables, trail).items()},
    }
    return _zip(made, now)


def _trail(session: Session, tables: dict[str, Rows]) -> Rows:
    """Who looked at or acted on any row of the record, oldest first."""
    subjects = [str(row["id"]) for rows in tables.values() for row in rows if "id" in row]
    found: list[AuditEvent] = []
    for start in range(0, len(subjects), AT_ONCE):
        part = subjects[start : start + AT_ONCE]
        found += session.exec(select(AuditEvent).where(col(AuditEvent.subject_id).in_(part))).all()
    return [row.model_dump() for row in sorted(found, key=lambda row: (row.at, row.id))]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return zulu(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _json(runtime: Runtime, tables: dict[str, Rows], trail: Rows, now: datetime) -> str:
    """Every value as stored; control and direction signs stand as escapes."""
    whole = {
        "made_at": now,
        "clinic": runtime.site.clinic_name,
        "tables": {name: rows for name, rows in tables.items() if rows},
        "audit_events": trail,
    }
    return json.dumps(whole, indent=1, default=_plain, ensure_ascii=True)


def conversation(tables: dict[str, Rows]) -> Rows:
    """Texts of both directions in the order of time, with their states, times and readings."""
    redacted = {row["reply_id"] or row["message_id"]: row for row in tables["redactions"]}
    read: dict[str, Rows] = {}
    for row in tables["assessments"]:
        read.setdefault(row["reply_id"], []).append(row)
    lines = [_heard(row, read.get(row["id"], [])) for row in tables["replies"]]
    lines += [_said(row) for row in tables["outbound_messages"] if row["kind"] != "page"]
    for line in lines:
        line["redacted"] = redacted.get(line["id"])
    return sorted(lines, key=lambda line: (line["at"], line["direction"] == "out"))


def _heard(row: dict[str, Any], read: Rows) -> dict[str, Any]:
    who = "caregiver" if row["from_caregiver"] else "patient"
    return {
        "id": row["id"],
        "at": row["received_at"],
        "direction": "in",
        "who": who,
        "phone": row["from_phone"],
        "body": row["body"],
        "status": "received",
        "sent_at": None,
        "delivered_at": None,
        "urgency": row["urgency"],
        "pictures": len(row["media"] or ()),
        "read": read,
        "why": None,
    }


def _said(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "at": row["dispatched_at"] or row["accepted_at"] or row["due_at"],
        "direction": "out",
        "who": row["author"] or row["kind"],
        "phone": row["to_phone"],
        "body": row["body"],
        "status": row["status"],
        "sent_at": row["accepted_at"],
        "delivered_at": row["settled_at"],
        "urgency": None,
        "pictures": 0,
        "read": [],
        "why": row["why"],
    }


PLAN = "due_at key asks status sent_at answered_at answer why"
COURSE = "enrolled_at protocol version status procedure_at discharged_at on_blood_thinner baseline_pain"
CONSENT = "consent_method consent_at enrolled_by ends_at"
ESCALATION = "opened_at reason urgency status acknowledged_by contacted_by contacted_at contact_method"
OUTCOME = "contact_tries resolved_by resolved_at disposition note"
FINDING = ("concept", "status", "words", "rule")


def _tables(tables: dict[str, Rows], trail: Rows) -> dict[str, str]:
    def of(name: str, columns: str) -> str:
        named = columns.split()
        return table(named, ([_worded(row[column]) for column in named] for row in tables[name]))

    texts = "at direction who phone body status sent_at delivered_at urgency why".split()
    who = "at actor action subject_kind subject_id address".split()
    findings = [
        (row["at"], row["urgency"], row["catalogue"], *(one.get(key) for key in FINDING))
        for row in tables["assessments"]
        for one in row["findings"]
    ]
    return {
        "texts": table(texts, ([line[name] for name in texts] for line in conversation(tables))),
        "plan": of("plan_items", PLAN),
        "enrollments": of("enrollments", f"{COURSE} {CONSENT}"),
        "findings": table(("at", "urgency", "catalogue", *FINDING), findings),
        "escalations": of("escalations", f"{ESCALATION} {OUTCOME}"),
        "events": of("escalation_events", "at kind actor detail"),
        "audit": table(who, ([row[name] for name in who] for row in trail)),
    }


def _worded(value: Any) -> Any:
    return json.dumps(value, default=_plain) if isinstance(value, dict | list) else value


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters["shown"] = lambda value: shown(str(value))
    return made


def _html(runtime: Runtime, patient: Patient, tables: dict[str, Rows], trail: Rows, now: datetime) -> str:
    zone = ZoneInfo(patient.timezone)

    def local(at: datetime | None) -> str:
        return at.astimezone(zone).strftime("%Y-%m-%d %H:%M") if at else "–"

    events: dict[str, Rows] = {}
    for row in tables["escalation_events"]:
        events.setdefault(row["escalation_id"], []).append(row)
    return (
        _environment()
        .get_template("record.html")
        .render(
            patient=patient,
            tables=tables,
            lines=conversation(tables),
            events=events,
            trail=trail,
            now=now,
            local=local,
            site=runtime.site,
        )
    )


def _zip(files: dict[str, str], now: datetime) -> bytes:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as archive:
        for name, text in files.items():
            about = ZipInfo(name, now.timetuple()[:6])
            about.compress_type, about.external_attr = ZIP_DEFLATED, 0o600 << 16
            archive.writestr(about, text.encode("utf-8"))
    return made.getvalue()
