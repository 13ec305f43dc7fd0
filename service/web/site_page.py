"""The clinic's values, changed by an admin: previewed before they are saved, one click back to the file's."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from messages.sms import segments
from service import site_versions
from service.db import session_on
from service.site_fields import FIELDS, SECTIONS
from service.web.doors import Administering, AdminLooking, Desk, PageRoute, address_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

LONGEST = 2000


@router.get("/settings/edit")
def edit(desk: AdminLooking, done: str = "") -> Response:
    """Every value with what the site file says."""
    return _page(desk, done="Saved. Every process follows within a minute." if done else "")


def _page(
    desk: Desk,
    *,
    status: int = 200,
    typed: Mapping[str, str] | None = None,
    faults: Mapping[str, str] | None = None,
    planned: Any = None,
    done: str = "",
) -> Response:
    held = site_versions.newest(desk.session)
    overrides = held.overrides if held else {}
    settings = desk.runtime.settings
    shown = site_versions.shown(site_versions.site_with(settings, overrides))
    longest, parts = (
        (planned.longest, planned.parts)
        if planned
        else site_versions.longest_text(desk.runtime.site, desk.runtime.protocols)
    )
    return desk.page(
        "settings_edit.html",
        status=status,
        sections=[(name, [field for field in FIELDS if field.table == name]) for name in SECTIONS],
        shown={**shown, **(typed or {})},
        from_file=site_versions.shown(site_versions.site_with(settings, {})),
        overrides=overrides,
        faults=faults or {},
        planned=planned,
        longest=longest,
        parts=parts,
        count=segments,
        seen=held.number if held else 0,
        done=done,
    )


@router.post("/settings/edit")
def save(desk: Administering) -> Response:
    """Preview, save, or put one value back to the file's."""
    typed = {field.name: _text(desk, field.name) for field in FIELDS if field.name in desk.form}
    back = desk.text("reset", 60)
    seen = desk.text("seen", 12)
    with session_on(desk.runtime.engine) as session:
        try:
            held = site_versions.newest(session)
            if back:
                from_file = site_versions.shown(site_versions.site_with(desk.runtime.settings, {}))
                typed = {name: from_file[name] for name in (back,) if name in from_file}
            elif desk.text("act", 10) == "preview":
                planned = site_versions.preview(desk.runtime, held.overrides if held else {}, typed)
                return _page(desk, typed=typed, planned=planned)
            site_versions.change(
                session, desk.runtime, now=desk.now, actor=desk.member.email, typed=typed,
                seen=int(seen) if seen.isdecimal() else -1, address=address_of(desk.request),
            )  # fmt: skip
        except site_versions.SiteFaults as error:
            session.rollback()
            return _page(desk, status=422, typed=typed, faults=error.faults)
    return RedirectResponse("/settings/edit?done=1", 303)


def _text(desk: Desk, name: str) -> str:
    """One field as typed; a browser ends lines with two signs."""
    return "\n".join(line.strip() for line in desk.text(name, LONGEST).splitlines())
