"""What the settings say about signing in through an identity provider (OpenID Connect)."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from service.models import ROLES
from service.settings import Settings, SettingsError, is_loopback

CALLBACK = "/sign-in/sso/back"
NEEDED = ("sso_issuer", "sso_client_id", "sso_client_secret", "sso_roles")
LIBRARIES = ("authlib", "httpx")


@dataclass(frozen=True)
class SsoSettings:
    """One provider. ``roles``: value of ``role_claim`` to a role of ours; who has no such value stays out."""

    issuer: str
    client_id: str
    client_secret: str
    role_claim: str
    roles: Mapping[str, str]
    scopes: str
    redirect_uri: str


def sso_settings(settings: Settings) -> SsoSettings | None:
    """The provider, or None where none is set. Raises SettingsError for what is half set or wrong."""
    given = {name: getattr(settings, name) for name in NEEDED}
    if not any(given.values()):
        return None
    for name, value in given.items():
        if not value:
            raise SettingsError(
                f"Single sign-on is half set: AFTERCARE_{name.upper()} is missing (or leave all "
                "AFTERCARE_SSO_* settings empty)."
            )
    assert settings.sso_client_secret is not None and settings.sso_issuer is not None
    parts = urlsplit(settings.sso_issuer)
    if not is_safe_address(settings.sso_issuer) or parts.query or parts.fragment:
        raise SettingsError(
            "AFTERCARE_SSO_ISSUER must be an https address without ? and #, as the provider writes it."
        )
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"AFTERCARE_SSO_ISSUER is set, but {' and '.join(missing)} is not installed: install the extra "
            '"aftercare[sso]".'
        )
    return SsoSettings(
        issuer=settings.sso_issuer,
        client_id=str(settings.sso_client_id),
        client_secret=settings.sso_client_secret.get_secret_value(),
        role_claim=settings.sso_role_claim,
        roles=_roles(str(settings.sso_roles)),
        scopes=settings.sso_scopes,
        redirect_uri=settings.public_url + CALLBACK,
    )


def is_safe_address(address: str) -> bool:
    """https, or http that stays on this machine."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(address))
    )


def _roles(text: str) -> Mapping[str, str]:
    """``value=role, value=role``; the last ``=`` parts them, since values may be names with ``=`` in them."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        value, sign, role = (part.strip() for part in pair.rpartition("="))
        if not sign or not value or role not in ROLES:
            raise SettingsError(
                f"AFTERCARE_SSO_ROLES: {pair.strip()!r} cannot be used; write VALUE=ROLE pairs with commas "
                f"between, ROLE one of {', '.join(ROLES)}."
            )
        if value in found:
            raise SettingsError(f"AFTERCARE_SSO_ROLES: {value!r} is there twice: keep one.")
        found[value] = role
    return found


def role_for(sso: SsoSettings, claims: Mapping[str, object]) -> str | None:
    """The highest role that the claim's values give; None when they give none."""
    value = claims.get(sso.role_claim)
    if value is None:  # a path such as realm_access.roles
        found: object = claims
        for part in sso.role_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        value = found
    values = value if isinstance(value, list) else [value]
    roles = [sso.roles[one] for one in values if isinstance(one, str) and one in sso.roles]
    return max(roles, key=ROLES.index) if roles else None
