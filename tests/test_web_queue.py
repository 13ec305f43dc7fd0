"""The dashboard: the most urgent and oldest first, in the patient's own words, and nothing else's markup."""

from datetime import timedelta

from sqlmodel import select

from messages.urgency import Urgency
from service import escalations
from service.db import session_on
from service.models import AuditEvent, MemberSession
from service.runtime import Runtime
from service.sight import EVERYTHING
from service.web import queue_rows
from tests.clinic import ANA, BEN, STRANGER, enroll, in_session, text, the_escalation
from tests.conftest import SetClock
from tests.web_clinic import RED_FLAG, browser_of, words_of


def task(runtime: Runtime, phone: str, urgency: Urgency = Urgency.ROUTINE, reason: str = "undeliverable"):
    return in_session(
        runtime, lambda session, now: _opened(session, now, runtime, phone, urgency, reason)
    )  # fmt: skip


def _opened(session, now, runtime, phone, urgency, reason):
    row = escalations.open_escalation(
        session, now=now, site=runtime.site, reason=reason, urgency=urgency, phone=phone
    )
    session.commit()
    return row


def test_the_patients_words_stand_there_with_what_matched_marked(runtime: Runtime):
    enroll(runtime, on_blood_thinner=True)
    text(runtime, ANA, RED_FLAG)
    page = browser_of(runtime).text("/")
    assert "<mark" in page and "numb" in page.split("<mark", 1)[1][:80]
    seen = words_of(page)
    for words in ("Ana Doe", "Day 1 after vertebroplasty", "Blood thinner", "Nobody has this yet", "left"):
        assert words in seen


def test_urgency_comes_first_then_age(runtime: Runtime, clock: SetClock):
    for number, urgency in enumerate((Urgency.ROUTINE, Urgency.EMERGENCY, Urgency.URGENT, Urgency.EMERGENCY)):
        task(runtime, f"+1312555010{number}", urgency)
        clock.advance(minutes=1)
    seen = words_of(browser_of(runtime).text("/"))
    order = [seen.index(f"312-555-010{number}") for number in (1, 3, 2, 0)]
    assert order == sorted(order)


def test_every_row_is_on_exactly_one_page(runtime: Runtime, clock: SetClock):
    kim = browser_of(runtime)
    for number in range(25):
        task(runtime, f"+131255502{number:02d}", (Urgency.ROUTINE, Urgency.URGENT)[number % 2])
        clock.advance(seconds=number % 3)  # several at the same instant
    seen, cursor = [], ""
    for _ in range(10):
        with session_on(runtime.engine) as session:
            found, more = queue_rows.rows(
                session, EVERYTHING, view="open", email=kim.member.email, now=clock(), site=runtime.site,
                cursor=cursor, limit=7,
            )  # fmt: skip
        seen += [row.escalation.id for row in found]
        if more is None:
            break
        cursor = more
    assert len(seen) == len(set(seen)) == 25
    assert kim.get("/?cursor=nonsense").status_code == 200, "a made-up cursor begins anew"
    assert kim.get("/?cursor=" + "A" * 500).status_code == 422


def test_the_views_divide_the_work(runtime: Runtime, clock: SetClock):
    enroll(runtime)
    enroll(runtime, BEN, "Ben Roe")
    text(runtime, ANA, RED_FLAG)
    text(runtime, BEN, "when can i shower?")
    kim = browser_of(runtime)
    escalation = the_escalation(runtime, reason="red_flag")
    kim.post(f"/escalations/{escalation.id}/acknowledge")
    task(runtime, STRANGER, Urgency.ROUTINE, "silence")
    assert "Ana Doe" in words_of(kim.text("/?view=mine"))
    assert "Ben Roe" not in words_of(kim.text("/?view=mine"))
    unowned = words_of(kim.text("/?view=unowned"))
    assert "Ben Roe" in unowned and "Ana Doe" not in unowned
    assert "312-555-0199" in words_of(kim.text("/?view=silent"))
    assert "Ana Doe" not in words_of(kim.text("/?view=overdue"))
    clock.advance(hours=3)
    kim = browser_of(runtime, "Sam Night")
    assert "Ana Doe" in words_of(kim.text("/?view=overdue"))
    kim.post(f"/escalations/{escalation.id}/contact", method="phone")
    kim.post(f"/escalations/{escalation.id}/resolve", disposition="advice_given", note="Called.")
    assert "Ana Doe" in words_of(kim.text("/?view=resolved"))
    assert "Ana Doe" not in words_of(kim.text("/"))
    assert kim.get("/?view=made-up").status_code == 404


def test_search_finds_by_name_phone_and_code_and_takes_signs_literally(runtime: Runtime):
    enroll(runtime)
    enroll(runtime, BEN, "Ben Roe")
    text(runtime, ANA, RED_FLAG)
    text(runtime, BEN, "when can i shower?")
    kim = browser_of(runtime)
    code = the_escalation(runtime, reason="red_flag").code
    for words in ("ana", "DOE", "555-0111", code):
        seen = words_of(kim.text(f"/?q={words}"))
        assert "Ana Doe" in seen and "Ben Roe" not in seen, words
    for words in ("%25", "_", "' OR 1=1 --", "\\"):
        assert "Ana Doe" not in words_of(kim.text(f"/?q={words}")), words


def test_hostile_words_are_shown_and_do_nothing(runtime: Runtime):
    enroll(runtime, name="<b>Eve</b> {{ 7*7 }}")
    text(runtime, ANA, "<script>alert(1)</script> my foot is numb \u202egnp.exe {{ 7*7 }} =HYPERLINK(1)")
    page = browser_of(runtime).text("/")
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "<b>Eve" not in page and "49" not in words_of(page).replace("+1", "")
    assert "\u202e" not in page
    assert "{{ 7*7 }}" in words_of(page)


def test_a_look_is_on_record_and_a_refresh_of_the_page_itself_is_not(runtime: Runtime):
    enroll(runtime)
    text(runtime, ANA, RED_FLAG)
    kim = browser_of(runtime)
    kim.text("/")
    kim.get("/", **{"X-Live": "1"})
    with session_on(runtime.engine) as session:
        looks = session.exec(select(AuditEvent).where(AuditEvent.action == "view queue")).all()
        assert [look.actor for look in looks] == [kim.member.email]
        assert "numb" not in str([look.detail for look in looks])
        assert session.exec(select(MemberSession)).one().seen_at == runtime.clock()


def test_an_empty_queue_says_so(runtime: Runtime):
    assert "All quiet" in words_of(browser_of(runtime).text("/"))


def test_a_viewer_sees_the_queue_without_buttons(runtime: Runtime):
    enroll(runtime)
    text(runtime, ANA, RED_FLAG)
    page = browser_of(runtime, "Lee Look", role="viewer").text("/")
    assert "Ana Doe" in page and "/acknowledge" not in page


def test_a_patient_far_away_is_counted_by_their_own_days(runtime: Runtime, clock: SetClock):
    enroll(runtime, timezone="Pacific/Honolulu", days=0.2)
    text(runtime, ANA, RED_FLAG)
    assert queue_rows.day_after(clock() - timedelta(hours=5), clock(), "Pacific/Honolulu") == 0
    assert "Day 0 after" in words_of(browser_of(runtime).text("/")) or "Day 1 after" in words_of(
        browser_of(runtime, "Other").text("/")
    )
