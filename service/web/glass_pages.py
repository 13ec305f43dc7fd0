"""Breaking the glass: a page to open one patient of another team, and the record of every use."""

from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response
from sqlmodel import col, select

from service import break_glass
from service.db import session_on
from service.models import Patient
from service.sight import roster
from service.web.doors import AdminLooking, CareLooking, Caring, Desk, PageRoute, address_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def _page(desk: Desk, *, status: int = 200, faults: dict[str, str] | None = None) -> Response:
    if not desk.has_teams:
        raise HTTPException(404)
    uses = break_glass.uses_of(desk.session, desk.member, desk.now)
    wanted = [use.row.patient_id for use in uses]
    people = desk.session.exec(
        select(Patient).where(col(Patient.id).in_(wanted), desk.sight.of_patients())
    ).all()
    return desk.page(
        "break_glass.html", status=status, faults=faults or {}, typed=desk.form, uses=uses,
        people={patient.id: patient for patient in people}, hours=break_glass.LASTS.seconds // 3600,
        longest=break_glass.LONGEST_REASON, tries=break_glass.TRIES,
    )  # fmt: skip


@router.get("/break-glass")
def search(desk: CareLooking) -> Response:
    return _page(desk)


@router.post("/break-glass")
def open_patient(desk: Caring) -> Response:
    """Open who has exactly this number. Nobody found: one sentence, the same whoever there is."""
    if not desk.has_teams:
        raise HTTPException(404)
    with session_on(desk.runtime.engine) as session:
        try:
            found = break_glass.break_glass(
                session, now=desk.now, site=desk.runtime.site, member=desk.member, sight=desk.sight,
                wanted=desk.text("wanted", 80), reason=desk.text("reason", 2000),
                address=address_of(desk.request),
            )  # fmt: skip
        except break_glass.GlassError as error:
            session.rollback()
            return _page(desk, status=422, faults={error.field: desk.t(str(error))})
        except break_glass.TooManySearches:
            session.rollback()
            said = "Too many searches that found nobody. Wait a quarter of an hour, or phone the other team."
            return _page(desk, status=429, faults={"wanted": desk.t(said)})
    desk.runtime.wake.set()
    if not found:
        said = "Nobody has exactly this number. Check every digit, or phone the other team."
        return _page(desk, status=422, faults={"wanted": desk.t(said)})
    return RedirectResponse(f"/patients/{found[0]}" if len(found) == 1 else "/break-glass", 303)


@router.post("/break-glass/{use_id}/end")
def end(desk: Caring, use_id: str) -> Response:
    """The glass is whole again; the use stays on record."""
    with session_on(desk.runtime.engine) as session:
        patient_id = break_glass.end(
            session, now=desk.now, use_id=use_id, sight=desk.sight, member=desk.member
        )
        if patient_id is None:
            raise HTTPException(404)
    own = desk.text("back", 10) == "search"
    return RedirectResponse("/break-glass" if own else f"/patients/{patient_id}", 303)


@router.get("/break-glass/uses")
def uses(desk: AdminLooking) -> Response:
    """Every use, newest first: who, whom, why, how long."""
    found = break_glass.every_use(desk.session, desk.sight)
    people = roster(desk.session)
    wanted = {use.row.patient_id for use in found}
    patients = desk.session.exec(
        select(Patient).where(col(Patient.id).in_(wanted), desk.sight.of_patients())
    ).all()
    desk.looked("view uses of break glass", "audit")
    return desk.page(
        "break_glass_uses.html", uses=found, people={patient.id: patient for patient in patients},
        works_in=people.works_in, teams=people.teams,
    )  # fmt: skip
