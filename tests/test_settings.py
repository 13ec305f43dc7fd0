"""Settings refuse rather than guess: each refusal names the setting and says what to set."""

import os
from pathlib import Path
from typing import Any

import pytest

from service.keyring import new_key_line
from service.settings import (
    SECRETS,
    Settings,
    SettingsError,
    is_loopback,
    load_settings,
    load_site,
    require_secret_key,
)

ROOT = Path(__file__).parent.parent
KEY = "k" * 32
TWILIO = {
    "carrier": "twilio",
    "twilio_account_sid": "AC" + "0" * 32,
    "twilio_auth_token": "t" * 32,
    "twilio_from": "+15005550006",
    "public_url": "https://aftercare.example.org",
}


def load(**values: Any) -> Settings:
    return load_settings(_env_file=None, **values)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AFTERCARE_")]:
        monkeypatch.delenv(name)


def test_nothing_set_is_the_simulator_on_a_file() -> None:
    settings = load()
    assert settings.carrier == "simulator" and settings.database_url.startswith("sqlite:///")
    assert settings.effective_pace == 0 and settings.quiet_hours == "20:00-09:00"
    with pytest.raises(SettingsError, match="AFTERCARE_SECRET_KEY is not set.*openssl rand"):
        require_secret_key(settings)
    assert require_secret_key(load(secret_key=KEY)) == KEY


def test_a_whole_twilio_configuration_is_accepted() -> None:
    settings = load(**TWILIO)
    assert settings.effective_pace == 1 and settings.is_https
    assert load(**{**TWILIO, "pace": "2.5"}).effective_pace == 2.5
    service = {**TWILIO, "twilio_from": None, "twilio_messaging_service_sid": "MG" + "0" * 32}
    assert load(**service).twilio_messaging_service_sid
    assert load(**{**TWILIO, "public_url": "http://127.0.0.1:9"}).carrier == "twilio"
    assert load(**{**TWILIO, "public_url": "http://localhost:9"}).carrier == "twilio"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"carrier": "pigeon"}, "AFTERCARE_CARRIER: .*'simulator' or 'twilio'"),
        ({**TWILIO, "twilio_account_sid": None}, "AFTERCARE_TWILIO_ACCOUNT_SID must be set"),
        ({**TWILIO, "twilio_auth_token": None}, "AFTERCARE_TWILIO_AUTH_TOKEN must be set"),
        ({**TWILIO, "twilio_from": None}, "AFTERCARE_TWILIO_FROM or AFTERCARE_TWILIO_MESSAGING_SERVICE_SID"),
        (
            {**TWILIO, "public_url": "http://aftercare.example.org"},
            "AFTERCARE_PUBLIC_URL must start with https",
        ),
        ({**TWILIO, "clock_offset": 60}, "AFTERCARE_TWILIO_API_URL must be a loopback address"),
        (
            {**TWILIO, "clock_offset": 60, "twilio_api_url": "https://api.example.org"},
            "AFTERCARE_TWILIO_API_URL must be a loopback address",
        ),
        ({"public_url": "aftercare.example.org"}, "AFTERCARE_PUBLIC_URL: must be a full address"),
        ({"public_url": "ftp://example.org"}, "AFTERCARE_PUBLIC_URL: must be a full address"),
        ({"heartbeat_url": "ping"}, "AFTERCARE_HEARTBEAT_URL: must be a full address"),
        ({"timezone": "Mars/Olympus"}, "AFTERCARE_TIMEZONE: 'Mars/Olympus' is not a time zone"),
        ({"quiet_hours": "late"}, "AFTERCARE_QUIET_HOURS: .+"),
        ({"quiet_hours": "25:00-09:00"}, "AFTERCARE_QUIET_HOURS: .+"),
        ({"secret_key": "short"}, "AFTERCARE_SECRET_KEY: must be at least 32 random characters"),
        ({"pace": "-1"}, "AFTERCARE_PACE: .+"),
        ({"pace": "fast"}, "AFTERCARE_PACE: .+"),
        ({"trusted_proxies": "proxy.example"}, "AFTERCARE_TRUSTED_PROXIES: 'proxy.example' is no address"),
        ({"trusted_proxies": "*"}, "AFTERCARE_TRUSTED_PROXIES: .*is no address or network"),
        ({"require_totp": "some"}, "AFTERCARE_REQUIRE_TOTP: .*'none', 'admins' or 'all'"),
        ({"log_format": "xml"}, "AFTERCARE_LOG_FORMAT: .*'text' or 'json'"),
        ({"clinic_name": "x" * 41}, "AFTERCARE_CLINIC_NAME: .*40"),
        ({"clock_offset": "soon"}, "AFTERCARE_CLOCK_OFFSET: .+"),
    ],
)
def test_each_wrong_setting_is_refused_in_one_sentence(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load(**values)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_refusal_never_shows_a_secret() -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{**TWILIO, "twilio_account_sid": None}, secret_key="pssst")
    assert "pssst" not in str(caught.value) and TWILIO["twilio_auth_token"] not in str(caught.value)


def test_two_faults_are_two_sentences() -> None:
    with pytest.raises(SettingsError, match="AFTERCARE_TIMEZONE.*; AFTERCARE_LOG_FORMAT"):
        load(timezone="x", log_format="x")


def test_a_clock_offset_is_for_rehearsals() -> None:
    assert load(clock_offset=-3600).clock_offset == -3600
    local = {**TWILIO, "clock_offset": 60, "twilio_api_url": "http://127.0.0.1:9999"}
    assert load(**local).clock_offset == 60


@pytest.mark.parametrize("name", SECRETS)
def test_each_secret_may_come_from_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"database_url": "sqlite:///from-file.sqlite3", "encryption_keys": new_key_line("k1")}.get(
        name, "s" * 40
    )
    secret = tmp_path / "secret"
    secret.write_text(f"{value}\n", encoding="utf-8")
    variable = f"AFTERCARE_{name.upper()}"
    monkeypatch.setenv(f"{variable}_FILE", str(secret))
    read = getattr(load(), name)
    assert (read if isinstance(read, str) else read.get_secret_value()) == value
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable} and {variable}_FILE are both set"):
        load()
    monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match=f"{variable}_FILE names .*missing, which cannot be read"):
        load()


def test_secrets_do_not_show_when_printed() -> None:
    settings = load(**TWILIO, secret_key=KEY)
    assert KEY not in repr(settings) and TWILIO["twilio_auth_token"] not in repr(settings)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERCARE_TIMEZONE", "")
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", "")
    assert load().timezone is None and load().secret_key is None


def test_a_site_file_that_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AFTERCARE_SITE names .*nowhere.toml, which cannot be read"):
        load_site(load(site=tmp_path / "nowhere.toml"))
    wrong = tmp_path / "site.toml"
    wrong.write_text("colour = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="site.toml.*colour"):
        load_site(load(site=wrong))
    assert load_site(load(clinic_name="North Clinic")).clinic_name == "North Clinic"


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:9", True),
        ("http://127.9.9.9", True),
        ("http://128.0.0.1", False),
        ("http://localhost.example.org", False),
        ("https://127.0.0.1.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_and_nothing_that_looks_like_it(address: str, here: bool) -> None:
    assert is_loopback(address) is here


def test_every_setting_is_in_the_readme() -> None:
    readme = ROOT / "README.md"
    if readme.exists():
        words = readme.read_text(encoding="utf-8")
        assert [name for name in Settings.model_fields if f"AFTERCARE_{name.upper()}" not in words] == []


def test_keys_of_encryption_are_read_or_refused_in_one_sentence() -> None:
    assert load().keyring.current is None
    line = new_key_line("k2")
    assert load(encryption_keys=f"{line},{new_key_line('k1')}").keyring.current == "k2"
    for given, said in (
        ("k" * 40, "key 1 is not written as name:base64key"),
        (f"{line},{line}", "two keys are named k2"),
        (f"{line},k3:{line[3:]}", "key k3 is the same as another one"),
        (f"{line},", "key 2 is not written as name:base64key"),
        ("K 1:" + line[3:], "the name of key 1 must be"),
        ("plain:" + line[3:], "the name of key 1 must be"),
        ("k1:" + "A" * 43 + "=", "key k1 is not random"),
        ("k1:c2hvcnQ=", "key k1 has 5 bytes and must have 32"),
        ("k1:" + "!" * 44, "key k1 is not base64"),
    ):
        with pytest.raises(SettingsError) as refused:
            load(encryption_keys=given)
        assert str(refused.value).startswith("AFTERCARE_ENCRYPTION_KEYS: ") and said in str(refused.value)
        assert line[3:] not in str(refused.value) and "c2hvcnQ" not in str(refused.value)
