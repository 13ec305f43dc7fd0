"""Enrollment from a CSV file: all rows are checked first, every fault named by row and column."""

import csv
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.progress import track
from sqlmodel import Session

from messages.protocol import Protocol
from service.enrollment_request import EnrollmentFaults, NewEnrollment, parse_request
from service.enrollments import AlreadyEnrolled, enroll
from service.known_patients import team_faults
from service.runtime import Runtime
from service.sight import EVERYTHING, Sight, has_one_team

PATIENT_COLUMNS = (
    "name",
    "phone",
    "timezone",
    "language",
    "external_id",
    "caregiver_phone",
    "caregiver_consent",
)
COURSE_COLUMNS = (
    "protocol",
    "procedure_at",
    "discharged_at",
    "on_blood_thinner",
    "baseline_pain",
    "levels",
    "sedation",
    "follow_up_on",
)
CONSENT_COLUMNS = ("consent_method", "consent_at")
COLUMNS = PATIENT_COLUMNS + COURSE_COLUMNS + CONSENT_COLUMNS
TEAM_COLUMN = "team"  # only where a site has several teams
REQUIRED = ("name", "phone", "timezone", "language", "protocol", "procedure_at", *CONSENT_COLUMNS)
LONGEST_FILE = 2_000_000
MOST_ROWS = 5_000


@dataclass(frozen=True)
class RowFault:
    """One thing that is wrong. ``row`` counts as a spreadsheet does (the heading is row 1)."""

    row: int
    column: str
    said: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.said}"


@dataclass(frozen=True)
class CsvResult:
    """What became of a file. With faults, nothing was enrolled."""

    enrolled: int
    already: int
    faults: tuple[RowFault, ...]


def read_rows(
    content: bytes, *, now: datetime, protocols: Mapping[str, Protocol]
) -> tuple[list[tuple[int, NewEnrollment]], list[RowFault]]:
    """The requests of a CSV file and everything that is wrong with it."""
    table, fault = _table(content)
    if table is None:
        return [], [fault] if fault else []
    requests: list[tuple[int, NewEnrollment]] = []
    faults: list[RowFault] = []
    for number, row in table:
        if not any((value or "").strip() for value in row.values() if isinstance(value, str)):
            continue
        if row.get("") or None in row:
            faults.append(RowFault(number, "row", "has more values than the heading has columns"))
            continue
        try:
            request = parse_request(_nested(row), now=now, protocols=protocols, local_times=True)
            requests.append((number, request))
        except EnrollmentFaults as error:
            faults.extend(
                RowFault(number, _column(name), said) for name, says in error.faults.items() for said in says
            )
    return requests, faults


def _table(content: bytes) -> tuple[list[tuple[int, dict[str, Any]]] | None, RowFault | None]:
    if len(content) > LONGEST_FILE:
        return None, RowFault(1, "file", "is larger than 2 MB; split it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, RowFault(1, "file", "is not UTF-8; save it as CSV UTF-8")
    if "\0" in text:
        return None, RowFault(1, "file", "is not a CSV file")
    reader = csv.DictReader(io.StringIO(text), restkey="", restval="")
    try:
        heading = [name.strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = heading
        unknown = [name for name in heading if name not in (*COLUMNS, TEAM_COLUMN)]
        missing = [name for name in REQUIRED if name not in heading]
        if missing or unknown or len(set(heading)) != len(heading):
            said = (
                f"must name {', '.join(missing)}" if missing else f"has unknown columns: {', '.join(unknown)}"
            )
            if not missing and not unknown:
                said = "names a column twice"
            return None, RowFault(1, "heading", f"{said}. Known columns: {', '.join(COLUMNS)}")
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        return None, RowFault(reader.line_num, "file", f"cannot be read as CSV ({error})")
    if len(rows) > MOST_ROWS:
        return None, RowFault(1, "file", f"has more than {MOST_ROWS} rows; split it")
    return rows, None


def _nested(row: Mapping[str, str]) -> dict[str, Any]:
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    return {
        "patient": {name: values[name] for name in PATIENT_COLUMNS},
        "consent": {"method": values["consent_method"], "at": values["consent_at"]},
        **{name: values[name] for name in COURSE_COLUMNS},
        TEAM_COLUMN: (row.get(TEAM_COLUMN) or "").strip(),
    }


def _column(field: str) -> str:
    if field.startswith("consent."):
        return field.replace(".", "_")
    return field.removeprefix("patient.")


def enroll_csv(
    session: Session,
    runtime: Runtime,
    content: bytes,
    *,
    now: datetime,
    actor: str,
    sight: Sight = EVERYTHING,
    show: bool = False,
) -> CsvResult:
    """Enroll every row, or none when any row has a fault. Rows already enrolled are counted, not repeated.

    ``show``: progress on a terminal.
    """
    requests, faults = read_rows(content, now=now, protocols=runtime.protocols)
    if not has_one_team(session) or any(request.team for _number, request in requests):
        faults += [
            RowFault(number, "team", said)
            for number, request in requests
            for said in team_faults(session, request, sight)
        ]
    session.rollback()
    if faults:
        return CsvResult(0, 0, tuple(faults))
    enrolled = already = 0
    for _number, request in track(requests, "Enrolling", disable=not (show and sys.stderr.isatty())):
        try:
            enroll(session, runtime, request, now=now, actor=actor, sight=sight)
            enrolled += 1
        except AlreadyEnrolled:
            already += 1
    return CsvResult(enrolled, already, ())
