"""One escalation from the page that arrives to the note that closes it, with plain forms and nothing else."""

import re

from sqlmodel import select

from service.db import session_on
from service.models import AuditEvent, Escalation, LabelledCase, OutboundMessage
from service.runtime import Runtime
from tests.clinic import ANA, STRANGER, enroll, kinds, rows, text, the_escalation
from tests.conftest import SetClock
from tests.web_clinic import RED_FLAG, SignedIn, browser_of, words_of


def opened(runtime: Runtime, **values: object) -> Escalation:
    enroll(runtime, **values)
    text(runtime, ANA, RED_FLAG)
    return the_escalation(runtime, reason="red_flag")


def send_key(page: str) -> str:
    return re.search(r'name="key" value="([0-9a-f]+)"', page)[1]


def test_the_page_says_why_in_words_rule_and_version_and_whom_to_call(runtime: Runtime):
    item = opened(runtime)
    page = browser_of(runtime).text(f"/escalations/{item.id}")
    seen = words_of(page)
    finding = item.findings[0]
    assert finding["rule"] in seen and finding["words"] in seen
    assert "Catalogue" in seen and 'href="tel:+13125550111"' in page
    assert "Where exactly is it numb" in seen, "the call script of the flag"
    assert "What the plan says next" in seen and "Opened" in seen
    assert "911" in seen, "our own safety answer is part of the conversation"


def test_acknowledge_contact_note_resolve_with_plain_forms(runtime: Runtime, clock: SetClock):
    item = opened(runtime)
    kim = browser_of(runtime)
    here = f"/escalations/{item.id}"
    answer = kim.post(f"{here}/acknowledge")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{here}?done=acknowledge")
    assert "You have this now" in words_of(kim.text(answer.headers["location"]))
    clock.advance(minutes=2)
    kim.post(f"{here}/note", note="Daughter is with her.")
    kim.post(f"{here}/contact", method="phone", note="Left foot only, strong.")
    clock.advance(minutes=5)
    done = kim.post(f"{here}/resolve", disposition="seen_today", note="Coming in at 3.")
    assert done.status_code == 303
    seen = words_of(kim.text(here))
    for words in (
        "Daughter is with her.",
        "Left foot only, strong.",
        "Seen today: Coming in at 3.",
        "Resolved",
    ):
        assert words in seen
    row = the_escalation(runtime, id=item.id)
    assert (row.status, row.resolved_by) == ("resolved", kim.member.email)
    assert {"acknowledged", "note", "contacted", "resolved"} <= set(kinds(runtime, row))


def test_resolving_without_a_contact_says_what_is_missing_and_keeps_the_note(runtime: Runtime):
    item = opened(runtime)
    kim = browser_of(runtime)
    answer = kim.post(f"/escalations/{item.id}/resolve", disposition="advice_given", note="Fine on the phone")
    assert answer.status_code == 422
    assert "Record how the patient was reached first" in words_of(answer.text)
    assert "Fine on the phone" in answer.text and 'value="advice_given" selected' in answer.text
    assert the_escalation(runtime, id=item.id).status == "open"


def test_the_second_of_two_is_told_who_was_first_and_may_take_over(runtime: Runtime, clock: SetClock):
    item = opened(runtime)
    kim, sam = browser_of(runtime), browser_of(runtime, "Sam Ortega")
    kim.post(f"/escalations/{item.id}/acknowledge")
    clock.advance(seconds=4)
    late = sam.post(f"/escalations/{item.id}/acknowledge")
    assert late.status_code == 409
    assert "Kim Ryan acknowledged this 4 s ago." in words_of(late.text)
    assert "/take-over" in late.text
    assert the_escalation(runtime, id=item.id).acknowledged_by == kim.member.email
    assert sam.post(f"/escalations/{item.id}/take-over").status_code == 303
    assert the_escalation(runtime, id=item.id).acknowledged_by == sam.member.email


def test_acknowledging_from_the_queue_comes_back_to_the_queue(runtime: Runtime):
    item = opened(runtime)
    kim = browser_of(runtime)
    answer = kim.post(f"/escalations/{item.id}/acknowledge", back="queue")
    assert answer.headers["location"] == "/"
    assert "Kim Ryan" in words_of(kim.text("/"))
    kim.post(f"/escalations/{item.id}/reopen")
    kept = kim.post(f"/escalations/{item.id}/acknowledge", back="queue", view="mine", q="Ana & co")
    assert kept.headers["location"] == "/?view=mine&q=Ana+%26+co", "filters stay"
    kim.post(f"/escalations/{item.id}/reopen")
    kept = kim.post(f"/escalations/{item.id}/acknowledge", back="queue", view="open", team="north")
    assert kept.headers["location"] == "/?team=north", "the chosen team, too"


def test_hand_over_gives_it_to_a_colleague(runtime: Runtime):
    item = opened(runtime)
    kim, sam = browser_of(runtime), browser_of(runtime, "Sam Ortega")
    kim.post(f"/escalations/{item.id}/acknowledge")
    assert kim.post(f"/escalations/{item.id}/hand-over", to="nobody").status_code == 422
    assert kim.post(f"/escalations/{item.id}/hand-over", to=sam.member.id).status_code == 303
    assert the_escalation(runtime, id=item.id).acknowledged_by == sam.member.email
    assert "Sam Ortega" in words_of(kim.text(f"/escalations/{item.id}"))


def test_a_text_goes_to_the_patient_once_however_often_it_is_clicked(runtime: Runtime):
    item = opened(runtime)
    kim = browser_of(runtime)
    key = send_key(kim.text(f"/escalations/{item.id}"))
    for _ in range(2):
        answer = kim.post(f"/escalations/{item.id}/text", body="We are calling you now.", key=key)
        assert answer.status_code == 303
    sent = rows(runtime, OutboundMessage, OutboundMessage.kind == "member")
    assert [(one.body, one.to_phone, one.author) for one in sent] == [
        ("We are calling you now.", ANA, kim.member.email)
    ]
    assert "We are calling you now." in words_of(kim.text(f"/escalations/{item.id}"))
    assert kinds(runtime, the_escalation(runtime, id=item.id)).count("texted") == 1, "it is on the timeline"


def test_a_text_that_cannot_go_says_why_and_is_kept(runtime: Runtime):
    item = opened(runtime)
    kim = browser_of(runtime)
    empty = kim.post(f"/escalations/{item.id}/text", body="   ", key="a1")
    assert empty.status_code == 422
    long = kim.post(f"/escalations/{item.id}/text", body="x" * 900, key="a2")
    assert long.status_code == 422 and "too long" in words_of(long.text) and "x" * 900 in long.text
    text(runtime, ANA, "STOP")
    opted_out = kim.post(f"/escalations/{item.id}/text", body="Are you well?", key="a3")
    assert opted_out.status_code == 422 and "call the patient" in words_of(opted_out.text)


def test_the_line_under_the_field_counts_as_the_carrier_does(runtime: Runtime):
    kim = browser_of(runtime)
    assert "1 part(s), 5 characters" in kim.post("/segments", body="hola á".replace(" á", "s")).text
    assert "2 part(s)" in kim.post("/segments", body="a" * 161).text
    assert "Too long" in kim.post("/segments", body="a" * 1500).text
    assert kim.post("/segments", body="x" * 5000).status_code == 422


def test_one_click_marks_a_wrong_reading_and_keeps_the_case(runtime: Runtime):
    item = opened(runtime)
    kim = browser_of(runtime)
    answer = kim.post(f"/escalations/{item.id}/false-alarm", should_be="routine")
    assert answer.status_code == 303
    case = rows(runtime, LabelledCase)[0]
    assert (case.read_as, case.should_be, case.member) == (item.urgency, "routine", kim.member.email)
    assert the_escalation(runtime, id=item.id).disposition == "false_alarm"
    assert kim.post(f"/escalations/{item.id}/false-alarm").status_code == 409
    assert kim.post(f"/escalations/{item.id}/reopen").status_code == 303


def test_an_unknown_number_can_be_called_but_not_texted(runtime: Runtime):
    text(runtime, STRANGER, "my moms leg is weak who do i call")
    item = the_escalation(runtime)
    kim = browser_of(runtime)
    page = kim.text(f"/escalations/{item.id}")
    assert 'href="tel:+13125550199"' in page and f"/escalations/{item.id}/text" not in page
    assert kim.post(f"/escalations/{item.id}/text", body="hello", key="b").status_code == 422


def test_a_viewer_looks_and_cannot_act(runtime: Runtime):
    item = opened(runtime)
    lee = browser_of(runtime, "Lee Look", role="viewer")
    assert "<form" not in lee.text(f"/escalations/{item.id}").split('id="main"')[1].split("</main>")[0]
    for act in ("acknowledge", "take-over", "contact", "resolve", "false-alarm", "note", "text", "hand-over"):
        answer = lee.post(f"/escalations/{item.id}/{act}", method="phone", note="x", body="x")
        assert answer.status_code == 403, act
    assert the_escalation(runtime, id=item.id).status == "open"


def test_what_does_not_exist_is_not_there(runtime: Runtime):
    kim = browser_of(runtime)
    for path in ("/escalations/" + "0" * 32, "/escalations/x", "/patients/" + "0" * 32):
        assert kim.get(path).status_code == 404
    assert kim.post("/escalations/" + "0" * 32 + "/acknowledge").status_code == 404


def test_looks_and_acts_are_on_record_without_the_patients_words(runtime: Runtime):
    item = opened(runtime)
    kim = browser_of(runtime)
    kim.text(f"/escalations/{item.id}")
    kim.post(f"/escalations/{item.id}/acknowledge")
    with session_on(runtime.engine) as session:
        mine = session.exec(select(AuditEvent).where(AuditEvent.actor == kim.member.email)).all()
    actions = [event.action for event in mine]
    assert "view escalation" in actions and "escalation acknowledged" in actions
    assert "numb" not in str([event.detail for event in mine])


def test_patients_and_viewers_time_stand_side_by_side(runtime: Runtime):
    item = opened(runtime, timezone="America/Los_Angeles")
    seen = words_of(browser_of(runtime).text(f"/escalations/{item.id}"))
    assert "10:00 (08:00 patient's time)" in seen


def test_spanish_speakers_read_spanish(runtime: Runtime):
    item = opened(runtime, language="es")
    kim: SignedIn = browser_of(runtime, language="es")
    seen = words_of(kim.text(f"/escalations/{item.id}"))
    for words in (
        "Por qué está aquí",
        "Cuando llame",
        "Anotar contacto",
        "Señal de alarma",
        "Contestar por texto",
    ):
        assert words in seen
