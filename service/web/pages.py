"""Every page of the dashboard, and the files they load."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from service.web import (
    audit_page,
    care_team_pages,
    enroll_page,
    escalation_page,
    glass_pages,
    link_pages,
    live,
    member_page,
    patient_pages,
    picture_pages,
    queue,
    record_pages,
    render,
    report_pages,
    security_pages,
    sign_in,
    site_page,
    sso_pages,
    team_pages,
)

router = APIRouter(include_in_schema=False)

KINDS = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "toml": "text/plain",
}


@router.get("/static/{path:path}")
def static(request: Request, path: str, v: str = "") -> Response:
    """A file of ours or a vendored one; an address that carries the content's hash may be kept for ever."""
    found = render.static_files().get(path)
    if found is None:
        raise HTTPException(404)
    content, digest = found
    keep = "public, max-age=31536000, immutable" if v == digest else "public, max-age=300"
    headers = {"Cache-Control": keep, "ETag": f'"{digest}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    kind = KINDS.get(path.rsplit(".", 1)[-1], "application/octet-stream")
    return Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)


MODULES = (
    sign_in, sso_pages, link_pages, security_pages, live, queue, escalation_page, patient_pages,
    picture_pages, record_pages, enroll_page, team_pages, member_page, audit_page, report_pages,
    site_page,
    care_team_pages, glass_pages,
)  # fmt: skip

for module in MODULES:
    router.include_router(module.router)
