"""What ``aftercare check`` says about the carrier: whether it knows us and brings replies here."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlmodel import Session, select

from service.carriers import CarrierError
from service.checkup_database import skew
from service.models import Mark
from service.runtime import Runtime

REFUSALS_MATTER_FOR = timedelta(hours=24)
REFUSED_CREDENTIALS = "20003"


def findings(runtime: Runtime) -> Iterator[tuple[bool, str]]:
    """Lines, each with whether it is a fault."""
    if runtime.settings.carrier != "twilio":
        yield False, "The carrier is the simulator: no text leaves this machine."
        return
    if "_" in (urlsplit(runtime.settings.public_url).hostname or ""):
        yield (
            True,
            "The host of AFTERCARE_PUBLIC_URL has a _ in it: Twilio sends no receipts there. Rename it.",
        )
    carrier: Any = runtime.carrier
    try:
        their_now = carrier.check_access()
    except CarrierError as error:
        yield True, _refused(error)
        return
    yield False, "Twilio accepts our account and token."
    yield skew("carrier", their_now, runtime)
    try:
        faults = carrier.webhook_faults(runtime.settings.public_url)
    except CarrierError as error:
        yield True, f"Twilio's configuration cannot be read: {error}. Try again; look at status.twilio.com."
        return
    for fault in faults:
        yield True, f"At Twilio, {fault}."
    if not faults:
        yield False, "Twilio brings incoming texts to our address, and repeats what fails."


def _refused(error: CarrierError) -> str:
    if error.code == REFUSED_CREDENTIALS:
        return (
            "Twilio refuses our credentials: correct AFTERCARE_TWILIO_ACCOUNT_SID and "
            "AFTERCARE_TWILIO_AUTH_TOKEN (Twilio's console shows both)."
        )
    return (
        f"Twilio cannot be asked: {error}. Check this machine's way to the internet and, when it is set, "
        "AFTERCARE_TWILIO_API_URL."
    )


def refused_webhooks(session: Session, now: datetime) -> Iterator[tuple[bool, str]]:
    """Refused webhooks: a mis-set proxy turns every red flag into a 403."""
    for mark in session.exec(select(Mark).order_by(Mark.name)):
        kind, _, why = mark.name.partition(":")
        if kind == "refused" and now - mark.at <= REFUSALS_MATTER_FOR:
            last = f"last at {mark.at:%Y-%m-%d %H:%M} UTC, {mark.count} in all"
            mend = (
                "AFTERCARE_PUBLIC_URL must be the address set at Twilio, and AFTERCARE_TWILIO_AUTH_TOKEN the "
                "current token."
            )
            yield True, f"Webhook requests were refused ({why}), {last}: {mend}"
