"""Who holds a tier, who stands above whom, and which hours nobody would be told."""

from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from service import oncall
from service.db import reading, session_on
from service.models import AuditEvent, Member, OnCallShift
from service.runtime import Runtime
from tests.clinic import NURSE, SECOND, in_session, member, rows

HOUR = timedelta(hours=1)


@pytest.fixture
def nora(runtime: Runtime) -> Member:
    return member(runtime, tier=None)


@pytest.fixture
def sam(runtime: Runtime) -> Member:
    return member(runtime, "Sam Second", SECOND, tier=None)


def shift(runtime: Runtime, person: Member, start: float, end: float | None, **values) -> OnCallShift:
    """Hours from now."""
    now = runtime.clock()
    return in_session(
        runtime,
        oncall.add_shift,
        actor="test",
        member_id=person.id,
        tier=values.pop("tier", 1),
        starts_at=now + start * HOUR,
        ends_at=None if end is None else now + end * HOUR,
        **values,
    )


def holds(runtime: Runtime, hours: float, tier: int = 1) -> list[str]:
    with reading(runtime.engine) as session:
        return [m.name for m in oncall.on_call(session, tier, runtime.clock() + hours * HOUR)]


def gaps(runtime: Runtime, end: float) -> list[tuple[int, float, float, str]]:
    now: datetime = runtime.clock()
    with reading(runtime.engine) as session:
        found = oncall.gaps(session, runtime.site, now, now + end * HOUR)
    return [(g.tier, (g.starts_at - now) / HOUR, (g.ends_at - now) / HOUR, g.why) for g in found]


def test_a_shift_holds_from_its_start_until_just_before_its_end(runtime: Runtime, nora: Member) -> None:
    shift(runtime, nora, 1, 2)
    assert [holds(runtime, hours) for hours in (0.99, 1, 1.99, 2)] == [[], ["Nora Nurse"], ["Nora Nurse"], []]


def test_a_shift_without_an_end_holds_around_the_clock(runtime: Runtime, nora: Member) -> None:
    shift(runtime, nora, 0, None)
    assert holds(runtime, 24 * 400) == ["Nora Nurse"]
    assert holds(runtime, 5, tier=2) == []


def test_an_override_stands_above_while_it_lasts(runtime: Runtime, nora: Member, sam: Member) -> None:
    shift(runtime, nora, 0, None)
    shift(runtime, sam, 2, 4, override=True)
    assert [holds(runtime, hours) for hours in (1, 3, 4)] == [["Nora Nurse"], ["Sam Second"], ["Nora Nurse"]]


def test_handing_over_now_ends_an_earlier_override(runtime: Runtime, nora: Member, sam: Member) -> None:
    shift(runtime, nora, -1, 5, override=True)
    in_session(
        runtime,
        oncall.hand_over_tier,
        actor="test",
        tier=1,
        to_member_id=sam.id,
        until=runtime.clock() + 3 * HOUR,
    )
    assert [holds(runtime, hours) for hours in (0, 2, 4)] == [["Sam Second"], ["Sam Second"], []]


def test_two_on_one_tier_are_both_told_and_the_disabled_is_not(
    runtime: Runtime, nora: Member, sam: Member
) -> None:
    shift(runtime, nora, 0, None)
    shift(runtime, sam, 0, None)
    member(runtime, "Gone Away", "+13125550177", tier=None, disabled_at=runtime.clock())
    with session_on(runtime.engine) as session:
        gone = session.exec(select(Member).where(Member.name == "Gone Away")).one()
        session.add(
            OnCallShift(
                member_id=gone.id,
                tier=1,
                starts_at=runtime.clock(),
                created_by="test",
                created_at=runtime.clock(),
            )
        )
        session.commit()
    assert holds(runtime, 1) == ["Nora Nurse", "Sam Second"]


def test_gaps_are_seen_before_they_happen(runtime: Runtime, nora: Member, sam: Member) -> None:
    shift(runtime, nora, 0, 3)
    shift(runtime, sam, 5, 9)
    assert gaps(runtime, 12) == [(1, 3, 5, "nobody"), (1, 9, 12, "nobody")]


def test_a_clinic_with_nobody_on_call_is_one_gap_and_a_tier_never_staffed_is_none(runtime: Runtime) -> None:
    assert gaps(runtime, 24) == [(1, 0, 24, "nobody")]


def test_a_second_tier_that_was_ever_staffed_is_watched_too(
    runtime: Runtime, nora: Member, sam: Member
) -> None:
    shift(runtime, nora, 0, None)
    shift(runtime, sam, 0, 2, tier=2)
    assert gaps(runtime, 6) == [(2, 2, 6, "nobody")]


def test_somebody_whose_phone_takes_no_pages_is_a_gap_of_its_own_kind(runtime: Runtime) -> None:
    member(runtime, pages_blocked_at=runtime.clock())
    assert gaps(runtime, 6) == [(1, 0, 6, "no phone")]


@pytest.mark.parametrize(
    "values, said",
    [
        ({"start": 2, "end": 1}, "ends before it starts"),
        ({"start": 0, "end": None, "override": True}, "needs an end"),
        ({"start": 0, "end": 1, "tier": 0}, "tier"),
    ],
)
def test_a_shift_that_cannot_be_is_refused(runtime: Runtime, nora: Member, values: dict, said: str) -> None:
    with pytest.raises(oncall.ShiftError, match=said):
        shift(runtime, nora, **values)
    assert rows(runtime, OnCallShift) == []


def test_who_has_no_phone_cannot_be_on_call(runtime: Runtime) -> None:
    with pytest.raises(oncall.ShiftError, match="phone"):
        shift(runtime, member(runtime, phone=None, tier=None), 0, None)


def test_ending_a_shift_early_and_one_that_never_began(runtime: Runtime, nora: Member) -> None:
    running, coming = shift(runtime, nora, -1, 5), shift(runtime, nora, 6, 9)
    for one in (running, coming):
        in_session(runtime, oncall.end_shift, actor="test", shift_id=one.id, at=runtime.clock())
    assert [row.id for row in rows(runtime, OnCallShift)] == [running.id]
    assert holds(runtime, 0) == []
    with pytest.raises(oncall.ShiftError, match="ended already"):
        in_session(runtime, oncall.end_shift, actor="test", shift_id=running.id, at=runtime.clock())


def test_every_change_of_shifts_is_in_the_audit_trail(runtime: Runtime, nora: Member) -> None:
    shift(runtime, nora, 0, 1)
    assert [event.action for event in rows(runtime, AuditEvent)] == ["add shift"]
    assert NURSE not in str([event.detail for event in rows(runtime, AuditEvent)])
