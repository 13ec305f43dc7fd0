"""Parameters that lists and rows share: ids, page length, cursor, times. All of them bounded."""

import re
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Query

from service.cursors import LONGEST_CURSOR
from service.enrollment_request import moment
from service.web.problems import Refused, invalid

ROW_ID = re.compile(r"[0-9a-f]{32}")
LONGEST_PAGE = 1000
USUAL_PAGE = 50


def row_id(id: Annotated[str, Path(description="Opaque id")]) -> str:
    """An id in the shape of ours. Anything else cannot exist: 404, as for one that does not."""
    if not ROW_ID.fullmatch(id):
        raise Refused(404, "There is no such id.")
    return id


def since_time(
    since: Annotated[str | None, Query(max_length=40, description="RFC 3339, included")] = None,
) -> datetime | None:
    """A time in the address; a plus sign that arrived as a blank is read as meant."""
    if not since:
        return None
    try:
        return moment(None)(re.sub(r" (?=\d\d:?\d\d$)", "+", since))
    except ValueError as error:
        raise invalid({"since": [str(error)]}) from error


RowId = Annotated[str, Depends(row_id)]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE)]
Cursor = Annotated[str | None, Query(max_length=LONGEST_CURSOR, description="From 'next' of the page before")]
Since = Annotated[datetime | None, Depends(since_time)]
