"""The clinic's values changed on a page: valid or not stored, in force everywhere soon, back in one click."""

from datetime import timedelta
from pathlib import Path

import pytest

from jobs import refresh_site
from service import dispatch, site_fields, site_versions
from service.carriers.simulator import texts_on
from service.db import reading, session_on
from service.models import AuditEvent, OutboundMessage, SiteVersion
from service.runtime import Runtime, make_runtime
from tests.clinic import ANA, enroll, rows
from tests.conftest import SetClock, settings_for
from tests.web_clinic import browser_of, words_of

FILE = """
[clinic]
name = "Filed Spine Center"
[targets]
urgent = { acknowledge = "10m", contact = "40m" }
[business_hours]
saturday = "09:00-12:00"
[holidays]
dates = [2027-07-05]
"""


def change(runtime: Runtime, seen: int = 0, **typed: str) -> site_versions.Preview:
    with session_on(runtime.engine) as session:
        return site_versions.change(
            session, runtime, now=runtime.clock(), actor="boss@clinic.example", seen=seen,
            typed={name.replace("__", "."): text for name, text in typed.items()},
        )  # fmt: skip


@pytest.fixture
def filed(database_url: str, clock: SetClock, tmp_path: Path):
    """A process whose site file says something of its own."""
    path = tmp_path / "site.toml"
    path.write_text(FILE)
    made = make_runtime(settings_for(database_url, site=path, clinic_name=None), clock=clock)
    yield made
    made.close()


def test_every_value_of_a_file_comes_back_as_it_was_through_the_fields(filed: Runtime):
    shown = site_versions.shown(filed.site)
    again = site_versions.site_with(filed.settings, shown)
    assert again == filed.site
    assert shown["targets.urgent"] == "10m / 40m" and shown["business_hours.sunday"] == "closed"
    assert len(shown) == len(site_fields.FIELDS) > 25


def test_a_change_is_used_stored_and_told_with_who_and_from_what(filed: Runtime):
    change(filed, targets__urgent="15m / 1h", clinic__name="Filed Spine Center")
    assert filed.site.targets["urgent"].acknowledge == timedelta(minutes=15)
    (held,) = rows(filed, SiteVersion)
    assert held.overrides == {"targets.urgent": "15m / 1h"}, "what the file says is no override"
    assert held.changes == [{"field": "targets.urgent", "from": "10m / 40m", "to": "15m / 1h"}]
    (told,) = rows(filed, AuditEvent, AuditEvent.action == "change clinic settings")
    assert told.actor == "boss@clinic.example" and told.detail == {"changes": held.changes}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("clinic.name", "", "not empty"),
        ("clinic.name", "N" * 41, "longer than 40"),
        ("clinic.phone", "no digits", "phone number"),
        ("clinic.timezone", "Mars/Olympus", "time zone"),
        ("business_hours.monday", "17:00-08:00", "before it opens"),
        ("business_hours.monday", "early", "08:00-17:00"),
        ("holidays.dates", "2027-07-05 someday", "should be a date"),
        ("holidays.country", "USA", "two letters"),
        ("day.starts", "25:00", "time of day"),
        ("targets.urgent", "15m / 2h", "one hour"),
        ("targets.urgent", "15m", "acknowledge"),
        ("acknowledgement_lasts.urgent", "soon", "duration"),
        ("ladder.emergency", "5m / 0m", "more than nothing"),
        ("ladder.emergency", "", "at least one tier"),
        ("values.bandage_hours", "12", "from 48"),
        ("values.bandage_hours", "two", "whole number"),
        ("values.shower", "never", "one of"),
    ],
)
def test_what_the_file_may_not_say_the_page_may_not_say_either(
    runtime: Runtime, name: str, text: str, said: str
):
    before = runtime.site
    with pytest.raises(site_versions.SiteFaults) as refused:
        change(runtime, **{name.replace(".", "__"): text})
    assert list(refused.value.faults) == [name] and said in refused.value.faults[name]
    assert "form:" not in refused.value.faults[name]
    assert runtime.site is before and rows(runtime, SiteVersion) == []


def test_a_clinic_that_never_opens_is_refused_as_a_whole(runtime: Runtime):
    days = {
        f"business_hours__{day}": "closed" for day in ("monday", "tuesday", "wednesday", "thursday", "friday")
    }
    with pytest.raises(site_versions.SiteFaults) as refused:
        change(runtime, **days)
    assert "every day is closed" in refused.value.faults[""]


def test_a_name_that_would_make_a_text_too_long_is_refused_or_counted(runtime: Runtime):
    """Within 40 characters the shipped texts hold; the preview counts the parts of the longest one."""
    with reading(runtime.engine):
        planned = site_versions.preview(runtime, {}, {"clinic.name": "N" * 40})
    assert "N" * 40 in planned.longest or planned.parts >= 1
    assert planned.parts <= 3 and planned.changes[0]["to"] == "N" * 40


def test_another_process_takes_it_up_and_the_next_change_builds_on_it(
    runtime: Runtime, database_url: str, clock: SetClock
):
    other = make_runtime(settings_for(database_url), clock=clock)
    change(runtime, clinic__name="Riverside Spine")
    assert other.site.clinic_name == "Lakeside Spine Center"
    assert refresh_site.run(other, clock()) == {"changed": 1}
    assert other.site.clinic_name == "Riverside Spine" and other.site_number == 1
    assert refresh_site.run(other, clock()) == {}, "nothing due"
    change(other, seen=1, clinic__phone="312-555-0199")
    assert refresh_site.run(runtime, clock()) == {"changed": 1}
    assert (runtime.site.clinic_name, runtime.site.clinic_phone) == ("Riverside Spine", "312-555-0199")
    other.close()


def test_two_admins_at_once_do_not_undo_each_other(runtime: Runtime):
    change(runtime, clinic__name="First")
    with pytest.raises(site_versions.SiteFaults) as late:
        change(runtime, seen=0, clinic__name="Second")
    assert "meanwhile" in late.value.faults[""] and runtime.site.clinic_name == "First"


def test_values_that_cannot_be_used_any_more_leave_those_in_force(runtime: Runtime):
    with session_on(runtime.engine) as session:
        session.add(
            SiteVersion(
                number=1, at=runtime.clock(), actor="x", overrides={"targets.urgent": "rubbish"}, changes=[]
            )
        )
        session.commit()
    before = runtime.site
    assert refresh_site.run(runtime, runtime.clock()) == {} and runtime.site is before


def test_planned_texts_say_the_new_number_when_they_go_and_sent_ones_stay(runtime: Runtime, clock: SetClock):
    enroll(runtime, days=0.05)
    dispatch.send_due(runtime, clock.advance(minutes=1))
    with reading(runtime.engine) as session:
        before = [text.body for text in texts_on(session, ANA)]
    assert before and not any("312-555-0999" in body for body in before)
    clock.advance(minutes=1)
    change(runtime, clinic__phone="312-555-0999", clinic__name="Riverside Spine")
    for _ in range(40):
        dispatch.send_due(runtime, clock.advance(hours=2))
    with reading(runtime.engine) as session:
        after = [text.body for text in texts_on(session, ANA)]
    late = after[len(before) :]
    assert after[: len(before)] == before, "what was sent stays"
    assert any("312-555-0999" in body for body in late) and any("Riverside Spine" in body for body in late)
    assert not any("312-555-0142" in body or "Lakeside" in body for body in late)
    kept = {row.body for row in rows(runtime, OutboundMessage, OutboundMessage.to_phone == ANA)}
    assert set(late) <= kept, "the record says what was sent"


def test_the_page_previews_saves_names_faults_by_field_and_goes_back(runtime: Runtime):
    boss, kim = browser_of(runtime, "Boss", role="admin"), browser_of(runtime)
    assert kim.get("/settings/edit").status_code == 403 and "/settings/edit" not in kim.text("/settings")
    form = site_versions.shown(runtime.site)
    looked = boss.post(
        "/settings/edit", **(form | {"clinic.name": "Riverside Spine"}), act="preview", seen="0"
    )
    seen = words_of(looked.text)
    assert "Name : Lakeside Spine Center → Riverside Spine" in seen and "Not saved yet" in seen
    assert rows(runtime, SiteVersion) == [] and "part(s)" in seen
    wrong = boss.post("/settings/edit", **(form | {"targets.urgent": "x"}), act="save", seen="0")
    assert (
        wrong.status_code == 422 and 'id="targets-urgent-fault"' in wrong.text and 'value="x"' in wrong.text
    )
    saved = boss.post("/settings/edit", **(form | {"clinic.name": "Riverside Spine"}), act="save", seen="0")
    assert saved.status_code == 303 and runtime.site.clinic_name == "Riverside Spine"
    told = words_of(kim.text("/settings"))
    assert "Lakeside Spine Center → Riverside Spine" in told
    assert "changed here" in words_of(boss.text("/settings/edit"))
    back = boss.post("/settings/edit", **(form | {"clinic.phone": "nonsense"}), reset="clinic.name", seen="1")
    assert back.status_code == 303 and runtime.site.clinic_name == "Lakeside Spine Center"
    assert [row.overrides for row in rows(runtime, SiteVersion, SiteVersion.number == 2)] == [{}]
    stale = boss.post("/settings/edit", **(form | {"clinic.name": "Late"}), act="save", seen="1")
    assert stale.status_code == 422 and "meanwhile" in words_of(stale.text)
