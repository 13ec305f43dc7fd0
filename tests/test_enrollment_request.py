"""A request to enroll is understood whole or refused with every fault by field."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.enrollment_request import EnrollmentFaults, parse_request
from service.phones import PhoneError, parse_phone

NOW = datetime(2027, 3, 12, 20, 0, tzinfo=UTC)
PROTOCOLS: dict[str, Any] = {"kyphoplasty": None, "vertebroplasty": None}
GOOD: dict[str, Any] = {
    "patient": {
        "name": "Rosa  Delgado ",
        "phone": "(312) 555-0177",
        "timezone": "America/Chicago",
        "language": "es",
    },
    "protocol": "vertebroplasty",
    "procedure_at": "2027-03-12T09:00:00-06:00",
    "on_blood_thinner": None,
    "consent": {"method": "written", "at": "2027-03-10T10:00:00-06:00"},
}


def with_value(path: str, value: Any) -> dict[str, Any]:
    changed = deepcopy(GOOD)
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = place[name]
    place[last] = value
    return changed


def faults_of(values: Any) -> dict[str, list[str]]:
    with pytest.raises(EnrollmentFaults) as caught:
        parse_request(values, now=NOW, protocols=PROTOCOLS)
    return caught.value.faults


def test_a_good_request_is_cleaned_and_its_times_are_utc() -> None:
    request = parse_request(GOOD, now=NOW, protocols=PROTOCOLS)
    assert request.name == "Rosa Delgado"
    assert request.phone == "+13125550177"
    assert request.procedure_at == datetime(2027, 3, 12, 15, 0, tzinfo=UTC)
    assert request.on_blood_thinner is None
    assert request.levels == ()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("patient.phone", "", "is missing"),
        ("patient.phone", "call me", "not a phone number"),
        ("patient.phone", "312555", "wrong number of digits"),
        ("patient.phone", "+1 900 234 5678", "premium-rate"),
        ("patient.phone", 3125550177, "is missing"),
        ("patient.name", "   ", "must be text"),
        ("patient.name", "x" * 121, "longer than 120"),
        ("patient.name", "Ro\x00sa", "cannot be shown"),
        ("patient.timezone", "Chicago", "time zone"),
        ("patient.timezone", "../etc/passwd", "time zone"),
        ("patient.language", "fr", "one of en, es"),
        ("patient.nickname", "Rosie", "not a known field"),
        ("patient.caregiver_phone", "3125550177", "patient's own phone"),
        ("patient.caregiver_consent", "perhaps", "yes or no"),
        ("protocol", "hip_replacement", "one of kyphoplasty, vertebroplasty"),
        ("protocol", ["kyphoplasty"], "one of"),
        ("procedure_at", "2027-03-12T09:00:00", "no offset"),
        ("procedure_at", "yesterday", "is not a time"),
        ("procedure_at", "2027-03-13T09:00:00-06:00", "in the future"),
        ("procedure_at", "2026-11-12T09:00:00-06:00", "more than 90 days ago"),
        ("procedure_at", "0001-01-01T00:00:00+10:00", "not a time that exists"),
        ("discharged_at", "2027-03-12T08:00:00-06:00", "before the procedure"),
        ("discharged_at", "2027-06-12T08:00:00-06:00", "more than 30 days"),
        ("baseline_pain", 11, "0 to 10"),
        ("baseline_pain", True, "0 to 10"),
        ("baseline_pain", 7.5, "0 to 10"),
        ("levels", ["T13"], "vertebrae"),
        ("levels", {"T12": 1}, "list"),
        ("sedation", "deep", "one of local"),
        ("follow_up_on", "26/03/2027", "not a date"),
        ("follow_up_on", "2027-01-01", "within the year"),
        ("consent", None, "is missing"),
        ("consent.method", "implied", "one of written"),
        ("consent.at", "2027-03-13T10:00:00-06:00", "in the future"),
        ("patient", "Rosa", "must be an object"),
        ("extra", 1, "not a known field"),
    ],
)
def test_each_bad_value_is_named_by_field_with_what_would_be_right(path: str, value: Any, said: str) -> None:
    faults = faults_of(with_value(path, value))
    texts = [text for name, says in faults.items() if name.startswith(path) for text in says]
    assert any(said in text for text in texts), faults


def test_all_faults_are_told_at_once() -> None:
    faults = faults_of({"patient": {}, "consent": {}})
    assert set(faults) == {
        "patient.name",
        "patient.phone",
        "patient.timezone",
        "patient.language",
        "protocol",
        "procedure_at",
        "consent.method",
        "consent.at",
    }


@pytest.mark.parametrize("body", [None, [], "text", 7])
def test_what_is_no_object_is_refused(body: Any) -> None:
    assert "body" in faults_of(body)


def test_a_caregiver_phone_needs_consent() -> None:
    assert "patient.caregiver_consent" in faults_of(with_value("patient.caregiver_phone", "3125550178"))
    good = with_value("patient.caregiver_phone", "3125550178")
    good["patient"]["caregiver_consent"] = True
    assert parse_request(good, now=NOW, protocols=PROTOCOLS).caregiver_phone == "+13125550178"


def test_forms_and_csv_mean_the_patients_own_clock() -> None:
    values = with_value("procedure_at", "2027-03-12T09:00")
    request = parse_request(values, now=NOW, protocols=PROTOCOLS, local_times=True)
    assert request.procedure_at == datetime(2027, 3, 12, 15, 0, tzinfo=UTC)


def test_ninety_days_ago_is_the_last_day_that_can_be_enrolled() -> None:
    just = (NOW - timedelta(days=90)).isoformat()
    assert parse_request(with_value("procedure_at", just), now=NOW, protocols=PROTOCOLS)


@pytest.mark.parametrize(
    ("text", "e164"),
    [
        ("312-555-0142", "+13125550142"),
        ("+1 (312) 555 0142", "+13125550142"),
        ("1 312 555 0142", "+13125550142"),
        ("+525512345678", "+525512345678"),
        ("+15005550006", "+15005550006"),
    ],
)
def test_phones_as_people_write_them_become_e164(text: str, e164: str) -> None:
    assert parse_phone(text) == e164


@pytest.mark.parametrize(
    "text", ["", " ", None, 5, "x" * 41, "911", "+1415555012", "415-555-0142 x12", "800 234 5678"]
)
def test_phones_that_cannot_be_texted_are_refused_without_repeating_the_number(text: object) -> None:
    with pytest.raises(PhoneError) as caught:
        parse_phone(text)
    digits = [sign for sign in str(text) if sign.isdigit()]
    assert len(digits) < 3 or "".join(digits) not in str(caught.value)
