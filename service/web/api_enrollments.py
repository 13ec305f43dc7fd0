"""``/api/v1/enrollments``."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from service import queries
from service.db import reading, session_on
from service.enrollment_request import EnrollmentFaults, calendar_day, moment, parse_request
from service.enrollments import (
    UNCHANGED,
    AlreadyEnrolled,
    Change,
    EnrollmentOver,
    UnknownEnrollment,
    change,
    enroll,
    withdraw,
)
from service.sight import enrollment_in_sight
from service.web.api_body import JsonObject, read, takes
from service.web.api_doors import Now, RuntimeOf, SightOf, token_name
from service.web.api_params import RowId
from service.web.api_route import ApiRoute, looked
from service.web.api_shapes import (
    EnrollmentChange,
    EnrollmentRequest,
    EnrollmentShape,
    Withdrawal,
    answers,
)
from service.web.problems import Refused, invalid

router = APIRouter(prefix="/enrollments", route_class=ApiRoute, tags=["enrollments"])
UNKNOWN = "There is no such enrollment."


@router.post(
    "",
    status_code=201,
    responses=answers(201, EnrollmentShape, 409, 413),
    openapi_extra=takes(EnrollmentRequest),
)
def enroll_patient(
    request: Request, body: JsonObject, runtime: RuntimeOf, sight: SightOf, now: Now
) -> Response:
    """Enroll a patient; the whole plan is laid down at once."""
    try:
        wanted = parse_request(body, now=now, protocols=runtime.protocols)
    except EnrollmentFaults as error:
        raise invalid(error.faults) from error
    with session_on(runtime.engine) as session:
        try:
            enrollment = enroll(session, runtime, wanted, now=now, actor=token_name(request), sight=sight)
        except EnrollmentFaults as error:
            raise invalid(error.faults) from error
        except AlreadyEnrolled as error:
            raise Refused(409, str(error), enrollment_id=error.enrollment_id) from error
        item = queries.enrollment_item(session, enrollment)
    runtime.wake.set()
    return JSONResponse(item, 201, headers={"Location": f"/api/v1/enrollments/{enrollment.id}"})


@router.get("/{id}", responses=answers(200, EnrollmentShape, 404))
def show_enrollment(request: Request, id: RowId, runtime: RuntimeOf, sight: SightOf) -> Response:
    """An enrollment with its plan."""
    with reading(runtime.engine) as session:
        enrollment = enrollment_in_sight(session, sight, id)
        if enrollment is None:
            raise Refused(404, UNKNOWN)
        item = queries.enrollment_item(session, enrollment)
    looked(request, "view enrollment", "enrollment", id)
    return JSONResponse(item)


@router.patch(
    "/{id}",
    responses=answers(200, EnrollmentShape, 404, 409, 413),
    openapi_extra=takes(EnrollmentChange),
)
def change_enrollment(
    request: Request, id: RowId, body: JsonObject, runtime: RuntimeOf, sight: SightOf, now: Now
) -> Response:
    """Move the procedure, the discharge or the follow-up visit: re-plans what is still to come."""
    with session_on(runtime.engine) as session:
        if enrollment_in_sight(session, sight, id, hold=True) is None:
            raise Refused(404, UNKNOWN)
        wanted = _read_change(body)
        try:
            enrollment = change(session, runtime, id, wanted, now=now, actor=token_name(request))
        except EnrollmentFaults as error:
            raise invalid(error.faults) from error
        except EnrollmentOver as error:
            raise Refused(409, str(error)) from error
        return JSONResponse(queries.enrollment_item(session, enrollment))


def _read_change(body: dict[str, Any]) -> Change:
    readers = {
        "procedure_at": moment(None),
        "discharged_at": moment(None),
        "follow_up_on": calendar_day,
    }
    values: dict[str, object] = dict.fromkeys(readers, UNCHANGED)
    faults: dict[str, list[str]] = {}
    for name, value in body.items():
        if name not in readers:
            faults[name[:60]] = ["is not a field that can be changed"]
            continue
        try:
            values[name] = None if value is None else readers[name](value)
        except ValueError as error:
            faults[name] = [str(error)]
    if faults:
        raise invalid(faults)
    return Change(**values)


@router.post(
    "/{id}/withdraw",
    responses=answers(200, EnrollmentShape, 404, 409, 413),
    openapi_extra=takes(Withdrawal, required=False),
)
def withdraw_enrollment(
    request: Request, id: RowId, body: JsonObject, runtime: RuntimeOf, sight: SightOf, now: Now
) -> Response:
    """Send nothing more; what the patient still writes reaches a person as before."""
    with session_on(runtime.engine) as session:
        if enrollment_in_sight(session, sight, id, hold=True) is None:
            raise Refused(404, UNKNOWN)
        reason = read(Withdrawal, body).reason
        try:
            enrollment = withdraw(session, id, now=now, actor=token_name(request), reason=reason)
        except UnknownEnrollment as error:
            raise Refused(404, UNKNOWN) from error
        except EnrollmentOver as error:
            raise Refused(409, str(error)) from error
        return JSONResponse(queries.enrollment_item(session, enrollment))
