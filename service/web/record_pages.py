"""What clinicians and admins do with a record as a whole: hand it out, put it on hold, redact a text."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session, select

from service import legal_holds, redactions
from service.db import session_on
from service.models import OutboundMessage, Redaction, Reply
from service.patient_export import export_patient, file_name
from service.sight import message_in_sight, reply_in_sight
from service.web.doors import Deciding, DecidingLook, Desk, PageRoute, address_of, safe_next
from service.web.patient_pages import show_patient

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Text = Reply | OutboundMessage
Back = Annotated[str, Query(max_length=300)]


@router.post("/patients/{patient_id}/export")
def export(desk: Deciding, patient_id: str) -> Response:
    """Everything about one patient as a zip; the name of the file says nothing."""
    with session_on(desk.runtime.engine) as session:
        desk.patient(patient_id, session)
        content = export_patient(
            session, desk.runtime, now=desk.now, patient_id=patient_id, actor=desk.member.email,
            address=address_of(desk.request),
        )  # fmt: skip
    attached = {"Content-Disposition": f'attachment; filename="{file_name(patient_id)}"'}
    return Response(content, media_type="application/zip", headers=attached)


@router.post("/patients/{patient_id}/hold")
def hold(desk: Deciding, patient_id: str) -> Response:
    """Nothing of the patient is deleted or redacted from now on."""
    return _change_hold(desk, patient_id, "hold")


@router.post("/patients/{patient_id}/hold/lift")
def lift(desk: Deciding, patient_id: str) -> Response:
    return _change_hold(desk, patient_id, "lift")


def _change_hold(desk: Desk, patient_id: str, name: str) -> Response:
    act = legal_holds.set_hold if name == "hold" else legal_holds.lift_hold
    with session_on(desk.runtime.engine) as session:
        desk.patient(patient_id, session)
        try:
            act(
                session, now=desk.now, patient_id=patient_id, reason=desk.text("reason", 2000),
                actor=desk.member.email, address=address_of(desk.request),
            )  # fmt: skip
        except legal_holds.HoldRefused as error:
            session.rollback()
            return show_patient(desk, patient_id, status=422, fault=desk.t(str(error)))
    return RedirectResponse(f"/patients/{patient_id}?done={name}", 303)


@router.get("/replies/{reply_id}/redact")
def ask_reply(desk: DecidingLook, reply_id: str, back: Back = "/") -> Response:
    """What is about to go, before it goes."""
    return _asked(desk, _reply(desk, desk.session, reply_id), back)


@router.get("/messages/{message_id}/redact")
def ask_message(desk: DecidingLook, message_id: str, back: Back = "/") -> Response:
    return _asked(desk, _message(desk, desk.session, message_id), back)


@router.post("/replies/{reply_id}/redact")
def redact_reply(desk: Deciding, reply_id: str) -> Response:
    return _redacted(desk, reply_id, is_reply=True)


@router.post("/messages/{message_id}/redact")
def redact_message(desk: Deciding, message_id: str) -> Response:
    return _redacted(desk, message_id, is_reply=False)


def _reply(desk: Desk, session: Session, reply_id: str) -> Reply:
    found = reply_in_sight(session, desk.sight, reply_id)
    if found is None:
        raise HTTPException(404)
    return found


def _message(desk: Desk, session: Session, message_id: str) -> OutboundMessage:
    found = message_in_sight(session, desk.sight, message_id)
    if found is None:
        raise HTTPException(404)
    return found


def _asked(desk: Desk, text: Text, back: str, status: int = 200, fault: str = "") -> Response:
    is_reply = isinstance(text, Reply)
    kind = "reply" if is_reply else "message"
    if not fault:
        desk.looked("view text", kind, text.id)
    column = Redaction.reply_id if is_reply else Redaction.message_id
    return desk.page(
        "redact.html",
        status=status,
        text=text,
        is_reply=is_reply,
        done=desk.session.exec(select(Redaction).where(column == text.id)).one_or_none(),
        reasons=redactions.REASONS,
        forgets=desk.runtime.settings.carrier_forgets_after is not None,
        back=safe_next(back),
        fault=fault,
    )


def _redacted(desk: Desk, text_id: str, is_reply: bool) -> Response:
    back = safe_next(desk.text("back", 300))
    given = {
        "now": desk.now, "why": desk.text("why", 40), "actor": desk.member.email,
        "address": address_of(desk.request),
    }  # fmt: skip
    with session_on(desk.runtime.engine) as session:
        text: Text = _reply(desk, session, text_id) if is_reply else _message(desk, session, text_id)
        try:
            if is_reply:
                redactions.redact_reply(session, desk.runtime, reply_id=text.id, **given)
            else:
                redactions.redact_message(session, desk.runtime, message_id=text.id, **given)
        except ValueError:
            session.rollback()
            return _asked(desk, text, back, 422, desk.t("Choose why."))
        except redactions.RedactionRefused as error:
            session.rollback()
            return _asked(desk, text, back, 409, desk.t(str(error)))
    return RedirectResponse(back, 303)
