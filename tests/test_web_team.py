"""The team's pages: on call, members, audit trail, scoreboard, protocols."""

from sqlmodel import select

from service.db import session_on
from service.models import Member, OnCallShift
from service.runtime import Runtime
from tests.clinic import ANA, enroll, member, rows, text
from tests.conftest import SetClock
from tests.web_clinic import browser_of, words_of


def test_who_is_on_call_now_and_where_nobody_would_be(runtime: Runtime):
    kim = browser_of(runtime, role="admin")
    assert "Gaps in the next 14 days" in words_of(kim.text("/on-call"))
    nora = member(runtime, "Nora Nurse", tier=None)
    wrong = kim.post("/on-call", member_id=nora.id, tier="0", starts_at="2027-03-01T10:00")
    assert wrong.status_code == 422 and "A tier is 1" in words_of(wrong.text)
    assert kim.post("/on-call", member_id=nora.id, tier="1", starts_at="rubbish").status_code == 422
    assert kim.post("/on-call", member_id=kim.member.id, tier="1").status_code == 422, "no phone, no pages"
    assert kim.post("/on-call", member_id=nora.id, tier="1", starts_at="2027-03-01T10:00").status_code == 303
    seen = words_of(kim.text("/on-call"))
    assert "Tier 1 now Nora Nurse" in seen and "Gaps" not in seen
    shift = rows(runtime, OnCallShift)[0]
    assert shift.starts_at == runtime.clock(), "times are the viewer's local ones"
    assert kim.post(f"/on-call/{shift.id}/end").status_code == 303
    assert kim.post("/on-call/nothing/end").status_code == 404
    assert browser_of(runtime, "Lee", role="viewer").post("/on-call").status_code == 403


def test_only_an_admin_changes_the_team(runtime: Runtime):
    boss, kim = browser_of(runtime, "Boss", role="admin"), browser_of(runtime)
    fields = {"email": "new@clinic.example", "name": "New One", "role": "nurse", "phone": "312-555-0188"}
    assert kim.post("/members", **fields).status_code == 403
    assert "Invite" not in words_of(kim.text("/members"))
    made = boss.post("/members", **fields)
    assert "/sign-in/new/" in made.text
    wrong = boss.post("/members", **(fields | {"phone": "12"}))
    assert wrong.status_code == 422 and 'id="phone-fault"' in wrong.text
    assert boss.post("/members", **fields).status_code == 422, "one e-mail, one member"
    with session_on(runtime.engine) as session:
        new = session.exec(select(Member).where(Member.email == "new@clinic.example")).one()
    assert kim.post(f"/members/{kim.member.id}/disable").status_code == 403
    assert kim.post(f"/members/{new.id}/link").status_code == 403
    assert boss.post(f"/members/{kim.member.id}/disable").status_code == 303
    assert kim.get("/").status_code == 303, "shut out at once"
    assert boss.post(f"/members/{boss.member.id}/disable").status_code == 422
    assert "/sign-in/new/" in boss.post(f"/members/{new.id}/link").text


def test_the_audit_trail_is_the_admins_and_pages_back(runtime: Runtime, clock: SetClock):
    boss, kim = browser_of(runtime, "Boss", role="admin"), browser_of(runtime)
    course = enroll(runtime)
    for _ in range(110):
        clock.advance(seconds=1)
        kim.get(f"/patients/{course.patient_id}")
    assert kim.get("/audit").status_code == 403
    page = boss.text("/audit?q=kim")
    assert "view patient" in page and "boss@" not in words_of(page).split("Sealed", 1)[1]
    older = page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "view patient" in boss.text(older)
    assert boss.get("/audit?before=rubbish|x").status_code == 404


def test_the_scoreboard_counts_and_names_nobody(runtime: Runtime):
    enroll(runtime)
    text(runtime, ANA, "my foot is numb")
    page = browser_of(runtime).text("/scoreboard")
    assert "Ana Doe" not in page and "my foot" not in page
    assert page.count('<svg class="plot bars"') == 2 and "<caption" not in page


def test_protocols_are_shown_as_they_are_sent(runtime: Runtime):
    kim = browser_of(runtime)
    assert "Kyphoplasty" in words_of(kim.text("/protocols"))
    seen = words_of(kim.text("/protocols/kyphoplasty"))
    assert "Lakeside Spine Center" in seen and "d1_pain" in seen and "$clinic" not in seen
    assert kim.get("/protocols/knee").status_code == 404
