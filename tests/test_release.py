"""What may happen to a check-in that came due: it goes, waits, is skipped, expires; when silence counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.protocol import load
from messages.schedule import (
    Decision,
    Expire,
    Facts,
    Go,
    QuietHours,
    Skip,
    Standing,
    Wait,
    decide,
    plan,
    reminder_at,
    silent_at,
)
from messages.site import DEFAULT_SITE

PROTOCOLS = load((), DEFAULT_SITE)
VERTEBROPLASTY = PROTOCOLS["vertebroplasty"]
QUIET = QuietHours.parse("20:00-09:00")
ZONE = ZoneInfo("America/Chicago")


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2027-{text}").replace(tzinfo=ZONE).astimezone(UTC)


FACTS = Facts(at("06-07 10:00"), None, "America/Chicago", at("06-07 10:00"), True, None)
PLAN = {entry.check_in.key: entry for entry in plan(VERTEBROPLASTY, FACTS, QUIET, FACTS.enrolled_at)}


def ask(key: str, now: datetime, standing: Standing | None = None, facts: Facts = FACTS) -> Decision:
    entry = PLAN[key]
    return decide(
        entry.check_in,
        entry.due_at,
        entry.expires_at,
        VERTEBROPLASTY,
        facts,
        standing or Standing(),
        QUIET,
        now,
    )


def test_a_text_goes_when_it_is_due_and_not_before() -> None:
    due_at = PLAN["d1_symptoms"].due_at
    assert ask("d1_symptoms", due_at) == Go()
    early = ask("d1_symptoms", due_at - timedelta(seconds=1))
    assert early == Wait(due_at, "not yet due")


def test_after_an_outage_a_text_goes_late_but_never_too_late() -> None:
    entry = PLAN["d1_symptoms"]
    assert ask("d1_symptoms", entry.expires_at - timedelta(seconds=1)) == Go()
    assert ask("d1_symptoms", entry.expires_at) == Expire("its useful time is over")


def test_an_ended_enrollment_gets_nothing_more() -> None:
    assert ask("d1_symptoms", PLAN["d1_symptoms"].due_at, Standing(ended=True)) == Skip(
        "the enrollment has ended"
    )


def test_a_paused_enrollment_waits_until_it_is_too_late() -> None:
    entry = PLAN["d1_symptoms"]
    waiting = ask("d1_symptoms", entry.due_at, Standing(paused=True))
    assert isinstance(waiting, Wait)
    assert waiting.until > entry.due_at
    last = ask("d1_symptoms", entry.expires_at - timedelta(minutes=1), Standing(paused=True))
    assert last == Wait(entry.expires_at, "the enrollment is paused")


def test_one_question_is_open_at_a_time() -> None:
    sent_at = at("06-08 09:20")
    asked = {"d1_symptoms": at("06-08 09:00"), "d1_pain": sent_at}
    standing = Standing(last_text_at=sent_at, sent=asked, answered=frozenset({"d1_symptoms"}))
    held = ask("d1_blood_thinner", at("06-08 09:40"), standing)
    assert held == Wait(sent_at + timedelta(hours=2), "d1_pain is still open")
    free = replace(standing, answered=frozenset({"d1_symptoms", "d1_pain"}))
    assert ask("d1_blood_thinner", at("06-08 09:40"), free) == Go()
    assert ask("d1_blood_thinner", sent_at + timedelta(hours=2), standing) == Go()


def test_advice_does_not_wait_for_an_answer() -> None:
    standing = Standing(last_text_at=at("06-08 10:40"), sent={"d1_pain": at("06-08 10:40")})
    assert ask("d1_ice", at("06-08 11:00"), standing) == Go()


def test_the_second_question_follows_the_answer_or_two_hours() -> None:
    asked_at = at("06-08 09:00")
    sent = Standing(last_text_at=asked_at, sent={"d1_symptoms": asked_at})
    assert ask("d1_pain", at("06-08 09:15"), sent) == Wait(
        asked_at + timedelta(hours=2), "d1_symptoms is not answered yet"
    )
    assert ask("d1_pain", at("06-08 11:00"), sent) == Go()
    answered = replace(sent, answered=frozenset({"d1_symptoms"}))
    assert ask("d1_pain", at("06-08 09:15"), answered) == Go()


def test_the_second_question_waits_for_the_first_to_go_out() -> None:
    waiting = ask("d1_pain", at("06-08 09:15"))
    assert isinstance(waiting, Wait)
    assert waiting.until > at("06-08 09:15")
    gone = ask("d1_pain", at("06-08 09:15"), Standing(closed=frozenset({"d1_symptoms"})))
    assert gone == Skip("it follows d1_symptoms, which did not go out")


def test_two_texts_keep_the_gap() -> None:
    standing = Standing(last_text_at=at("06-08 10:50"))
    assert ask("d1_ice", at("06-08 11:00"), standing) == Wait(
        at("06-08 11:05"), "too soon after the last text"
    )
    assert ask("d1_ice", at("06-08 11:05"), standing) == Go()


def test_a_text_held_back_into_the_night_waits_or_expires_but_never_goes() -> None:
    pain = PLAN["d1_pain"]
    assert isinstance(ask("d1_pain", at("06-08 20:00")), Expire)
    unended = decide(
        pain.check_in,
        pain.due_at,
        at("06-09 12:00"),
        VERTEBROPLASTY,
        FACTS,
        Standing(sent={"d1_symptoms": pain.due_at}, answered=frozenset({"d1_symptoms"})),
        QUIET,
        at("06-08 20:30"),
    )
    assert unended == Wait(at("06-09 09:00"), "quiet hours")


def test_only_the_first_evening_question_goes_after_eight_and_never_after_nine() -> None:
    late = replace(FACTS, procedure_at=at("06-07 19:30"), enrolled_at=at("06-07 19:30"))
    entry = next(
        each
        for each in plan(VERTEBROPLASTY, late, QUIET, late.enrolled_at)
        if each.check_in.key == "d0_symptoms"
    )
    for clock, expected in (("20:30", Go), ("20:59", Go), ("21:00", Expire)):
        decision = decide(
            entry.check_in,
            entry.due_at,
            entry.expires_at,
            VERTEBROPLASTY,
            late,
            Standing(),
            QUIET,
            at(f"06-07 {clock}"),
        )
        assert isinstance(decision, expected)


@pytest.mark.parametrize(
    ("thinner", "pain", "flagged", "goes"),
    [
        (True, None, False, True),
        (None, None, False, True),  # not known: asked as if true
        (False, None, False, False),
        (False, 3, False, False),
        (False, 4, False, True),
        (False, 0, True, True),
    ],
)
def test_day_five_is_for_those_who_need_watching(
    thinner: bool | None, pain: int | None, flagged: bool, goes: bool
) -> None:
    known = replace(FACTS, on_blood_thinner=thinner)
    decision = ask(
        "d5_symptoms", PLAN["d5_symptoms"].due_at, Standing(last_pain=pain, flagged=flagged), known
    )
    assert isinstance(decision, Go if goes else Skip)


@pytest.mark.parametrize("thoracic", [True, False])
def test_after_a_kyphoplasty_a_thoracic_level_is_watched_too(thoracic: bool) -> None:
    protocol = PROTOCOLS["kyphoplasty"]
    known = replace(FACTS, on_blood_thinner=False, thoracic=thoracic)
    entry = next(
        each for each in plan(protocol, known, QUIET, known.enrolled_at) if each.check_in.key == "d4_symptoms"
    )
    decision = decide(
        entry.check_in, entry.due_at, entry.expires_at, protocol, known, Standing(), QUIET, entry.due_at
    )
    assert isinstance(decision, Go if thoracic else Skip)


def test_the_blood_thinner_question_comes_three_mornings_until_answered() -> None:
    keys = ["d1_blood_thinner", "d2_blood_thinner", "d3_blood_thinner"]
    for key in keys:
        assert ask(key, PLAN[key].due_at) == Go()
    for answered, still in ((keys[0], []), (keys[1], [keys[0]])):
        standing = Standing(answered=frozenset({answered}))
        going = [key for key in keys if ask(key, PLAN[key].due_at, standing) == Go() and key != answered]
        assert going == still
    nobody = replace(FACTS, on_blood_thinner=False)
    for key in keys:
        assert isinstance(ask(key, PLAN[key].due_at, facts=nobody), Skip)
    assert sum(check_in.asks == "blood_thinner" for check_in in VERTEBROPLASTY.check_ins) == 3


def test_the_visit_question_is_dropped_when_the_date_becomes_known() -> None:
    known = replace(FACTS, follow_up_on=at("06-18 10:00").date())
    standing = Standing(sent={"d7_pain": at("06-14 10:15")}, answered=frozenset({"d7_pain"}))
    assert ask("d7_visit", at("06-14 10:30"), standing) == Go()
    assert isinstance(ask("d7_visit", at("06-14 10:30"), standing, known), Skip)


# --- Reminders and silence ------------------------------------------------------------------------


def test_an_unanswered_red_flag_question_gets_one_reminder_after_four_hours_inside_the_window() -> None:
    for check_in in (*VERTEBROPLASTY.check_ins, *PROTOCOLS["kyphoplasty"].check_ins):
        if check_in.asks == "symptoms":
            assert reminder_at(check_in, at("06-08 09:00"), FACTS, QUIET) == at("06-08 13:00")
            assert reminder_at(check_in, at("06-08 15:59"), FACTS, QUIET) == at("06-08 19:59")
            assert reminder_at(check_in, at("06-08 16:00"), FACTS, QUIET) is None
            assert reminder_at(check_in, at("06-08 20:30"), FACTS, QUIET) is None
        else:
            assert reminder_at(check_in, at("06-08 09:00"), FACTS, QUIET) is None


@pytest.mark.parametrize("sent", ["06-07 14:00", "06-07 20:59", "06-08 09:00", "06-08 18:00"])
def test_in_the_first_days_silence_is_found_the_next_morning_and_is_urgent(sent: str) -> None:
    next_morning = at(f"06-{int(sent[3:5]) + 1:02} 09:00")
    for key in ("d0_symptoms", "d1_symptoms", "d2_symptoms", "d3_symptoms"):
        check_in = VERTEBROPLASTY.check_in(key)
        assert silent_at(check_in, at(sent), FACTS, QUIET) == next_morning
        assert silent_at(check_in, at(sent), FACTS, QuietHours.parse("none")) == next_morning
        assert check_in.silence_task
        assert check_in.silence_is_urgent


def test_later_silence_is_a_task_without_the_hurry() -> None:
    for key in ("welcome", "d5_symptoms", "d7_symptoms", "d90_symptoms"):
        check_in = VERTEBROPLASTY.check_in(key)
        assert (check_in.silence_task, check_in.silence_is_urgent) == (True, False)
        assert silent_at(check_in, at("06-14 10:00"), FACTS, QUIET) == at("06-15 10:00")


def test_advice_is_never_silent() -> None:
    assert silent_at(VERTEBROPLASTY.check_in("d1_ice"), at("06-08 11:00"), FACTS, QUIET) is None


def test_the_third_blood_thinner_question_becomes_a_task_the_same_day_however_late_it_went() -> None:
    entry = PLAN["d3_blood_thinner"]
    assert entry.check_in.silence_task
    latest = entry.expires_at - timedelta(seconds=1)
    silent = silent_at(entry.check_in, latest, FACTS, QUIET)
    assert silent is not None
    assert silent.astimezone(ZONE).date() == entry.local.date()
    for key in ("d1_blood_thinner", "d2_blood_thinner"):
        assert not VERTEBROPLASTY.check_in(key).silence_task


# --- Whatever the state ---------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_wait_always_ends_later_than_now_and_by_the_expiry(data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from([each for each in PLAN.values() if each.status == "planned"]))
    minutes = st.integers(-3 * 24 * 60, 3 * 24 * 60).map(lambda count: timedelta(minutes=count))
    now = entry.due_at + data.draw(minutes)
    keys = st.sampled_from([check_in.key for check_in in VERTEBROPLASTY.check_ins])
    standing = Standing(
        last_text_at=data.draw(st.none() | minutes.map(lambda span: now - abs(span))),
        sent=data.draw(st.dictionaries(keys, minutes.map(lambda span: now - abs(span)), max_size=6)),
        answered=data.draw(st.frozensets(keys, max_size=6)),
        paused=data.draw(st.booleans()),
    )
    decision = decide(
        entry.check_in, entry.due_at, entry.expires_at, VERTEBROPLASTY, FACTS, standing, QUIET, now
    )
    if isinstance(decision, Wait):
        assert now < decision.until <= max(entry.expires_at, entry.due_at)
    if isinstance(decision, Go):
        assert entry.due_at <= now < entry.expires_at
        assert entry.check_in.time_critical or not QUIET.quiet_at(now, ZONE)
