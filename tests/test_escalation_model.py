"""Random days at a clinic: whatever patients, nurses, phones, shifts and crashes do, no red flag is ever
without an owner or a next event, pages never stop before an acknowledgement, and none goes out after the
resolution."""

from collections.abc import Callable
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlmodel import Session, col, func, select

from jobs import page_on_call, watch_escalations
from messages.urgency import Urgency
from service import escalations, oncall, paging
from service.db import reading, session_on
from service.models import Escalation, Member, OnCallShift, OutboundMessage, StoredAssessment, metadata
from service.runtime import Runtime, make_runtime
from tests.clinic import NURSE, SECOND, THIRD, enroll, member, text
from tests.conftest import SetClock, settings_for
from tests.spared import examples

PATIENTS = ("+13125550111", "+13125550112", "+13125550199")  # the last is unknown to the clinic
TEXTS = (
    "my foot is numb",
    "cant breathe",
    "zxcv bnm",
    "fine thanks",
    "i fell and my back hurts",
    "STOP",
    "yes",
    "",
)
STAFF = ("nora", "sam", "tess")
PHONES = dict(zip(STAFF, (NURSE, SECOND, THIRD), strict=True))
SLACK = timedelta(minutes=15)


class Clinic(RuleBasedStateMachine):
    """The clinic as the model sees it: what urgency each escalation has reached, how many pages it had when
    it was resolved."""

    def __init__(self, runtime: Runtime, clock: SetClock) -> None:
        super().__init__()
        self.runtime, self.clock = runtime, clock
        self.reached: dict[str, int] = {}
        self.pages_when_resolved: dict[str, int] = {}

    @initialize()
    def open_the_clinic(self) -> None:
        empty_database(self.runtime)
        self.clock.now = SetClock().now
        for tier, name in enumerate(STAFF, start=1):
            member(self.runtime, name.title(), PHONES[name], tier=tier)
        enroll(self.runtime, PATIENTS[0], "Ana Doe", days=2)
        enroll(self.runtime, PATIENTS[1], "Ben Roe", days=9)

    # -- what may happen
    # ---------------------------------------------------------------------------------------

    @rule(phone=st.sampled_from(PATIENTS), body=st.sampled_from(TEXTS), media=st.booleans())
    def somebody_writes(self, phone: str, body: str, media: bool) -> None:
        self.clock.advance(seconds=40)
        text(self.runtime, phone, body, media=[{"type": "image/jpeg"}] if media else None)

    @rule(minutes=st.sampled_from([1, 4, 16, 61, 600]))
    def time_passes(self, minutes: int) -> None:
        until = self.clock() + timedelta(minutes=minutes)
        for _ in range(400):
            following = self._one(
                select(func.min(Escalation.next_event_at)).where(Escalation.status != "resolved")
            )
            if following is None or following > until:
                break
            self.clock.now = max(following, self.clock())
            page_on_call.run(self.runtime, self.clock())
        self.clock.now = until

    @rule(minutes=st.sampled_from([7, 90]))
    def everything_stands_still(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)

    @rule(
        name=st.sampled_from(STAFF), nth=st.integers(0, 3), act=st.sampled_from(["acknowledge", "take_over"])
    )
    def a_nurse_takes_one(self, name: str, nth: int, act: str) -> None:
        self._act(nth, getattr(escalations, act), name)

    @rule(name=st.sampled_from(STAFF), nth=st.integers(0, 3), right=st.booleans())
    def a_nurse_texts_a_code(self, name: str, nth: int, right: bool) -> None:
        found = self._unresolved()
        code = found[nth % len(found)].code if found and right else "99999"
        text(self.runtime, PHONES[name], f"ACK {code}")

    @rule(name=st.sampled_from(STAFF), nth=st.integers(0, 3), method=st.sampled_from(escalations.METHODS))
    def a_nurse_calls_the_patient(self, name: str, nth: int, method: str) -> None:
        self._act(nth, escalations.contact, name, method=method)

    @rule(
        name=st.sampled_from(STAFF),
        nth=st.integers(0, 3),
        disposition=st.sampled_from(escalations.DISPOSITIONS),
    )
    def a_nurse_resolves_one(self, name: str, nth: int, disposition: str) -> None:
        self._act(nth, escalations.resolve, name, disposition=disposition, note="Done.")

    @rule(name=st.sampled_from(STAFF), to=st.sampled_from(STAFF), nth=st.integers(0, 3))
    def one_is_handed_over(self, name: str, to: str, nth: int) -> None:
        self._act(nth, escalations.hand_over, name, to=f"{to}@clinic.example")

    @rule(nth=st.integers(0, 5))
    def one_is_reopened(self, nth: int) -> None:
        resolved = self._rows(select(Escalation).where(Escalation.status == "resolved"))
        if resolved:
            row = sorted(resolved, key=lambda one: (one.opened_at, one.kind))[nth % len(resolved)]
            self._try(row.id, escalations.reopen, "nora")

    @rule(nth=st.integers(0, 2), told=st.booleans())
    def pages_to_somebody_are_lost(self, nth: int, told: bool) -> None:
        with session_on(self.runtime.engine) as session:
            pages = session.exec(
                select(OutboundMessage).where(
                    OutboundMessage.kind == "page", OutboundMessage.status == "planned"
                )
            ).all()
            phones = sorted({page.to_phone for page in pages})
            for page in pages:
                if page.to_phone != phones[nth % len(phones)]:
                    continue
                page.status, page.settled_at = "undelivered", self.clock()
                session.add(page)
                if told:
                    paging.page_failed(session, page, self.clock(), "30003")
            session.commit()

    @rule(name=st.sampled_from(STAFF), word=st.sampled_from(["STOP", "START"]))
    def a_nurse_stops_or_starts_pages(self, name: str, word: str) -> None:
        text(self.runtime, PHONES[name], word)

    @rule(name=st.sampled_from(STAFF), tier=st.integers(1, 3), hours=st.integers(1, 12))
    def a_shift_changes(self, name: str, tier: int, hours: int) -> None:
        with session_on(self.runtime.engine) as session:
            person = session.exec(select(Member).where(Member.phone == PHONES[name])).one()
            until = self.clock() + timedelta(hours=hours)
            oncall.hand_over_tier(
                session, now=self.clock(), actor="test", tier=tier, to_member_id=person.id, until=until
            )

    @rule()
    def every_shift_ends(self) -> None:
        with session_on(self.runtime.engine) as session:
            for shift in session.exec(select(OnCallShift)):
                session.delete(shift)
            session.commit()

    # -- what must hold
    # ----------------------------------------------------------------------------------------

    @invariant()
    def every_promise_holds(self) -> None:
        page_on_call.run(self.runtime, self.clock())
        self.the_auditor_has_nothing_to_repair()
        self.each_has_an_owner_or_a_running_ladder_and_a_next_event()
        self.pages_go_on_until_somebody_has_it()
        self.a_lost_page_never_keeps_the_next_person_from_being_told()
        self.what_was_written_after_the_call_is_not_covered_by_it()
        self.nothing_is_paged_after_the_resolution()
        self.urgency_never_falls()
        self.pages_tell_nothing_of_a_patient()

    def the_auditor_has_nothing_to_repair(self) -> None:
        found = watch_escalations.run(self.runtime, self.clock())
        assert (found["unread"], found["without_escalation"], found["clocks"]) == (0, 0, 0)

    def each_has_an_owner_or_a_running_ladder_and_a_next_event(self) -> None:
        now = self.clock()
        for row in self._rows(select(Escalation)):
            if row.status == "resolved":
                assert row.next_event_at is None and row.resolved_by and row.disposition and row.note
                continue
            assert row.next_event_at is not None and row.next_event_at > now
            if row.status == "open":
                assert row.acknowledged_by is None
            elif row.status == "acknowledged":
                assert row.acknowledged_by and row.acknowledgement_expires_at > now
            else:
                assert row.contacted_by and row.contacted_at <= now

    def pages_go_on_until_somebody_has_it(self) -> None:
        with reading(self.runtime.engine) as session:
            somebody = oncall.pageable(session, oncall.team(session))
        for row in self._rows(select(Escalation).where(Escalation.status == "open")):
            if somebody and row.ladder_started_at <= self.clock():
                newest = self._one(self._pages(row, func.max(OutboundMessage.created_at)))
                told_nobody = self.clock() - SLACK
                assert newest is not None or not self._was_pageable_since(row), (
                    "open, and nobody was ever told"
                )
                assert newest is None or newest > told_nobody or not self._was_pageable_since(row)

    def a_lost_page_never_keeps_the_next_person_from_being_told(self) -> None:
        with reading(self.runtime.engine) as session:
            reachable = {person.id for person in oncall.pageable(session, oncall.team(session))}
        for row in self._rows(select(Escalation).where(Escalation.status == "open")):
            pages = self._rows(
                select(OutboundMessage).where(
                    OutboundMessage.escalation_id == row.id,
                    OutboundMessage.kind == "page",
                    OutboundMessage.created_at >= row.ladder_started_at,
                )
            )
            untold = reachable - {page.member_id for page in pages}
            on_its_way = any(p.status not in paging.LOST and p.member_id in reachable for p in pages)
            assert not pages or on_its_way or not untold, (
                "all pages are lost and somebody reachable was not told"
            )

    def what_was_written_after_the_call_is_not_covered_by_it(self) -> None:
        for row in self._rows(select(Escalation).where(Escalation.status == "contacted")):
            newer = select(StoredAssessment).where(
                StoredAssessment.patient_id == row.patient_id,
                col(StoredAssessment.urgency).in_(("urgent", "emergency")),
                StoredAssessment.at > row.contacted_at,
            )
            assert row.kind != "clinical" or row.patient_id is None or not self._rows(newer)

    def nothing_is_paged_after_the_resolution(self) -> None:
        for row in self._rows(select(Escalation)):
            count = int(self._one(self._pages(row, func.count())))
            if row.status == "resolved":
                assert self.pages_when_resolved.setdefault(row.id, count) == count
            else:
                self.pages_when_resolved.pop(row.id, None)

    def urgency_never_falls(self) -> None:
        for row in self._rows(select(Escalation)):
            rank = Urgency(row.urgency).rank
            assert row.urgency_rank == rank >= self.reached.get(row.id, 0)
            self.reached[row.id] = rank

    def pages_tell_nothing_of_a_patient(self) -> None:
        for page in self._rows(select(OutboundMessage).where(OutboundMessage.kind == "page")):
            assert not any(word in page.body for word in ("Ana", "Ben", "numb", "breathe", "+1312"))

    # -- small looks
    # -------------------------------------------------------------------------------------------

    def _was_pageable_since(self, row: Escalation) -> bool:
        """Whether the newest telling found somebody: after START the next telling comes, not an extra one."""
        events = [
            event
            for event in self._timeline(row)
            if event.kind in ("paged", "nobody_to_page", "tier_empty") and event.at >= row.ladder_started_at
        ]
        return not events or events[-1].kind == "paged"

    def _timeline(self, row: Escalation) -> list:
        with reading(self.runtime.engine) as session:
            return escalations.timeline(session, row.id)

    def _pages(self, row: Escalation, what: object):
        return select(what).where(OutboundMessage.escalation_id == row.id, OutboundMessage.kind == "page")

    def _rows(self, statement) -> list:
        with reading(self.runtime.engine) as session:
            return list(session.exec(statement))

    def _one(self, statement):
        return self._rows(statement)[0]

    def _unresolved(self) -> list[Escalation]:
        return self._rows(
            select(Escalation)
            .where(Escalation.status != "resolved")
            .order_by(Escalation.opened_at, Escalation.kind)
        )

    def _act(self, nth: int, act: Callable, name: str, **values: str) -> None:
        found = self._unresolved()
        if found:
            self._try(found[nth % len(found)].id, act, name, **values)

    def _try(self, escalation_id: str, act: Callable, name: str, **values: str) -> None:
        with Session(self.runtime.engine, expire_on_commit=False) as session:
            try:
                act(
                    session,
                    now=self.clock(),
                    site=self.runtime.site,
                    escalation_id=escalation_id,
                    actor=f"{name}@clinic.example",
                    **values,
                )
            except escalations.EscalationError:
                session.rollback()


def empty_database(runtime: Runtime) -> None:
    """All but the audit trail, which takes nothing back, the team that catches all, and the sealing keys."""
    kept = ("audit_events", "teams", "sealing_keys")
    names = [table.name for table in reversed(metadata.sorted_tables) if table.name not in kept]
    with runtime.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        for name in names:
            connection.exec_driver_sql(f"DELETE FROM {name}")


def test_random_days_at_a_clinic(database_url: str) -> None:
    clock = SetClock()
    runtime = make_runtime(settings_for(database_url), clock=clock)
    few = settings(
        max_examples=examples(10),
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(lambda: Clinic(runtime, clock), settings=few)
    finally:
        runtime.close()
