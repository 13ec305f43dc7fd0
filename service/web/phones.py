"""Simulated phones: what patients would see, and where a newcomer texts as one. Only with the simulator."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session, col, select
from starlette.datastructures import FormData, UploadFile

from service import inbox
from service.carriers.simulator import SimulatorCarrier, phones, picture_counts, texts_on
from service.db import reading, session_on
from service.models import Member, Patient
from service.runtime import Runtime
from service.sight import EVERYTHING, Sight, phone_in_sight
from service.web import render
from service.web.doors import Desk, PageRoute, PerhapsSignedIn, posted, to_sign_in
from service.web.live import version_of
from service.web.local_visits import is_local_phone_visit
from service.web.words import chosen

router = APIRouter(route_class=PageRoute, include_in_schema=False)

# Numbers that are nobody's: 555 as exchange or area code is kept for examples and the carrier's own tests.
SIMULATED = re.compile(r"\+1(\d{3}555\d{4}|555\d{7})")
LONGEST_TEXT = 1600
SUGGESTIONS = {
    "en": (
        "fine thanks",
        "3",
        "pain is a 9 since this morning",
        "my foot feels numb and tingly",
        "chest pain and its hard to breathe",
        "no numbness but my leg is tingling",
        "can i take a shower?",
        "STOP",
    ),
    "es": (
        "todo bien gracias",
        "2",
        "tengo dormida la pierna",
        "no puedo orinar",
        "me duele el pecho",
        "STOP",
    ),
}


def _guard(request: Request, desk: Desk | None) -> None:
    runtime: Runtime = request.app.state.runtime
    if runtime.settings.carrier != "simulator":
        raise HTTPException(404)
    if desk is None and not is_local_phone_visit(request):
        raise to_sign_in(request)


def _show(
    request: Request, desk: Desk | None, template: str, status: int = 200, **values: object
) -> Response:
    if desk is not None:
        return desk.page(template, status=status, **values)
    runtime: Runtime = request.app.state.runtime
    language = chosen(request.headers.get("accept-language"))
    return render.page(
        request, template, values, status=status, language=language, zone=runtime.site.timezone
    )


def _people(session: Session, sight: Sight) -> dict[str, list[str]]:
    """Whose phone is whose: patients in sight and members by number."""
    found: dict[str, list[str]] = {}
    mine = sight.of_patients()
    newest = col(Patient.created_at).desc()
    owners = select(Patient.name, Patient.phone).where(mine).order_by(newest).limit(500)
    for name, phone in sorted(session.exec(owners)):
        found.setdefault(phone, []).append(name)
    for name, phone in session.exec(select(Patient.name, Patient.caregiver_phone).where(mine).limit(500)):
        if phone:
            found.setdefault(phone, []).append(f"♥ {name}")
    for name, phone in session.exec(select(Member.name, Member.phone).where(col(Member.phone).is_not(None))):
        if phone:
            found.setdefault(phone, []).append(f"{name} ☎")
    return {phone: names for phone, names in found.items() if SIMULATED.fullmatch(phone)}


@router.get("/phones")
def all_phones(request: Request, desk: PerhapsSignedIn) -> Response:
    """Every simulated phone with its last text."""
    _guard(request, desk)
    runtime: Runtime = request.app.state.runtime
    with reading(runtime.engine) as session:
        version = version_of(session, EVERYTHING, "phones")
        sight = desk.sight if desk is not None else EVERYTHING
        people = _people(session, sight)
        latest = {}
        for phone, _ in phones(session):
            if not phone_in_sight(session, sight, phone):
                continue
            people.setdefault(phone, [])
            latest[phone] = texts_on(session, phone, 1)
    cards = sorted(people, key=lambda phone: (not latest.get(phone), people[phone] or ["~"]))
    if desk is not None:
        desk.looked("view simulated phones", "phone")
    return _show(request, desk, "phones.html", cards=cards, people=people, latest=latest, version=version)


@router.get("/phones/{phone}")
def one_phone(request: Request, desk: PerhapsSignedIn, phone: str) -> Response:
    """One simulated phone: its texts and a field to write."""
    _guard(request, desk)
    return _phone(request, desk, phone)


def _phone(request: Request, desk: Desk | None, phone: str, status: int = 200, fault: str = "") -> Response:
    if not SIMULATED.fullmatch(phone):
        raise HTTPException(404, "Only simulated numbers have a phone here.")
    runtime: Runtime = request.app.state.runtime
    with reading(runtime.engine) as session:
        sight = desk.sight if desk is not None else EVERYTHING
        version = version_of(session, sight, f"phone:{phone}")
        texts = texts_on(session, phone, 100) if phone_in_sight(session, sight, phone) else []
        pictures = picture_counts(session, [text.carrier_sid for text in texts if text.direction == "in"])
        people = _people(session, sight).get(phone, [])
        owner = session.exec(select(Patient).where(Patient.phone == phone, sight.of_patients())).first()
        is_member = session.exec(select(Member.id).where(Member.phone == phone)).first() is not None
    if desk is not None:
        desk.looked("view simulated phone", "phone", owner.id if owner else None)
    return _show(
        request,
        desk,
        "phone.html",
        status,
        phone=phone,
        texts=texts,
        pictures=pictures,
        people=people,
        owner=owner,
        fault=fault,
        is_member=is_member,
        suggestions=SUGGESTIONS.get(owner.language if owner else "en", SUGGESTIONS["en"]),
        version=version,
    )


def _bytes_of(part: object) -> bytes:
    """What a file field holds; nothing where no file was chosen."""
    return part.file.read() if isinstance(part, UploadFile) else b""


@router.post("/phones/{phone}/reply")
def reply(
    request: Request, desk: PerhapsSignedIn, phone: str, form: Annotated[FormData, Depends(posted)]
) -> Response:
    """A text written on a simulated phone takes the same way as one from the carrier's webhook."""
    _guard(request, desk)
    runtime: Runtime = request.app.state.runtime
    if not SIMULATED.fullmatch(phone) or not isinstance(runtime.carrier, SimulatorCarrier):
        raise HTTPException(404, "Only simulated numbers have a phone here.")
    body = form.get("body")
    body = body if isinstance(body, str) else ""
    pictures = [content for part in form.getlist("picture") if (content := _bytes_of(part))]
    if not body.strip() and not pictures:
        return _phone(request, desk, phone, 422, "Write something first.")
    if len(body) > LONGEST_TEXT:
        return _phone(request, desk, phone, 422, f"A text holds {LONGEST_TEXT} characters at most.")
    now = runtime.clock()
    arrived = runtime.carrier.receive(phone, body, pictures)
    with session_on(runtime.engine) as session:
        stored, _ = inbox.receive(
            session, now=now, carrier_sid=arrived.carrier_sid, from_phone=phone,
            to_phone=runtime.carrier.sender, body=body,
            media=[{"url": None, "type": None} for _ in pictures],
        )  # fmt: skip
    inbox.triage_reply(runtime, stored.id, runtime.clock())
    runtime.wake.set()
    return RedirectResponse(f"/phones/{phone}", 303)
