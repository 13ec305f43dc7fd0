"""Patients: found by name, shown at a glance, changed only by those who may."""

import re
from datetime import timedelta

from sqlmodel import select

from service.db import session_on
from service.models import DEFAULT_TEAM, Enrollment, OutboundMessage, Patient, PlanItem
from service.runtime import Runtime
from tests.care_teams import put_in, two_teams
from tests.clinic import ANA, BEN, asked, enroll, rows, text
from tests.conftest import SetClock
from tests.web_clinic import browser_of, words_of


def test_the_list_finds_people_and_shows_the_newest_first(runtime: Runtime, clock: SetClock):
    enroll(runtime)
    clock.advance(minutes=1)
    enroll(runtime, BEN, "Ben Roe", external_id="MRN-7")
    kim = browser_of(runtime)
    both = words_of(kim.text("/patients"))
    assert both.index("Ben Roe") < both.index("Ana Doe"), "who came last stands first"
    for words in ("ben", "roe, BEN", "MRN-7", "0112", "(312) 555-0112", "+13125550112"):
        seen = words_of(kim.text(f"/patients?q={words}"))
        assert "Ben Roe" in seen and "Ana Doe" not in seen
    assert "Nobody found" in words_of(kim.text("/patients?status=withdrawn"))
    assert kim.get("/patients?status=made-up").status_code == 404
    assert "Nobody found" in words_of(kim.text("/patients?q=be")), "only whole words are found"
    assert "Ana Doe" in words_of(kim.text(f"/patients?q={ANA[-4:]}"))
    assert kim.get("/patients?cursor=Ana Doe").status_code == 404


def test_the_silent_are_listed_by_cause(runtime: Runtime):
    """From the scoreboard's count to the people behind it."""
    ana, ben = enroll(runtime), enroll(runtime, BEN, "Ben Roe")
    for course, cause in ((ana, "landline"), (ben, None)):
        item = asked(runtime, course, "pain")
        with session_on(runtime.engine) as session:
            row = session.get_one(PlanItem, item.id)
            row.status, row.silence_cause = "silent", cause
            session.commit()
    kim = browser_of(runtime)
    counts = kim.text("/scoreboard")
    for cause, there, elsewhere in (("landline", "Ana Doe", "Ben Roe"), ("ignored", "Ben Roe", "Ana Doe")):
        assert f'href="/patients?status=all&amp;silent={cause}"' in counts
        seen = words_of(kim.text(f"/patients?status=all&silent={cause}"))
        assert there in seen and elsewhere not in seen and "Show everybody" in seen
    assert "Nobody found" in words_of(kim.text("/patients?status=all&silent=opted_out"))
    assert kim.get("/patients?silent=made-up").status_code == 404


def test_the_silent_of_one_team_are_counted_and_listed_for_that_team(runtime: Runtime):
    found = two_teams(runtime)
    for course in (found.ana, found.ben):
        item = asked(runtime, course, "pain")
        with session_on(runtime.engine) as session:
            row = session.get_one(PlanItem, item.id)
            row.status, row.silence_cause = "silent", "ignored"
            session.commit()
    boss = browser_of(runtime, "Boss", role="admin")
    put_in(runtime, boss.member, DEFAULT_TEAM, found.other.id)
    page = boss.text(f"/scoreboard?team={found.other.id}")
    link = page.split('href="/patients?status=all', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    seen = words_of(boss.text(f"/patients?status=all{link}"))
    assert "Ben Roe" in seen and "Ana Doe" not in seen


def test_a_plan_says_in_words_why_something_did_not_go_out(runtime: Runtime):
    """Names of conditions and check-ins are ours, not a nurse's."""
    course = enroll(runtime)
    first, second = rows(runtime, PlanItem, PlanItem.enrollment_id == course.id)[:2]
    whys = {
        first.id: "not needed: no_answer:d2_blood_thinner",
        second.id: "it follows d1_pain, which did not go out",
    }
    with session_on(runtime.engine) as session:
        for item_id, why in whys.items():
            row = session.get_one(PlanItem, item_id)
            row.status, row.why = "skipped", why
        session.commit()
    page = f"/patients/{course.patient_id}"
    seen = words_of(browser_of(runtime).text(page))
    assert "not needed" in seen and "the question it belongs to did not go out" in seen
    es = words_of(browser_of(runtime, "Rosa", language="es").text(page))
    assert "no hizo falta" in es and "la pregunta a la que pertenece no salió" in es
    assert not any(name in seen + es for name in ("no_answer", "d2_blood_thinner", "d1_pain"))


def test_the_summary_counts_questions_not_advice_as_waiting_for_an_answer(runtime: Runtime):
    course = enroll(runtime)
    with session_on(runtime.engine) as session:
        for row in session.exec(select(PlanItem).where(PlanItem.enrollment_id == course.id)):
            row.status = "sent" if row.asks in (None, "pain") else "planned"
        session.commit()
    questions = len(rows(runtime, PlanItem, PlanItem.enrollment_id == course.id, PlanItem.asks == "pain"))
    seen = words_of(browser_of(runtime).text(f"/patients/{course.patient_id}/summary"))
    assert f"0 silent, {questions} sent without an answer yet" in seen


def test_long_lists_come_in_pages_without_a_name_in_the_address(runtime: Runtime, clock: SetClock):
    at = clock()
    with session_on(runtime.engine) as session:
        for number in range(53):
            session.add(
                Patient(
                    name=f"Pat Number{number:02d}",
                    phone="+13125550177",
                    timezone="UTC",
                    language="en",
                    created_at=at + timedelta(seconds=number // 3),
                )  # fmt: skip
            )
        session.commit()
    kim = browser_of(runtime)
    first = kim.text("/patients?status=all")
    following = re.search(r'href="([^"]*cursor=[^"]*)"', first)
    assert following and "Number" not in following[1]
    second = kim.text(following[1].replace("&amp;", "&"))
    seen = [re.findall(r"Pat Number(\d\d)", words_of(page)) for page in (first, second)]
    assert [len(part) for part in seen] == [50, 3]
    assert sorted(seen[0] + seen[1]) == [f"{number:02d}" for number in range(53)]
    assert seen[0][0] > seen[1][0]


def test_one_recovery_at_a_glance(runtime: Runtime):
    course = enroll(runtime, on_blood_thinner=None, levels=("T12",), caregiver_phone="+13125550113")
    for score in ("6", "4"):
        asked(runtime, course, "pain")
        text(runtime, ANA, score)
    page = browser_of(runtime).text(f"/patients/{course.patient_id}")
    seen = words_of(page)
    for words in (
        "So far",
        "To come",
        "not known, asked as if yes",
        "T12",
        "312-555-0113",
        "America/Chicago",
    ):
        assert words in seen
    assert '<svg class="plot"' in page and "<title" in page and "<desc" in page
    assert "2 scores; first 6.0, latest 4.0." in seen and '<td class="number">4</td>' in page


def test_pause_resume_withdraw(runtime: Runtime):
    course = enroll(runtime)
    kim = browser_of(runtime)
    assert kim.post(f"/enrollments/{course.id}/pause", reason="in hospital").status_code == 303
    assert "Paused: in hospital" in words_of(kim.text(f"/patients/{course.patient_id}"))
    assert kim.post(f"/enrollments/{course.id}/resume").status_code == 303
    assert kim.post(f"/enrollments/{course.id}/withdraw").status_code == 303
    assert rows(runtime, Enrollment)[0].status == "withdrawn"
    again = kim.post(f"/enrollments/{course.id}/pause")
    assert again.status_code == 409 and "withdrawn" in words_of(again.text)
    for act in ("pause", "resume", "withdraw", "move"):
        assert kim.post("/enrollments/" + "0" * 32 + f"/{act}").status_code == 404
        lee = browser_of(runtime, f"Lee{act}", role="viewer")
        assert lee.post(f"/enrollments/{course.id}/{act}").status_code == 403


def test_moving_the_procedure_replans_and_a_fault_stands_at_its_field(runtime: Runtime):
    course = enroll(runtime)
    kim = browser_of(runtime)
    wrong = kim.post(f"/enrollments/{course.id}/move", procedure_at="2031-01-01T10:00")
    assert wrong.status_code == 422 and 'id="procedure_at-fault"' in wrong.text
    assert kim.post(f"/enrollments/{course.id}/move", procedure_at="rubbish").status_code == 422
    assert kim.post(f"/enrollments/{course.id}/move", procedure_at="2027-02-28T15:30").status_code == 303
    moved = rows(runtime, Enrollment)[0]
    assert moved.procedure_at.isoformat() == "2027-02-28T21:30:00+00:00", "read as the patient's local time"


def test_a_text_from_the_patient_page_goes_out_signed(runtime: Runtime):
    course = enroll(runtime)
    kim = browser_of(runtime)
    done = kim.post(f"/patients/{course.patient_id}/text", body="See you at 3.", key="k")
    assert done.status_code == 303
    sent = rows(runtime, OutboundMessage, OutboundMessage.kind == "member")
    assert [one.author for one in sent] == [kim.member.email]
    assert kim.post(f"/patients/{course.patient_id}/text", body=" ").status_code == 422
    assert kim.post("/patients/" + "0" * 32 + "/text", body="x").status_code == 404


def test_the_summary_holds_what_a_chart_needs_and_is_on_record(runtime: Runtime):
    course = enroll(runtime)
    text(runtime, ANA, "my left foot is numb")
    kim = browser_of(runtime)
    seen = words_of(kim.text(f"/patients/{course.patient_id}/summary"))
    for words in ("Ana Doe", "Red flag", "Check-ins", "Lakeside Spine Center", "Kim Ryan"):
        assert words in seen
    assert "Red flag “my left foot is numb” –" in seen, "a chart says what was said, once"
    assert "Mon Mar 1 2027, 10:00" in seen, "and on which day, also of what happened today"
    admin = browser_of(runtime, "Boss", role="admin")
    trail = words_of(admin.text("/audit"))
    assert "print patient summary" in trail and "kim@clinic.example" in trail
