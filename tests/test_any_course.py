"""Any patient, any zone, any minute, any answers: what every plan and every course of texts must keep."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from messages.check_in import CheckIn
from messages.protocol import load
from messages.schedule import Facts, Go, PlannedCheckIn, QuietHours, Standing, Wait, decide, plan
from messages.site import DEFAULT_SITE

PROTOCOLS = load((), DEFAULT_SITE)
QUIET = QuietHours.parse("20:00-09:00")
HOURS = ["20:00-09:00", "21:00-08:00", "22:00-07:00", "18:00-10:30", "00:30-07:00", "13:00-15:00", "none"]
ZONE = ZoneInfo("America/Chicago")
FIRST_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = [
    "America/Chicago", "America/New_York", "America/Phoenix", "America/Anchorage", "Pacific/Honolulu",
    "America/Puerto_Rico", "America/St_Johns", "Europe/Madrid", "Asia/Kolkata", "Australia/Lord_Howe",
    "Pacific/Chatham", "America/Santiago", "Africa/Cairo", "Asia/Beirut", "Pacific/Kiritimati",
]  # fmt: skip


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    procedure_at = FIRST_YEAR + timedelta(minutes=draw(st.integers(0, 4 * 366 * 24 * 60)))
    stay = draw(st.none() | st.integers(0, 10 * 24 * 60).map(lambda count: timedelta(minutes=count)))
    enrolled_at = procedure_at + timedelta(minutes=draw(st.integers(-14 * 24 * 60, 100 * 24 * 60)))
    visit = draw(st.none() | st.integers(1, 60))
    return Facts(
        procedure_at=procedure_at,
        discharged_at=None if stay is None else procedure_at + stay,
        timezone=draw(st.sampled_from(ZONES)),
        enrolled_at=enrolled_at,
        on_blood_thinner=draw(st.sampled_from([True, False, None])),
        follow_up_on=None if visit is None else (procedure_at + timedelta(days=visit)).date(),
        thoracic=draw(st.booleans()),
    )


@settings(max_examples=200, deadline=None)
@given(any_facts(), st.sampled_from(sorted(PROTOCOLS)), st.sampled_from(HOURS))
def test_every_plan_keeps_its_promises(known: Facts, name: str, hours: str) -> None:
    protocol, quiet, zone = PROTOCOLS[name], QuietHours.parse(hours), ZoneInfo(known.timezone)
    entries = plan(protocol, known, quiet, known.enrolled_at)
    assert [entry.check_in for entry in entries] == list(protocol.check_ins)
    going = sorted((entry for entry in entries if entry.status == "planned"), key=lambda entry: entry.due_at)
    assert all(entry.why for entry in entries if entry.status == "skipped")
    for entry in going:
        assert entry.due_at.tzinfo is UTC
        assert entry.due_at >= known.enrolled_at  # nothing before the enrollment
        assert entry.expires_at > entry.due_at
        assert entry.local == entry.due_at
        if hours != "none" and quiet.quiet_at(entry.due_at, zone):
            assert entry.check_in.time_critical
            assert entry.local.time() < time(21)
        if entry.check_in.key == "bandage_off":
            assert entry.due_at - known.procedure_at >= timedelta(hours=48)
        if entry.check_in.after is not None:
            leader = next(other for other in going if other.check_in.key == entry.check_in.after)
            assert entry.due_at - leader.due_at >= protocol.gap
    for one, two in zip(going, going[1:], strict=False):
        assert two.due_at - one.due_at >= protocol.gap  # never a burst


@settings(max_examples=200, deadline=None)
@given(any_facts(), st.sampled_from(sorted(PROTOCOLS)))
def test_every_day_of_questions_opens_with_the_red_flag_question(known: Facts, name: str) -> None:
    days: dict[date, list[PlannedCheckIn]] = {}
    for entry in plan(PROTOCOLS[name], known, QUIET, known.enrolled_at):
        asks = entry.check_in.asks
        if entry.status == "planned" and asks not in (None, "welcome"):
            days.setdefault(entry.local.date(), []).append(entry)
    for entries in days.values():
        entries.sort(key=lambda entry: entry.due_at)
        asked = [entry.check_in.asks for entry in entries]
        if "symptoms" in asked:
            assert asked[0] == "symptoms"
        else:  # only for the late: the blood thinner, or what was left of the day they were enrolled on
            late = entries[0].local.date() == known.enrolled_at.astimezone(entries[0].local.tzinfo).date()
            assert late or set(asked) == {"blood_thinner"}


def course_of(data: st.DataObject, known: Facts, name: str) -> list[tuple[datetime, CheckIn, bool]]:
    """One course played through ``decide``: when each text went out, and whether a question was open then.
    Questions are answered after a drawn time or never; once the service may be down for hours."""
    protocol = PROTOCOLS[name]
    delays = st.none() | st.integers(1, 10 * 60)
    sent: dict[str, datetime] = {}
    answers: dict[str, datetime] = {}
    closed: set[str] = set()
    went: list[tuple[datetime, CheckIn, bool]] = []
    last: datetime | None = None
    queue = [(each.due_at, each) for each in plan(protocol, known, QUIET, known.enrolled_at) if not each.why]
    down = timedelta(minutes=data.draw(st.sampled_from([0, 0, 0, 45, 300, 800])))
    while queue:
        queue.sort(key=lambda item: (item[0], item[1].due_at))
        now, entry = queue.pop(0)
        if down and now.hour % 7 == 0:
            queue.append((now + down, entry))
            down = timedelta(0)
            continue
        if last is not None and now < last:  # time does not go back after an outage
            now = last
        done = frozenset(key for key, answered_at in answers.items() if answered_at <= now)
        standing = Standing(last_text_at=last, sent=sent, answered=done, closed=frozenset(closed))
        check_in = entry.check_in
        decision = decide(check_in, entry.due_at, entry.expires_at, protocol, known, standing, QUIET, now)
        if isinstance(decision, Wait):
            sooner = [answered_at for answered_at in answers.values() if now < answered_at < decision.until]
            queue.append((min([decision.until, *sooner]), entry))
        elif isinstance(decision, Go):
            open_now = any(
                key not in done and now < sent_at + protocol.check_in(key).open_for
                for key, sent_at in sent.items()
                if protocol.check_in(key).asks is not None
            )
            sent[check_in.key] = last = now
            went.append((now, check_in, open_now))
            delay = data.draw(delays) if check_in.asks else None
            if delay is not None:
                answers[check_in.key] = now + timedelta(minutes=delay)
        else:
            closed.add(check_in.key)
    return went


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    st.sampled_from(sorted(PROTOCOLS)),
    st.integers(0, 24 * 60),
    st.sampled_from([True, False, None]),
    st.sampled_from([date(2027, 3, 12), date(2027, 6, 7), date(2027, 11, 5)]),
)
def test_whatever_the_patient_does_texts_keep_their_distance_and_questions_come_one_by_one(
    data: st.DataObject, name: str, minute: int, thinner: bool | None, day: date
) -> None:
    start = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(minutes=minute)
    known = Facts(start, None, "America/Chicago", start, thinner, None)
    went = course_of(data, known, name)
    keys = [check_in.key for _, check_in, _ in went]
    assert len(keys) == len(set(keys))
    for (one, _, _), (two, _, _) in zip(went, went[1:], strict=False):
        assert two - one >= PROTOCOLS[name].gap
    for now, check_in, open_now in went:
        assert not (check_in.asks and open_now), check_in.key
        assert check_in.time_critical or not QUIET.quiet_at(now, ZONE)
        assert now.astimezone(ZONE).hour < 21
        if check_in.key == "bandage_off":
            assert now - start >= timedelta(hours=48)
        if check_in.asks == "blood_thinner":
            assert thinner is not False
