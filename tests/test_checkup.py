"""``aftercare check`` names each thing that is wrong, says how to mend it, and changes nothing."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select
from typer.testing import CliRunner

from service import marks
from service.__main__ import app
from service.accounts import add_member
from service.checkup import check_everything, check_ticks
from service.db import make_engine, session_on
from service.models import Member
from service.runtime import make_runtime, system_clock
from service.settings import Settings
from tests.api_client import enroll, signed_client
from tests.conftest import settings_for
from tests.standin_carrier import StandIn, settings_of

REAL_NOW = system_clock()


@pytest.fixture
def standin() -> Iterator[StandIn]:
    carrier = StandIn().start()
    yield carrier
    carrier.stop()


def live(database_url: str, standin: StandIn, **values: Any) -> Settings:
    return settings_for(database_url, **{**settings_of(standin), **values})


def said(settings: Settings, clock: Any = None) -> tuple[list[str], list[str]]:
    """Faults and what is well."""
    found = check_everything(settings, clock)
    return [one.said for one in found if one.is_fault], [one.said for one in found if not one.is_fault]


def somebody_on_call(database_url: str, phone: str | None = "+13125550160") -> None:
    engine = make_engine(database_url)
    with session_on(engine) as session:
        add_member(
            session, now=REAL_NOW() - timedelta(days=1), email="kim@clinic.example", name="Kim", role="nurse",
            phone=phone, on_call=1 if phone else None,
        )  # fmt: skip
    engine.dispose()


def test_a_fresh_simulated_clinic_has_no_fault(database_url: str) -> None:
    faults, well = said(settings_for(database_url))
    assert faults == []
    assert any("simulator" in line for line in well) and any("revision" in line for line in well)


def test_a_right_live_clinic_has_no_fault(database_url: str, standin: StandIn) -> None:
    somebody_on_call(database_url)
    url = "http://127.0.0.1:8000/twilio/inbound"
    standin.number_config = {"sms_url": f"{url}#rc=5&rp=all", "sms_fallback_url": "https://b.example/x"}
    faults, well = said(live(database_url, standin))
    assert faults == []
    assert "Twilio brings incoming texts to our address." in well
    assert "This machine's clock agrees with that of the carrier." in well


def test_a_webhook_that_is_not_ours_is_named(database_url: str, standin: StandIn) -> None:
    somebody_on_call(database_url)
    standin.number_config = {"sms_url": "https://other.example/in", "sms_fallback_url": None}
    faults, _well = said(live(database_url, standin))
    assert any("https://other.example/in, which is not ours" in fault for fault in faults)
    assert any("fallback" in fault for fault in faults)
    standin.number_config = {}
    assert any("neither delivered nor logged" in fault for fault in said(live(database_url, standin))[0])


def test_refused_credentials_are_named(database_url: str, standin: StandIn) -> None:
    somebody_on_call(database_url)
    faults, _well = said(live(database_url, standin, twilio_auth_token="wrong" * 8))
    (fault,) = faults
    assert "AFTERCARE_TWILIO_AUTH_TOKEN" in fault and "wrong" not in fault


def test_a_carrier_that_cannot_be_reached_is_named(database_url: str, standin: StandIn) -> None:
    somebody_on_call(database_url)
    (fault,) = said(live(database_url, standin, twilio_api_url="http://127.0.0.1:9"))[0]
    assert "cannot be asked" in fault and "AFTERCARE_TWILIO_API_URL" in fault


def test_an_unreachable_database_is_named_without_its_password() -> None:
    settings = settings_for("postgresql+psycopg://app:sesame@127.0.0.1:1/none")
    (fault,) = said(settings)[0]
    assert "AFTERCARE_DATABASE_URL" in fault and "sesame" not in fault


def test_looking_does_not_make_a_database(tmp_path: Path) -> None:
    faults, well = said(settings_for(f"sqlite:///{tmp_path}/new.sqlite3"))
    assert faults == [] and any("not there yet" in line for line in well)
    assert list(tmp_path.iterdir()) == []
    (fault,) = said(settings_for(f"sqlite:///{tmp_path}/nowhere/new.sqlite3"))[0]
    assert "does not exist" in fault


def test_an_older_schema_says_how_to_upgrade(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    engine.dispose()
    assert any("aftercare db upgrade" in fault for fault in said(settings_for(database_url))[0])


def test_a_clock_that_is_wrong_is_named(postgres_url: str, standin: StandIn) -> None:
    somebody_on_call(postgres_url)
    ahead = lambda: REAL_NOW() + timedelta(minutes=2)  # noqa: E731
    faults, _well = said(live(postgres_url, standin), ahead)
    assert any("database are 120 s apart" in fault for fault in faults)
    assert any("carrier are 120 s apart" in fault or "carrier are 121 s" in fault for fault in faults)
    shifted = settings_for(postgres_url, clock_offset=7200)  # a rehearsal's offset is no wrong clock
    assert not any("apart" in fault for fault in said(shifted)[0])


def test_nobody_on_call_matters_once_patients_are_enrolled(database_url: str) -> None:
    runtime = make_runtime(settings_for(database_url))
    assert said(runtime.settings)[0] == []
    enroll(signed_client(runtime), runtime.clock())
    assert any("aftercare member add" in fault for fault in said(runtime.settings)[0])
    somebody_on_call(database_url, phone=None)
    assert any("Tier 1: nobody is on call" in fault for fault in said(runtime.settings)[0])
    runtime.close()


def test_a_member_who_blocked_our_pages_is_named(database_url: str) -> None:
    somebody_on_call(database_url)
    engine = make_engine(database_url)
    with session_on(engine) as session:
        member = session.exec(select(Member)).one()
        member.pages_blocked_at = REAL_NOW()
        session.commit()
    engine.dispose()
    faults, _well = said(settings_for(database_url))
    assert any("Kim's phone refuses our pages" in fault for fault in faults)
    assert any("Tier 1" in fault for fault in faults)


def test_refused_webhooks_and_stopped_jobs_are_named(database_url: str) -> None:
    somebody_on_call(database_url)
    engine = make_engine(database_url)
    with session_on(engine) as session:
        marks.set_mark(session, "refused:signature", REAL_NOW() - timedelta(hours=1), add=3)
        marks.set_mark(session, "tick:send_urgent", REAL_NOW() - timedelta(minutes=10))
        session.commit()
    engine.dispose()
    faults, _well = said(settings_for(database_url))
    assert any("refused (signature)" in fault and "AFTERCARE_PUBLIC_URL" in fault for fault in faults)
    assert any("aftercare work" in fault for fault in faults)


def test_the_command_prints_each_line_and_its_status_says_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERCARE_TIMEZONE", "Nowhere")
    run = CliRunner()
    wrong = run.invoke(app, ["check"])
    assert wrong.exit_code == 1 and "FAULT  AFTERCARE_TIMEZONE: 'Nowhere'" in wrong.stdout
    monkeypatch.delenv("AFTERCARE_TIMEZONE")
    keyless = run.invoke(app, ["check"])
    assert keyless.exit_code == 1 and "AFTERCARE_SECRET_KEY is not set" in keyless.stdout
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", "k" * 40)
    good = run.invoke(app, ["check"])
    assert good.exit_code == 0 and "FAULT" not in good.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_quick_look_at_workers(database_url: str) -> None:
    settings = settings_for(database_url)
    assert [finding.is_fault for finding in check_ticks(settings)] == [True]
    engine = make_engine(database_url)
    with session_on(engine) as session:
        marks.set_mark(session, "tick:send_due", REAL_NOW())
        session.commit()
    engine.dispose()
    assert [finding.is_fault for finding in check_ticks(settings)] == [False]
    later = lambda: REAL_NOW() + timedelta(seconds=61)  # noqa: E731
    assert [finding.is_fault for finding in check_ticks(settings, later)] == [True]
    away = settings_for("postgresql+psycopg://app@127.0.0.1:1/none")
    assert [finding.is_fault for finding in check_ticks(away)] == [True]
