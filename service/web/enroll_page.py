"""Enrolling: one patient by form, many by CSV. Every fault is named, at its field or by row and column."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from starlette.datastructures import UploadFile

from messages.protocol import LANGUAGES
from service.db import session_on
from service.enrollment_csv import COLUMNS, REQUIRED, CsvResult, RowFault, enroll_csv
from service.enrollment_request import CONSENT_METHODS, SEDATIONS, EnrollmentFaults, parse_request
from service.enrollments import AlreadyEnrolled, enroll
from service.models import DEFAULT_TEAM, Enrollment
from service.sight import teams_in_sight
from service.web.doors import Caring, Desk, PageRoute, SignedIn

router = APIRouter(route_class=PageRoute, include_in_schema=False)

US_ZONES = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Anchorage",
    "Pacific/Honolulu",
    "America/Puerto_Rico",
)
PATIENT_FIELDS = ("name", "phone", "timezone", "language", "external_id", "caregiver_phone")
COURSE_FIELDS = (
    "procedure_at",
    "discharged_at",
    "baseline_pain",
    "levels",
    "sedation",
    "follow_up_on",
    "team",
)
SAMPLE = (
    ",".join(COLUMNS) + "\n"
    "Ana Ejemplo,+13125550199,America/Chicago,es,MRN-1,,,kyphoplasty,2027-03-01 10:30,2027-03-01 15:00,"
    "no,7,T12 L1,conscious,2027-03-15,written,2027-03-01 09:00\n"
)


@router.get("/enroll")
def enroll_form(desk: SignedIn) -> Response:
    return _form(desk, {})


def _form(
    desk: Desk, typed: Any, *, status: int = 200, faults: Any = None, twin: Any = None, result: Any = None
) -> Response:
    return desk.page(
        "enroll.html",
        status=status,
        typed=typed,
        faults=faults or {},
        twin=twin,
        result=result,
        protocols=desk.runtime.protocols,
        sedations=SEDATIONS,
        consent_methods=CONSENT_METHODS,
        patient_languages=LANGUAGES,
        zones=US_ZONES,
        columns=COLUMNS,
        teams=teams_in_sight(desk.session, desk.sight) if desk.has_teams else [],
        default_team=DEFAULT_TEAM,
        required_columns=REQUIRED,
    )


def _request(desk: Desk) -> dict[str, Any]:
    """The form as the API's JSON. The blood thinner's third answer, not known, is the empty one."""
    values: dict[str, Any] = {name: desk.text(name, 200) for name in COURSE_FIELDS}
    values["protocol"] = desk.text("protocol", 80)
    thinner = desk.text("on_blood_thinner", 10)
    values["on_blood_thinner"] = None if thinner in ("", "unknown") else thinner
    patient: dict[str, Any] = {name: desk.text(name, 200) for name in PATIENT_FIELDS}
    patient["caregiver_consent"] = desk.text("caregiver_consent", 5) == "on"
    consent_at = desk.text("consent_at", 40) or desk.now.isoformat()
    return values | {
        "patient": patient,
        "consent": {"method": desk.text("consent_method", 20), "at": consent_at},
    }


@router.post("/enroll")
def enroll_one(desk: Caring) -> Response:
    """Enroll, or show the form again with everything that is wrong."""
    request = _request(desk)
    try:
        wanted = parse_request(request, now=desk.now, protocols=desk.runtime.protocols, local_times=True)
    except EnrollmentFaults as error:
        faults = {_field(name): said for name, said in error.faults.items()}
        return _form(desk, desk.form, status=422, faults=faults)
    with session_on(desk.runtime.engine) as session:
        try:
            made = enroll(
                session, desk.runtime, wanted, now=desk.now, actor=desk.member.email, sight=desk.sight
            )
        except EnrollmentFaults as error:
            session.rollback()
            return _form(desk, desk.form, status=422, faults=error.faults)
        except AlreadyEnrolled as error:
            session.rollback()
            twin = session.get(Enrollment, error.enrollment_id)
            return _form(desk, desk.form, status=409, twin=twin)
    desk.runtime.wake.set()
    return RedirectResponse(f"/patients/{made.patient_id}?done=enroll", 303)


def _field(name: str) -> str:
    return name.replace("consent.", "consent_").removeprefix("patient.")


@router.post("/enroll/upload")
def upload(desk: Caring) -> Response:
    """A CSV file: every row is enrolled, or none and every fault is named."""
    file = desk.form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        return _form(desk, {}, status=422, faults={"file": [desk.t("Choose a CSV file first.")]})
    content = file.file.read()
    if not content.strip():
        return _form(desk, {}, status=422, result=CsvResult(0, 0, (RowFault(1, "file", "is empty"),)))
    with session_on(desk.runtime.engine) as session:
        result = enroll_csv(
            session, desk.runtime, content, now=desk.now, actor=desk.member.email, sight=desk.sight
        )
    desk.runtime.wake.set()
    return _form(desk, {}, status=422 if result.faults else 200, result=result)


@router.get("/enroll/sample.csv")
def sample(desk: SignedIn) -> Response:
    """A heading and one made-up row to start from."""
    return PlainTextResponse(
        SAMPLE,
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="enroll.csv"'},
    )
