"""The week of the on-call calendar: days of the clinic, gaps in words, changes that rewrite nothing."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from service import oncall, oncall_week
from service.models import AuditEvent, OnCallShift
from service.runtime import Runtime
from tests.care_teams import two_teams
from tests.clinic import NURSE, SECOND, in_session, member, rows
from tests.conftest import SetClock
from tests.web_clinic import browser_of, words_of

CHICAGO = ZoneInfo("America/Chicago")
HOUR = timedelta(hours=1)


def at(day: int, hour: int = 0, month: int = 3) -> datetime:
    return datetime(2027, month, day, hour, tzinfo=CHICAGO).astimezone(UTC)


def week(runtime: Runtime, monday: date) -> tuple[oncall_week.Line, ...]:
    return in_session(runtime, lambda session, now: oncall_week.week_of(session, runtime.site, monday))


def put(
    runtime: Runtime, who: str, tier: int, start: datetime, end: datetime | None, **values: Any
) -> OnCallShift:
    return in_session(
        runtime,
        oncall.add_shift,
        actor="test",
        member_id=who,
        tier=tier,
        starts_at=start,
        ends_at=end,
        **values,
    )


@pytest.fixture
def kim(runtime: Runtime) -> str:
    return member(runtime, "Kim Day", NURSE, tier=None).id


@pytest.fixture
def sam(runtime: Runtime) -> str:
    return member(runtime, "Sam Night", SECOND, tier=None).id


def said(line: oncall_week.Line) -> list[list[tuple[str, str, float]]]:
    """Per day: holders, why not, hours."""
    return [
        [
            (
                "+".join(person.name for _, person in piece.shifts),
                piece.why,
                (piece.ends_at - piece.starts_at) / HOUR,
            )
            for piece in cell.pieces
        ]
        for cell in line.cells
    ]


def test_days_are_cut_where_holders_change_and_gaps_are_said(runtime: Runtime, kim: str, sam: str):
    put(runtime, kim, 1, at(1, 7), at(1, 19))
    put(runtime, sam, 1, at(1, 19), at(2, 7))
    first, second, third = week(runtime, date(2027, 3, 1))
    days = said(first)
    assert days[0] == [("", "nobody", 7), ("Kim Day", "", 12), ("Sam Night", "", 5)]
    assert days[1] == [("Sam Night", "", 7), ("", "nobody", 17)]
    assert days[6] == [("", "nobody", 24)]
    assert (first.is_used, second.is_used, third.is_used) == (True, False, False)


def test_a_week_in_which_the_clocks_change_has_a_day_of_23_and_one_of_25_hours(runtime: Runtime, kim: str):
    put(runtime, kim, 1, at(1), None)
    spring, autumn = week(runtime, date(2027, 3, 8))[0], week(runtime, date(2027, 11, 1))[0]
    assert said(spring)[6] == [("Kim Day", "", 23)] and said(spring)[5] == [("Kim Day", "", 24)]
    assert said(autumn)[6] == [("Kim Day", "", 25)]
    for line in (spring, autumn):
        for one, other in zip(line.cells, line.cells[1:], strict=False):
            assert one.ends_at == other.starts_at, "no hour is lost or doubled"


def test_a_night_that_repeats_keeps_its_clock_time_over_the_change(runtime: Runtime):
    nights = list(oncall_week.repeated(at(12, 19), at(13, 7), 3, CHICAGO))
    assert [start.astimezone(CHICAGO).hour for start, _ in nights] == [19] * 4
    assert [end.astimezone(CHICAGO).hour for _, end in nights if end] == [7] * 4
    assert [(end - start) / HOUR for start, end in nights if end] == [12, 11, 12, 12]
    with pytest.raises(oncall.ShiftError):
        list(oncall_week.repeated(at(12), None, 2, CHICAGO))
    with pytest.raises(oncall.ShiftError):
        list(oncall_week.repeated(at(12), at(13), 99, CHICAGO))


def test_the_gaps_of_the_week_are_the_gaps_that_are_warned_of(runtime: Runtime, kim: str, sam: str):
    put(runtime, kim, 1, at(2, 7), at(3, 19))
    put(runtime, sam, 1, at(3, 10), at(3, 12), override=True)
    put(runtime, sam, 2, at(5), at(6))
    start, end = at(1), at(8)
    warned = in_session(runtime, lambda session, now: oncall.gaps(session, runtime.site, start, end))
    shown = {}
    for line in week(runtime, date(2027, 3, 1)):
        pieces = [piece for cell in line.cells for piece in cell.pieces if piece.is_gap and line.is_used]
        shown[line.tier] = sum((piece.ends_at - piece.starts_at for piece in pieces), timedelta())
    for tier in (1, 2):
        assert shown[tier] == sum(
            (gap.ends_at - gap.starts_at for gap in warned if gap.tier == tier), timedelta()
        )
    assert ("Sam Night", "", 2) in said(week(runtime, date(2027, 3, 1))[0])[2], "an override stands alone"


def test_a_change_before_its_time_replaces_and_a_change_in_between_keeps_what_was(
    runtime: Runtime, clock: SetClock, kim: str, sam: str
):
    ahead = put(runtime, kim, 1, at(3), at(4))
    running = put(runtime, kim, 2, at(1), at(5))
    given = {"actor": "boss@clinic.example", "override": False}
    in_session(
        runtime, oncall_week.change_shift, shift_id=ahead.id, member_id=sam, tier=1, starts_at=at(3),
        ends_at=at(4, 12), **given,
    )  # fmt: skip
    (moved,) = rows(runtime, OnCallShift, OnCallShift.tier == 1)
    assert (moved.member_id, moved.starts_at, moved.ends_at) == (sam, at(3), at(4, 12))
    in_session(
        runtime, oncall_week.change_shift, shift_id=running.id, member_id=sam, tier=2, starts_at=at(1),
        ends_at=at(5), **given,
    )  # fmt: skip
    found = sorted(rows(runtime, OnCallShift, OnCallShift.tier == 2), key=lambda shift: shift.starts_at)
    assert [(shift.member_id, shift.starts_at, shift.ends_at) for shift in found] == [
        (kim, at(1), clock()),
        (sam, clock(), at(5)),
    ]
    told = rows(runtime, AuditEvent, AuditEvent.action == "change shift")
    assert {event.detail["from"]["member"] for event in told if event.detail} == {kim}


def test_what_is_over_or_wrong_is_not_changed(runtime: Runtime, clock: SetClock, kim: str):
    over = put(runtime, kim, 1, at(1), at(1, 2))
    ahead = put(runtime, kim, 1, at(3), at(4))
    wrong = [
        (over.id, {}),
        (ahead.id, {"member_id": "nobody"}),
        (ahead.id, {"tier": 0}),
        (ahead.id, {"ends_at": at(2)}),
        (ahead.id, {"ends_at": None, "override": True}),
        ("nothing", {}),
    ]
    for shift_id, values in wrong:
        given = {
            "member_id": kim,
            "tier": 1,
            "starts_at": at(3),
            "ends_at": at(4),
            "override": False,
        } | values
        with pytest.raises(oncall.ShiftError):
            in_session(runtime, oncall_week.change_shift, actor="x", shift_id=shift_id, **given)
    assert len(rows(runtime, OnCallShift)) == 2


def test_the_page_shows_the_week_and_takes_changes_without_a_script(runtime: Runtime, kim: str, sam: str):
    boss = browser_of(runtime, "Boss", role="admin")
    page = boss.text("/on-call?week=2027-03-08")
    assert "Nobody" in words_of(page) and "Week of Mon Mar 8" in words_of(page)
    assert 'rel="next" href' not in page and "week=2027-03-15" in page and "week=2027-03-01" in page
    fields = {"member_id": sam, "tier": "1", "starts_at": "2027-03-12T19:00", "ends_at": "2027-03-13T07:00"}
    answer = boss.post("/on-call", **fields, repeat="1")
    assert answer.headers["location"] == "/on-call?week=2027-03-08"
    first, second = sorted(rows(runtime, OnCallShift), key=lambda shift: shift.starts_at)
    assert (first.starts_at, second.ends_at) == (at(12, 19), at(14, 7)), "times are the clinic's"
    form = boss.text(f"/on-call?week=2027-03-08&shift={first.id}")
    assert (
        'value="2027-03-12T19:00"' in form
        and f'action="/on-call/{first.id}/change?week=2027-03-08&amp;shift={first.id}"' in form
    )
    assert boss.post(f"/on-call/{first.id}/change", **(fields | {"tier": "2"})).status_code == 303
    assert {shift.tier for shift in rows(runtime, OnCallShift)} == {1, 2}
    assert boss.post(f"/on-call/{second.id}/change", **(fields | {"ends_at": "x"})).status_code == 422
    assert boss.post("/on-call/nothing/change", **fields).status_code == 404
    empty = boss.text("/on-call?week=2027-03-08&tier=1&day=2027-03-09&from=00:00&until=00:00")
    assert 'value="2027-03-09T00:00"' in empty and 'value="2027-03-10T00:00"' in empty, "a gap fills the form"
    for address in ("week=rubbish", "week=9999-01-01", "day=0001-01-01"):
        assert boss.get(f"/on-call?{address}").status_code == 404
    viewer = browser_of(runtime, "Lee", role="viewer")
    assert "/change" not in viewer.text(f"/on-call?week=2027-03-08&shift={second.id}")


def chosen(page: str) -> str:
    """The team that the calendar's chooser shows as the one looked at."""
    nav = page.split('<nav class="views"', 1)[1].split("</nav>", 1)[0]
    return words_of(nav.split('aria-current="page"', 1)[1].split("</a>", 1)[0].lstrip(">"))


def the_week(page: str) -> str:
    return words_of(page.split('<table class="week">', 1)[1].split("</table>", 1)[0])


def test_a_team_is_chosen_on_the_calendar_and_stays_chosen_through_every_act(runtime: Runtime):
    """Whoever looks at a team's week adds, changes and ends that team's shifts and sees them at once."""
    found = two_teams(runtime, SECOND)
    boss = browser_of(runtime, "Boss Ryan", role="admin", phone=NURSE)
    put(runtime, boss.member.id, 1, at(1), None)
    north = f"/on-call?week=2027-03-08&team={found.other.id}"
    page = boss.text(north)
    assert chosen(page) == "Spine North" and chosen(boss.text("/on-call?week=2027-03-08")) == "all teams"
    assert f'href="/on-call?team={found.other.id}">This week' in page
    assert "Boss Ryan all day all teams" in the_week(page), "where it has nobody, all teams' shift pages"
    form = page.split('id="add"', 1)[1]
    action = form.split('action="', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    assert f'value="{found.other.id}" selected' in form, "what is added here is this team's"

    fields = {"member_id": found.lee.id, "tier": "1", "team": found.other.id}
    wrong = boss.post(action, **fields, starts_at="2027-03-10T19:00", ends_at="2027-03-10T07:00")
    assert wrong.status_code == 422 and chosen(wrong.text) == "Spine North"
    assert "Mar 10" in the_week(wrong.text), "the week she looked at is still open"
    added = boss.post(action, **fields, starts_at="2027-03-10T07:00", ends_at="2027-03-10T19:00")
    assert added.headers["location"] == north
    seen = the_week(boss.text(north))
    assert "Lee North 07:00–19:00" in seen and seen.index("Lee North") < seen.index("07:00–19:00 all teams")
    assert "Lee North" not in the_week(boss.text("/on-call?week=2027-03-08")), "it is one team's only"
    elsewhere = boss.post("/on-call", **fields, starts_at="2027-03-11T07:00", ends_at="2027-03-11T19:00")
    assert elsewhere.headers["location"] == north, "a team's shift is shown on that team's week"

    (shift, _) = sorted(
        rows(runtime, OnCallShift, OnCallShift.team_id == found.other.id), key=lambda one: one.starts_at
    )
    opened = f"{north}&shift={shift.id}"
    change = boss.text(opened).split('id="change"', 1)[1].split('action="', 1)[1].split('"', 1)[0]
    to = {"member_id": found.lee.id, "tier": "2"}
    refused = boss.post(
        change.replace("&amp;", "&"), **to, starts_at="2027-03-10T08:00", ends_at="2027-03-10T06:00"
    )
    assert refused.status_code == 422 and chosen(refused.text) == "Spine North"
    again = refused.text.split('id="change"', 1)[1].split("</form>", 1)[0]
    assert 'value="2027-03-10T08:00"' in again and "<option selected>2</option>" in again, "typed is back"
    assert 'value="2027-03-10T08:00"' not in refused.text.split('id="add"', 1)[1], "in its own form only"
    changed = boss.post(
        change.replace("&amp;", "&"), **to, starts_at="2027-03-10T08:00", ends_at="2027-03-10T18:00"
    )
    assert changed.headers["location"] == north and "Lee North 08:00–18:00" in the_week(boss.text(north))
    for one in rows(runtime, OnCallShift, OnCallShift.team_id == found.other.id):
        ended = boss.post(f"/on-call/{one.id}/end?week=2027-03-08&team={found.other.id}")
        assert ended.headers["location"] == north
    assert "Lee North" not in the_week(boss.text(north))


def test_a_team_is_told_whom_its_pages_reach_and_a_tier_of_another_team_is_no_gap(
    runtime: Runtime, clock: SetClock
):
    found = two_teams(runtime, SECOND)
    boss = browser_of(runtime, "Boss Ryan", role="admin", phone=NURSE)
    put(runtime, boss.member.id, 1, at(1), None)
    for tier in (1, 2):
        put(runtime, found.lee.id, tier, clock() - HOUR, clock() + 300 * HOUR, team_id=found.other.id)
    everyone, north = boss.text("/on-call"), boss.text(f"/on-call?team={found.other.id}")
    assert "Tier 1 now Boss Ryan" in words_of(everyone)
    assert "Tier 1 now Lee North" in words_of(north) and "Tier 2 now Lee North" in words_of(north)
    assert "Tier 2 now Lee North" not in words_of(everyone) and "2 not used" in the_week(everyone)
    assert "2 not used" not in the_week(north)
