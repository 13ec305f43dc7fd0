"""``aftercare check`` names each thing that is wrong, says how to mend it, and changes nothing."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import text
from sqlmodel import select
from typer.testing import CliRunner

from service import marks, site_versions
from service.__main__ import app
from service.accounts import add_member
from service.carriers.twilio_setup import ALL_TRIES, OVERRIDES, Door, door_faults
from service.checkup import check_everything, check_ticks
from service.db import make_engine, session_on
from service.models import Member
from service.runtime import make_runtime, system_clock
from service.settings import Settings
from service.web import webhooks
from tests.api_client import enroll, signed_client
from tests.conftest import settings_for
from tests.databases import free_port
from tests.standin_carrier import StandIn, settings_of

REAL_NOW = system_clock()
OURS = "https://aftercare.example.test/twilio/inbound"


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
    standin.number_config = {"sms_url": f"{url}{OVERRIDES}", "sms_fallback_url": "https://b.example/x"}
    faults, well = said(live(database_url, standin))
    assert faults == []
    assert "Twilio brings incoming texts to our address, and repeats what fails." in well
    assert "This machine's clock agrees with that of the carrier." in well


def test_a_webhook_that_is_not_ours_is_named(database_url: str, standin: StandIn) -> None:
    somebody_on_call(database_url)
    standin.number_config = {"sms_url": "https://other.example/in", "sms_fallback_url": None}
    faults, _well = said(live(database_url, standin))
    assert any("https://other.example/in, which is not ours" in fault for fault in faults)
    assert any("fallback" in fault for fault in faults)
    standin.number_config = {}
    assert any("not brought to us, only logged" in fault for fault in said(live(database_url, standin))[0])


def door(**values: Any) -> Door:
    given = {"url": f"{OURS}{OVERRIDES}", "fallback": "https://b.example/x"} | values
    return Door("the number +13125550000", **given)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": None}, "only logged"),
        ({"url": None, "is_service": True}, "neither delivered nor logged"),
        ({"url": f"https://other.example/x{OVERRIDES}"}, "which is not ours"),
        ({"url": f"{OURS}/{OVERRIDES}"}, "which is not ours"),
        ({"method": "GET"}, "to POST"),
        ({"fallback": None}, "no fallback address"),
        ({"application": "AP1"}, "take it out of the application"),
        ({"url": OURS}, "not repeated when we answer with an error"),
        ({"url": f"{OURS}#rc=0&rp=all&rt=4000"}, "is not repeated"),
        ({"url": f"{OURS}#rc=5&rp=ct,4xx&rt=4000"}, "not repeated when we answer with an error"),
        ({"url": f"{OURS}#rc=5&rp=all"}, "15 s for an answer, so that no second try fits"),
        ({"url": f"{OURS}#rc=5&rp=all&rt=9000"}, "9 s for an answer"),
        ({"url": f"{OURS}#rc=5&rp=all&rt=1500"}, "waits 1.5 s for our answer, which may take 3.5 s"),
    ],
)
def test_each_wrong_setting_of_a_number_is_named_with_what_to_set(wrong: dict[str, Any], words: str) -> None:
    (fault,) = door_faults(OURS, door(**wrong))
    assert words in fault and "set" in fault
    assert door_faults(OURS, door()) == []
    assert door_faults(OURS, door(url=f"{OURS}#rc=3&rp=5xx,rt&rt=5000")) == []


def test_the_address_the_readme_names_is_the_one_we_answer_in_time_for() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert f"`{OVERRIDES}`" in readme
    given = dict(parse_qsl(OVERRIDES[1:]))
    assert webhooks.ANSWERED_WITHIN < int(given["rt"]) / 1000 <= ALL_TRIES / 2


SERVICE = {
    "sid": "MG" + "1" * 32,
    "inbound_request_url": f"http://127.0.0.1:8000/twilio/inbound{OVERRIDES}",
    "inbound_method": "POST",
    "fallback_url": "https://b.example/x",
    "use_inbound_webhook_on_number": False,
}


@pytest.mark.parametrize("by_number", [True, False])
def test_the_door_of_a_messaging_service_is_the_one_that_counts(
    sqlite_url: str, standin: StandIn, by_number: bool
) -> None:
    """A registered number lies in a messaging service: its own address is not used then."""
    somebody_on_call(sqlite_url)
    number = {"sid": "PN" + "0" * 32}
    chosen = {} if by_number else {"twilio_from": None, "twilio_messaging_service_sid": SERVICE["sid"]}
    settings = live(sqlite_url, standin, **chosen)
    standin.services = [SERVICE | {"numbers": [number["sid"]]}]
    assert said(settings)[0] == []
    standin.services = [SERVICE | {"numbers": [number["sid"]], "inbound_request_url": None}]
    (fault,) = said(settings)[0]
    assert "messaging service MG1" in fault and "neither delivered nor logged" in fault
    standin.services = [SERVICE | {"numbers": [number["sid"]], "use_inbound_webhook_on_number": True}]
    (fault,) = said(settings)[0]
    assert "the number +13125550000 has no address" in fault
    standin.services = [SERVICE | {"use_inbound_webhook_on_number": True}]
    (fault,) = said(settings)[0]
    assert ("the number +13125550000" if by_number else "has no number") in fault
    standin.services = []
    (fault,) = said(settings)[0]
    assert ("the number +13125550000" if by_number else "cannot be read") in fault


def test_a_number_that_is_not_ours_and_a_host_without_receipts_are_named(
    sqlite_url: str, standin: StandIn
) -> None:
    somebody_on_call(sqlite_url)
    settings = live(sqlite_url, standin, twilio_from="+13125550001", public_url="https://our_clinic.example")
    faults, _ = said(settings)
    assert any("AFTERCARE_TWILIO_FROM is not a number of this account" in fault for fault in faults)
    assert any("AFTERCARE_PUBLIC_URL has a _" in fault for fault in faults)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CARRIER", "pigeon"),
        ("CARRIER", "twilio"),
        ("PUBLIC_URL", "aftercare.example.org"),
        ("SECRET_KEY", "short"),
        ("TIMEZONE", "Chicago"),
        ("SITE", "/nowhere/site.toml"),
        ("PROTOCOLS", "/nowhere"),
        ("QUIET_HOURS", "late"),
        ("PACE", "-1"),
        ("PACE", "fast"),
        ("HEARTBEAT_URL", "watcher"),
        ("ENCRYPTION_KEYS", "k1:short"),
        ("LOG_FORMAT", "xml"),
        ("CLOCK_OFFSET", "an hour"),
        ("REQUIRE_TOTP", "some"),
        ("SSO_ISSUER", "https://id.example"),
        ("TRUSTED_PROXIES", "proxy"),
        ("CARRIER_REDACTION", "soon"),
        ("DATABASE_URL", "mysql://a/b"),
        ("CLINIC_NAME", "x" * 41),
        ("TWILIO_AUTH_TOKEN_FILE", "/nowhere/token"),
    ],
)
def test_each_wrong_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", "k" * 40)
    monkeypatch.setenv(f"AFTERCARE_{name}", value)
    run = CliRunner().invoke(app, ["check"])
    assert run.exit_code == 1, run.stdout
    (fault,) = [line for line in run.stdout.splitlines() if line.startswith("FAULT")]
    wanted = "TWILIO_ACCOUNT_SID" if (name, value) == ("CARRIER", "twilio") else name.split("_ISSUER")[0]
    assert f"AFTERCARE_{wanted}" in fault and len(fault) > 40


def test_stored_clinic_settings_that_cannot_be_used_are_named(tmp_path: Path, database_url: str) -> None:
    """The site file changed under them: every process goes on with the file's values, and only the log said
    so."""
    settings = settings_for(database_url)
    runtime = make_runtime(settings)
    with session_on(runtime.engine) as session:
        typed = {**site_versions.shown(runtime.site), "clinic.name": "Harbor Spine"}
        site_versions.change(session, runtime, now=REAL_NOW(), actor="admin", typed=typed, seen=0)
        assert "clinic Harbor Spine" in " ".join(said(settings)[1])
        held = site_versions.newest(session)
        held.overrides = {**held.overrides, "clinic.name": "x" * 200}
        session.add(held)
        session.commit()
    runtime.close()
    (fault,) = said(settings)[0]
    assert "stored cannot be used" in fault and "AFTERCARE_SITE" in fault


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


def test_a_database_file_that_is_none_and_one_that_cannot_be_written_are_named(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.sqlite3").write_bytes(b"a shopping list" * 400)
    (fault,) = said(settings_for(f"sqlite:///{tmp_path}/other.sqlite3"))[0]
    assert "other.sqlite3 cannot be used" in fault and "aftercare restore FILE" in fault
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may write anything
    (fault,) = said(settings_for(sqlite_url))[0]
    assert "cannot be written" in fault


def test_a_broken_table_is_a_fault_and_no_traceback(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE members RENAME TO gone"))
    engine.dispose()
    (fault,) = said(settings_for(database_url))[0]
    assert "a table cannot be read" in fault and "restore a backup" in fault


def test_a_database_of_a_newer_version_is_not_upgraded(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    (fault,) = said(settings_for(database_url))[0]
    assert "newer Aftercare" in fault and "upgrade" not in fault


def test_no_command_starts_with_a_traceback_when_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", "k" * 40)
    monkeypatch.setenv("AFTERCARE_DATABASE_URL", "postgresql+psycopg://app:sesame@127.0.0.1:1/none")
    for command in (["work"], ["web", "--port", str(free_port())], ["run", "--port", str(free_port())]):
        run = CliRunner().invoke(app, command)
        assert run.exit_code == 1 and "AFTERCARE_DATABASE_URL" in run.stderr, run.exception
        assert "sesame" not in run.output and "Traceback" not in run.output


def test_looking_does_not_make_a_database(tmp_path: Path) -> None:
    faults, well = said(settings_for(f"sqlite:///{tmp_path}/new.sqlite3"))
    assert faults == [] and any("not there yet" in line for line in well)
    assert list(tmp_path.iterdir()) == []
    (fault,) = said(settings_for(f"sqlite:///{tmp_path}/nowhere/new.sqlite3"))[0]
    assert "does not exist" in fault


def test_an_older_schema_says_how_to_upgrade(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))
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
