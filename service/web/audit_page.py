"""The audit trail: searched, read and handed out by admins."""

from datetime import date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import Response, StreamingResponse

from service import audit_search
from service.audit_search import Wanted
from service.sight import audit_in_sight
from service.web.doors import AdminLooking, PageRoute, address_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PER_PAGE = 100
KINDS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
SUBJECTS = (
    "patient", "enrollment", "escalation", "reply", "message", "member", "team", "token", "shift", "session",
    "site", "audit",
)  # fmt: skip
Words = Annotated[str, Query(max_length=80)]


def wanted(
    desk: AdminLooking,
    q: Words = "",
    who: Words = "",
    what: Words = "",
    kind: Words = "",
    about: Words = "",
    since: Annotated[str, Query(max_length=40, alias="from")] = "",
    until: Annotated[str, Query(max_length=40, alias="to")] = "",
) -> Wanted:
    """The search of the form; days are those of the member's own time zone, the last one included."""
    zone = ZoneInfo(desk.zone)
    try:
        first = date.fromisoformat(since) if since else None
        last = date.fromisoformat(until) + timedelta(days=1) if until else None
    except (ValueError, OverflowError) as error:
        raise HTTPException(422, desk.t("Write a day like 2027-03-12.")) from error
    return Wanted(
        who=who.strip(),
        what=what.strip(),
        kind=kind.strip(),
        about=about.strip().lower(),
        words=q.strip(),
        since=datetime.combine(first, time(), zone) if first else None,
        until=datetime.combine(last, time(), zone) if last else None,
    )


Search = Annotated[Wanted, Depends(wanted)]


@router.get("/audit")
def audit_trail(desk: AdminLooking, search: Search, before: Words = "") -> Response:
    """Who looked at what and did what, newest first."""
    where = audit_in_sight(desk.sight, desk.member.email) & audit_search.condition(search)
    found = audit_search.newest(desk.session, where, PER_PAGE + 1, _place(before))
    more = f"{found[-2].at.isoformat()}|{found[-2].id}" if len(found) > PER_PAGE else ""
    desk.looked("view audit trail", "audit", **search.named)
    query = desk.request.query_params
    given = {name: query.get(name, "") for name in ("q", "who", "what", "kind", "about", "from", "to")}
    return desk.page(
        "audit.html",
        events=found[:PER_PAGE],
        more=more,
        given=given,
        is_narrow=any(given.values()),
        subjects=SUBJECTS,
    )


def _place(before: str) -> tuple[datetime, str] | None:
    stamp, _, event_id = before.partition("|")
    if not event_id:
        return None
    try:
        at = datetime.fromisoformat(stamp.replace(" ", "+"))
    except ValueError as error:
        raise HTTPException(404) from error
    if at.tzinfo is None:
        raise HTTPException(404)
    return at, event_id


@router.get("/audit/export")
def export(
    desk: AdminLooking, search: Search, fmt: Annotated[str, Query(max_length=8, alias="format")] = "csv"
) -> Response:
    """What the search finds as a file, oldest first."""
    if fmt not in audit_search.FORMATS:
        raise HTTPException(404)
    where = audit_in_sight(desk.sight, desk.member.email) & audit_search.condition(search)
    audit_search.note_export(
        desk.runtime, search, now=desk.now, actor=desk.member.email, fmt=fmt, address=address_of(desk.request)
    )
    name = f"aftercare-audit-{desk.now:%Y%m%d-%H%M%S}.{fmt}"
    return StreamingResponse(
        audit_search.export(desk.runtime, where, fmt),
        media_type=KINDS[fmt],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
