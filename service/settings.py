"""The only reader of the environment. Refuses rather than guesses."""

import os
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from messages.schedule import QuietHours
from messages.site import Site, SiteError, parse_site
from service.keyring import Keyring

DEFAULT_DATABASE_URL = "sqlite:///aftercare.sqlite3"
SECRETS = (
    "secret_key",
    "database_url",
    "twilio_auth_token",
    "twilio_auth_token_previous",
    "encryption_keys",
    "sso_client_secret",
)
MINIMUM_KEY_LENGTH = 32


class SettingsError(Exception):
    """The settings cannot be used; the message says which one, why, and what to set."""


class _FileSecrets(PydanticBaseSettingsSource):
    """``AFTERCARE_NAME_FILE`` names a file whose content is the secret (container secrets)."""

    def __call__(self) -> dict[str, Any]:
        found = {}
        environment = self.current_state if self.current_state else {}
        for name in SECRETS:
            path = self._path(name)
            if path is None:
                continue
            if name in environment:
                raise SettingsError(
                    f"AFTERCARE_{name.upper()} and AFTERCARE_{name.upper()}_FILE are both set: keep one."
                )
            try:
                found[name] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingsError(
                    f"AFTERCARE_{name.upper()}_FILE names {path}, which cannot be read ({error.strerror}): "
                    "correct the path or its permissions."
                ) from error
        return found

    def _path(self, name: str) -> str | None:
        return os.environ.get(f"AFTERCARE_{name.upper()}_FILE") or None

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False


class Settings(BaseSettings):
    """Every setting of CONTRACT section 2. Durations in seconds, hours patient-local."""

    model_config = SettingsConfigDict(
        env_prefix="AFTERCARE_", env_file=".env", extra="ignore", env_ignore_empty=True, frozen=True
    )

    database_url: str = DEFAULT_DATABASE_URL
    carrier: Literal["simulator", "twilio"] = "simulator"
    public_url: str = "http://127.0.0.1:8000"
    secret_key: SecretStr | None = None
    clinic_name: str | None = Field(default=None, max_length=40)
    clinic_phone: str | None = Field(default=None, max_length=24)
    timezone: str | None = None
    site: Path | None = None
    protocols: Path | None = None
    twilio_account_sid: str | None = None
    twilio_auth_token: SecretStr | None = None
    twilio_auth_token_previous: SecretStr | None = None
    twilio_from: str | None = None
    twilio_messaging_service_sid: str | None = None
    twilio_api_url: str | None = None
    quiet_hours: str = "20:00-09:00"
    pace: Decimal | None = Field(default=None, ge=0, le=1000)
    heartbeat_url: str | None = None
    encryption_keys: SecretStr | None = None
    log_format: Literal["text", "json"] = "text"
    clock_offset: float = 0
    allowed_hosts: str | None = None
    carrier_redaction: str = "off"
    trusted_proxies: str = "127.0.0.1"
    require_totp: Literal["none", "admins", "all"] = "none"
    sso_issuer: str | None = None
    sso_client_id: str | None = None
    sso_client_secret: SecretStr | None = None
    sso_roles: str | None = None
    sso_role_claim: str = "groups"
    sso_scopes: str = "openid email profile"
    sso_passwords: Literal["all", "admins"] = "all"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSecrets(settings_cls), dotenv_settings

    @field_validator("public_url", "twilio_api_url", "heartbeat_url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a full address such as https://aftercare.example.org")
        return value.rstrip("/")

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise ValueError(
                    f"{value!r} is not a time zone; use a name such as America/Chicago"
                ) from error
        return value

    @field_validator("quiet_hours")
    @classmethod
    def _quiet_hours(cls, value: str) -> str:
        QuietHours.parse(value)
        return value

    @field_validator("carrier_redaction")
    @classmethod
    def _off_or_days(cls, value: str) -> str:
        if value != "off" and not (value.isdecimal() and 1 <= int(value) <= 3650):
            raise ValueError("must be off, or after how many days (1 to 3650) the carrier forgets a text")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for one in value.split(","):
            try:
                ip_network(one.strip())
            except ValueError as error:
                raise ValueError(
                    f"{one.strip()!r} is no address or network; write 127.0.0.1 or 172.16.0.0/12"
                ) from error
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MINIMUM_KEY_LENGTH:
            raise ValueError(f"must be at least {MINIMUM_KEY_LENGTH} random characters")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _usable_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Keyring.parse(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _carrier_is_complete(self) -> "Settings":
        if self.carrier == "twilio":
            _twilio_is_complete(self)
        return self

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def effective_pace(self) -> float:
        """Texts per second per sender; 0 means no limit."""
        if self.pace is not None:
            return float(self.pace)
        return 1.0 if self.carrier == "twilio" else 0.0

    @property
    def carrier_forgets_after(self) -> timedelta | None:
        """After how long the carrier is told to forget the words of a text; None: it is never told."""
        return None if self.carrier_redaction == "off" else timedelta(days=int(self.carrier_redaction))

    @cached_property
    def keyring(self) -> Keyring:
        """The keys of encryption at rest; an empty ring when none are set."""
        given = self.encryption_keys
        return Keyring.parse(given.get_secret_value()) if given is not None else Keyring()

    @cached_property
    def quiet(self) -> QuietHours:
        return QuietHours.parse(self.quiet_hours)


def _twilio_is_complete(settings: Settings) -> None:
    for name in ("twilio_account_sid", "twilio_auth_token"):
        if getattr(settings, name) is None:
            raise ValueError(f"AFTERCARE_CARRIER is twilio, so AFTERCARE_{name.upper()} must be set")
    if not settings.twilio_from and not settings.twilio_messaging_service_sid:
        raise ValueError(
            "AFTERCARE_CARRIER is twilio, so AFTERCARE_TWILIO_FROM or "
            "AFTERCARE_TWILIO_MESSAGING_SERVICE_SID must be set"
        )
    if not settings.is_https and not is_loopback(settings.public_url):
        raise ValueError("AFTERCARE_PUBLIC_URL must start with https:// when the carrier is twilio")
    if settings.clock_offset and not (settings.twilio_api_url and is_loopback(settings.twilio_api_url)):
        raise ValueError(
            "AFTERCARE_CLOCK_OFFSET is for rehearsals: with twilio, "
            "AFTERCARE_TWILIO_API_URL must be a loopback address"
        )


def is_loopback(address: str) -> bool:
    """Whether an address such as ``http://127.0.0.1:8000`` stays on this machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: Any) -> Settings:
    """Read environment and ``.env``. Raises SettingsError with one sentence per fault."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            name = (
                f"AFTERCARE_{'_'.join(str(part) for part in fault['loc']).upper()}: " if fault["loc"] else ""
            )
            faults.append(name + fault["msg"].removeprefix("Value error, "))
        raise SettingsError("; ".join(faults) + ".") from error


def require_secret_key(settings: Settings) -> str:
    """The key that signs links and hashes; ``run``, ``web`` and ``work`` do not start without one."""
    if settings.secret_key is None:
        raise SettingsError(
            "AFTERCARE_SECRET_KEY is not set: put at least 32 random characters there "
            "(for example the output of: openssl rand -hex 32)."
        )
    return settings.secret_key.get_secret_value()


def site_file(settings: Settings) -> tuple[str, str]:
    """The text of the AFTERCARE_SITE file and its name; empty where none is set. Raises SettingsError."""
    if settings.site is None:
        return "", "built-in defaults"
    name = str(settings.site)
    try:
        return settings.site.read_text(encoding="utf-8"), name
    except OSError as error:
        raise SettingsError(
            f"AFTERCARE_SITE names {name}, which cannot be read ({error.strerror})."
        ) from error


def load_site(settings: Settings) -> Site:
    """The site's values: the TOML file of AFTERCARE_SITE, then the clinic settings over it."""
    text, name = site_file(settings)
    try:
        site = parse_site(text, name)
    except SiteError as error:
        raise SettingsError(str(error)) from error
    given = {
        "clinic_name": settings.clinic_name,
        "clinic_phone": settings.clinic_phone,
        "timezone": settings.timezone,
    }
    return replace(site, **{key: value for key, value in given.items() if value is not None})
