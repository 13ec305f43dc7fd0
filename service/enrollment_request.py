"""Reading what a form, a CSV row or the REST API says about a new enrollment: every fault by field."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from messages.protocol import LANGUAGES, Protocol
from service.phones import parse_phone

LATEST_START = timedelta(days=90)
CLOCK_LEEWAY = timedelta(minutes=5)
LONGEST_STAY = timedelta(days=30)
SEDATIONS = ("local", "conscious", "general")
CONSENT_METHODS = ("written", "verbal", "electronic")
LEVEL = re.compile(r"(C[1-7]|T([1-9]|1[0-2])|L[1-6]|S[1-5])$")
FIELDS = frozenset(
    "protocol procedure_at discharged_at on_blood_thinner baseline_pain levels sedation follow_up_on "
    "team".split()
)
PATIENT_FIELDS = frozenset(
    "name phone timezone language external_id caregiver_phone caregiver_consent".split()
)
CONSENT_FIELDS = frozenset(("method", "at"))


class EnrollmentFaults(ValueError):
    """The request cannot be used. ``faults``: what is wrong, by field (``patient.phone``)."""

    def __init__(self, faults: Mapping[str, list[str]]) -> None:
        self.faults = {name: list(said) for name, said in faults.items()}
        super().__init__("; ".join(f"{name} {' and '.join(said)}" for name, said in self.faults.items()))


@dataclass(frozen=True, kw_only=True)
class NewEnrollment:
    """A request that holds together. Times aware UTC, phones E.164. ``team``: a name or id, not looked up."""

    name: str
    phone: str
    timezone: str
    language: str
    protocol: str
    procedure_at: datetime
    consent_method: str
    consent_at: datetime
    external_id: str | None = None
    caregiver_phone: str | None = None
    caregiver_consent: bool = False
    discharged_at: datetime | None = None
    on_blood_thinner: bool | None = None
    baseline_pain: int | None = None
    levels: tuple[str, ...] = ()
    sedation: str | None = None
    follow_up_on: date | None = None
    team: str | None = None


class _Reader:
    """Takes values one by one and collects what is wrong with each."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.faults: dict[str, list[str]] = {}

    def fault(self, name: str, said: str) -> None:
        self.faults.setdefault(name, []).append(said)

    def raw(self, name: str) -> Any:
        value: Any = self.values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return None if value == "" else value

    def take(self, name: str, read: Callable[[Any], Any], required: bool = False) -> Any:
        value = self.raw(name)
        if value is None:
            if required:
                self.fault(name, "is missing")
            return None
        try:
            return read(value)
        except ValueError as error:
            self.fault(name, str(error))
            return None

    def refuse_unknown(self) -> None:
        for prefix, known, values in (
            ("", FIELDS | {"patient", "consent"}, self.values),
            ("patient.", PATIENT_FIELDS, self.values.get("patient")),
            ("consent.", CONSENT_FIELDS, self.values.get("consent")),
        ):
            if values is not None and not isinstance(values, Mapping):
                self.fault(prefix.rstrip("."), "must be an object with named values")
                continue
            for name in values or ():
                if name not in known:
                    self.fault(f"{prefix}{str(name)[:60]}", "is not a known field")


def one_of(*words: str) -> Callable[[Any], str]:
    """A reader that accepts exactly these words."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def short_text(longest: int) -> Callable[[Any], str]:
    """A reader for one line of text of at most ``longest`` characters."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be text")
        text = " ".join(value.split())
        if len(text) > longest:
            raise ValueError(f"is longer than {longest} characters")
        if any(not sign.isprintable() for sign in text):
            raise ValueError("contains characters that cannot be shown")
        return text

    return read


def time_zone(value: Any) -> str:
    """An IANA name. Raises ValueError."""
    try:
        if not isinstance(value, str) or value.startswith(("/", ".")):
            raise ValueError
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is not a time zone; use a name such as America/Chicago") from error
    return value


def moment(zone: ZoneInfo | None) -> Callable[[Any], datetime]:
    """A reader of RFC 3339 times. With a zone, a time without offset is local to it (forms and CSV)."""

    def read(value: Any) -> datetime:
        try:
            at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        except ValueError as error:
            raise ValueError("is not a time; write it like 2027-03-12T14:00:00-06:00") from error
        if at.tzinfo is None:
            if zone is None:
                raise ValueError("has no offset from UTC; write it like 2027-03-12T14:00:00-06:00")
            at = at.replace(tzinfo=zone)
        try:
            return at.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("is not a time that exists in UTC") from error

    return read


def calendar_day(value: Any) -> date:
    """A date as YYYY-MM-DD. Raises ValueError."""
    try:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        return date.fromisoformat(str(value).strip())
    except ValueError as error:
        raise ValueError("is not a date; write it like 2027-03-26") from error


def yes_or_no(value: Any) -> bool:
    """A truth value; forms and CSV say yes/no. Raises ValueError."""
    if isinstance(value, bool):
        return value
    words = {"yes": True, "true": True, "on": True, "no": False, "false": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError("must be yes or no")


def pain_score(value: Any) -> int:
    """A whole number 0-10 (numeric rating scale). Raises ValueError."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10:
        raise ValueError("must be a whole number from 0 to 10")
    return value


def vertebral_levels(value: Any) -> tuple[str, ...]:
    """Vertebrae such as T12 or L1; CSV separates them by blanks or semicolons. Raises ValueError."""
    listed = re.split(r"[\s;,]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or len(listed) > 24:
        raise ValueError("must be a list such as T12, L1")
    levels = tuple(str(level).upper() for level in listed if level != "")
    if any(not LEVEL.match(level) for level in levels):
        raise ValueError("must name vertebrae such as T12 or L1")
    return levels


def parse_request(
    values: Any, *, now: datetime, protocols: Mapping[str, Protocol], local_times: bool = False
) -> NewEnrollment:
    """Check a whole request (the JSON of POST /api/v1/enrollments) and say everything that is wrong at once.

    ``local_times``: times without an offset are local to the patient. Raises EnrollmentFaults.
    """
    if not isinstance(values, Mapping):
        raise EnrollmentFaults({"body": ["must be an object with named values"]})
    reader = _Reader(values)
    reader.refuse_unknown()
    zone = reader.take("patient.timezone", time_zone, required=True)
    at = moment(ZoneInfo(zone or "UTC") if local_times else None)
    request = {
        "name": reader.take("patient.name", short_text(120), required=True),
        "phone": reader.take("patient.phone", parse_phone, required=True),
        "timezone": zone,
        "language": reader.take("patient.language", one_of(*LANGUAGES), required=True),
        "external_id": reader.take("patient.external_id", short_text(80)),
        "caregiver_phone": reader.take("patient.caregiver_phone", parse_phone),
        "caregiver_consent": bool(reader.take("patient.caregiver_consent", yes_or_no)),
        "protocol": reader.take("protocol", one_of(*sorted(protocols)), required=True),
        "procedure_at": reader.take("procedure_at", at, required=True),
        "discharged_at": reader.take("discharged_at", at),
        "on_blood_thinner": reader.take("on_blood_thinner", yes_or_no),
        "baseline_pain": reader.take("baseline_pain", pain_score),
        "levels": reader.take("levels", vertebral_levels) or (),
        "sedation": reader.take("sedation", one_of(*SEDATIONS)),
        "follow_up_on": reader.take("follow_up_on", calendar_day),
        "team": reader.take("team", short_text(60)),
        "consent_method": reader.take("consent.method", one_of(*CONSENT_METHODS), required=True),
        "consent_at": reader.take("consent.at", at, required=True),
    }
    _check_together(reader, request, now)
    if reader.faults:
        raise EnrollmentFaults(reader.faults)
    return NewEnrollment(**request)


def check_times(
    procedure_at: datetime | None, discharged_at: datetime | None, follow_up_on: date | None, now: datetime
) -> dict[str, list[str]]:
    """What is wrong with the times of a course, by field."""
    faults: dict[str, list[str]] = {}
    if procedure_at is not None:
        if procedure_at > now + CLOCK_LEEWAY:
            faults["procedure_at"] = ["is in the future; enroll after the procedure is done"]
        elif procedure_at < now - LATEST_START:
            faults["procedure_at"] = [
                f"is more than {LATEST_START.days} days ago; nothing would be left to send"
            ]
    if procedure_at is not None and discharged_at is not None:
        if discharged_at < procedure_at:
            faults["discharged_at"] = ["is before the procedure"]
        elif discharged_at > procedure_at + LONGEST_STAY:
            faults["discharged_at"] = [f"is more than {LONGEST_STAY.days} days after the procedure"]
    if procedure_at is not None and follow_up_on is not None:
        days = (follow_up_on - procedure_at.date()).days
        if days < 0 or days > 365:
            faults["follow_up_on"] = ["must be within the year after the procedure"]
    return faults


def _check_together(reader: _Reader, request: dict[str, Any], now: datetime) -> None:
    times = check_times(request["procedure_at"], request["discharged_at"], request["follow_up_on"], now)
    for name, said in times.items():
        reader.faults.setdefault(name, []).extend(said)
    if request["consent_at"] is not None and request["consent_at"] > now + CLOCK_LEEWAY:
        reader.fault("consent.at", "is in the future")
    if request["caregiver_phone"] and not request["caregiver_consent"]:
        reader.fault("patient.caregiver_consent", "must be true when a caregiver's phone is given")
    if request["caregiver_phone"] and request["caregiver_phone"] == request["phone"]:
        reader.fault("patient.caregiver_phone", "is the patient's own phone; leave it empty")
