"""Texts from a member's phone: taking an escalation by its code, and blocking or unblocking pages.

The code is needed because a sender's number can be forged; wrong codes in a row are reported to the team.
"""

import re
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from messages.reply import carrier_word
from messages.urgency import Urgency
from messages.wording import standard_text
from service import escalation_acts, escalations, oncall, outbox, paging
from service.escalation_rows import locked
from service.models import Escalation, Mark, Member, Reply
from service.runtime import Runtime
from service.sight import sight_of_member
from service.surroundings import Around

_ACKNOWLEDGES = re.compile(r"^\W*(?P<word>ack\w*|take|tomo)?\W*(?P<code>\d{4,6})\W*$", re.IGNORECASE)
WRONG_CODES_WITHIN = timedelta(minutes=10)
WRONG_CODES_REPORTED = 3
NOTICE_USEFUL = timedelta(minutes=30)


def obey(session: Session, runtime: Runtime, around: Around, member: Member, now: datetime) -> bool:
    """Do what a member's text asks for. False: it is no such text, read it like anybody's. Does not commit.

    A number alone counts as a code; when it fits none and the phone is a patient's too, it is an answer.
    """
    reply, is_patient = around.reply, bool(around.senders)
    word = carrier_word(reply.body)
    if word == "stop":
        around.state.opted_out_at = now
        session.add(around.state)
        paging.block_member(session, member, now)
        _tell_team_of_block(session, runtime, member, now)
        return not is_patient  # who is a patient too has opted out of check-ins as well
    if word == "start":
        paging.unblock_member(session, member, keep_opt_out=is_patient)
        return not is_patient
    match = _ACKNOWLEDGES.match(reply.body)
    if match is None:
        return False
    sight = sight_of_member(session, member, now)
    row = session.exec(
        select(Escalation).where(
            Escalation.code == match["code"], Escalation.status != "resolved", sight.of_escalations()
        )
    ).first()
    if row is None:
        if is_patient and not match["word"]:
            return False
        _wrong_code(session, runtime, reply, member, match["code"], now)
        return True
    _take(session, runtime, reply, member, row, now)
    return True


def _take(
    session: Session, runtime: Runtime, reply: Reply, member: Member, row: Escalation, now: datetime
) -> None:
    row = locked(session, row.id)
    try:
        escalation_acts.acknowledge_row(session, row, now=now, site=runtime.site, actor=member.email)
    except escalations.HeldByOther as held:
        holder = session.exec(select(Member).where(Member.email == held.holder)).one_or_none()
        _tell(
            session,
            runtime,
            reply,
            member,
            "page_too_late",
            now,
            row,
            name=holder.name if holder else held.holder,
        )
    else:
        _tell(session, runtime, reply, member, "page_acknowledged", now, row)


def _wrong_code(
    session: Session, runtime: Runtime, reply: Reply, member: Member, code: str, now: datetime
) -> None:
    _tell(session, runtime, reply, member, "page_code_wrong", now, None, code=code)
    mark = session.get(Mark, f"wrong_codes:{member.id}", with_for_update=True)
    if mark is None:
        mark = Mark(name=f"wrong_codes:{member.id}", at=now)
    if mark.count == 0 or now - mark.at > WRONG_CODES_WITHIN:
        mark.at, mark.count = now, 0
    mark.count += 1
    session.add(mark)
    if mark.count == WRONG_CODES_REPORTED:
        escalations.open_escalation(
            session,
            now=now,
            site=runtime.site,
            reason="wrong_codes",
            urgency=Urgency.URGENT,
            phone=reply.from_phone,
            reply_id=reply.id,
            summary=f"{WRONG_CODES_REPORTED} wrong codes within 10 minutes from {member.name}'s number: "
            "ask them; somebody may be using their number.",
        )


def _tell_team_of_block(session: Session, runtime: Runtime, member: Member, now: datetime) -> None:
    escalations.open_escalation(
        session,
        now=now,
        site=runtime.site,
        reason="pages_blocked",
        urgency=Urgency.URGENT,
        phone=member.phone,
        summary=f"{member.name} texted STOP: pages no longer reach that phone. They must text START.",
    )


def _tell(
    session: Session,
    runtime: Runtime,
    reply: Reply,
    member: Member,
    key: str,
    now: datetime,
    row: Escalation | None,
    **values: str,
) -> None:
    if not oncall.pageable(session, [member]):
        return
    link = paging.link_to(runtime, row) if row else runtime.settings.public_url
    outbox.queue(
        session,
        now=now,
        key=f"member:{key}:{reply.id}",
        kind="notice",
        to_phone=reply.from_phone,
        body=standard_text(key, member.language, **{"code": row.code if row else "", "link": link, **values}),
        language=member.language,
        priority=1,
        expires_at=now + NOTICE_USEFUL,
        member_id=member.id,
        escalation_id=row.id if row else None,
        reply_id=reply.id,
    )


def blocked_members(session: Session) -> list[Member]:
    """Members whose carrier refuses our pages: the dashboard's red banner and ``aftercare check`` name
    them."""
    rows = session.exec(
        select(Member).where(col(Member.pages_blocked_at).is_not(None), col(Member.disabled_at).is_(None))
    )
    return sorted(rows, key=lambda member: member.name)
