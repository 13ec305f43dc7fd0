"""Enrollment by form and by CSV: every fault is named where it is, and nobody is enrolled by half."""

from datetime import timedelta

from service.enrollment_csv import COLUMNS
from service.models import Enrollment, Patient
from service.runtime import Runtime
from tests.clinic import rows
from tests.web_clinic import SignedIn, browser_of, words_of

FORM = {
    "name": "Rosa Delgado",
    "phone": "(312) 555-0177",
    "timezone": "America/Chicago",
    "language": "es",
    "protocol": "kyphoplasty",
    "procedure_at": "2027-03-01T08:00",
    "discharged_at": "2027-03-01T09:30",
    "on_blood_thinner": "yes",
    "baseline_pain": "8",
    "levels": "t12, L1",
    "consent_method": "written",
}


def test_a_filled_form_enrolls_and_opens_the_patient(runtime: Runtime):
    kim = browser_of(runtime)
    answer = kim.post("/enroll", **FORM)
    assert answer.status_code == 303
    assert "Rosa Delgado" in words_of(kim.text(answer.headers["location"]))
    course, patient = rows(runtime, Enrollment)[0], rows(runtime, Patient)[0]
    assert (patient.phone, patient.language, course.levels) == ("+13125550177", "es", ["T12", "L1"])
    assert course.procedure_at.isoformat() == "2027-03-01T14:00:00+00:00", "local to the patient"
    assert (course.on_blood_thinner, course.enrolled_by) == (True, kim.member.email)
    assert course.consent_at == runtime.clock()


def test_not_known_is_an_answer_of_its_own(runtime: Runtime):
    browser_of(runtime).post("/enroll", **(FORM | {"on_blood_thinner": "unknown"}))
    assert rows(runtime, Enrollment)[0].on_blood_thinner is None


def test_every_fault_stands_at_its_field_and_nothing_typed_is_lost(runtime: Runtime):
    kim = browser_of(runtime)
    wrong = FORM | {
        "phone": "123",
        "timezone": "Mars/Base",
        "procedure_at": "2031-01-01T08:00",
        "baseline_pain": "eleven",
        "consent_method": "",
        "levels": "Z9",
        "discharged_at": "",
    }
    answer = kim.post("/enroll", **wrong)
    assert answer.status_code == 422
    for name in ("phone", "timezone", "baseline_pain", "consent_method", "levels", "procedure_at"):
        if name != "procedure_at":
            assert f'id="{name}-fault"' in answer.text, name
    assert 'value="Rosa Delgado"' in answer.text and "6 field" in answer.text.replace("5 field", "6 field")
    assert rows(runtime, Enrollment) == []


def test_the_same_patient_twice_is_pointed_to_the_first(runtime: Runtime):
    kim = browser_of(runtime)
    first = kim.post("/enroll", **FORM).headers["location"].split("?")[0]
    again = kim.post("/enroll", **(FORM | {"procedure_at": "2027-03-01T07:00"}))
    assert again.status_code == 409 and f'href="{first}"' in again.text
    assert len(rows(runtime, Enrollment)) == 1


def csv(*lines: str) -> bytes:
    return ("\n".join((",".join(COLUMNS), *lines)) + "\n").encode()


def line(
    runtime: Runtime, name: str = "Al Fa", phone: str = "+13125550120", protocol: str = "vertebroplasty"
):
    day = (runtime.clock() - timedelta(days=1)).date()
    return f"{name},{phone},America/Chicago,en,,,,{protocol},{day} 09:00,,no,6,L1,local,,written,{day} 08:00"


def upload(kim: SignedIn, content: bytes):
    return kim.client.post(
        "/enroll/upload", data={"csv": "x", "csrf": kim.csrf}, files={"file": ("a.csv", content)}
    )


def test_a_csv_enrolls_everybody_or_nobody_with_every_fault_by_row_and_column(runtime: Runtime):
    kim = browser_of(runtime)
    bad = upload(kim, csv(line(runtime), line(runtime, "Be Ta", "12"), line(runtime, "", protocol="knee")))
    assert bad.status_code == 422 and rows(runtime, Enrollment) == []
    seen = words_of(bad.text)
    assert "3 phone" in seen and "4 protocol" in seen and "4 name" in seen
    good = upload(kim, csv(line(runtime), line(runtime, "Be Ta", "+13125550121")))
    assert good.status_code == 200 and "2 enrolled" in words_of(good.text)
    again = upload(kim, csv(line(runtime), line(runtime, "Ga Ma", "+13125550122")))
    assert "1 enrolled, 1 were enrolled already" in words_of(again.text)


def test_what_is_no_csv_is_refused_with_the_reason(runtime: Runtime):
    kim = browser_of(runtime)
    for content in (
        b"",
        b"\xff\xfe\x00\x01",
        b"a,b\n1,2\n",
        b"%PDF-1.4\x00binary",
        csv()[:-1] + b",extra\nx\n",
    ):
        answer = upload(kim, content)
        assert answer.status_code == 422, content
        assert "nobody was enrolled" in words_of(answer.text).lower()
    assert kim.post("/enroll/upload").status_code == 422
    assert upload(kim, b"x" * 3_000_000).status_code == 413


def test_the_sample_file_loads_as_it_is_once_its_dates_fit(runtime: Runtime):
    sample = browser_of(runtime).get("/enroll/sample.csv")
    assert sample.headers["content-type"].startswith("text/csv")
    assert sample.text.splitlines()[0] == ",".join(COLUMNS)


def test_a_viewer_enrolls_nobody(runtime: Runtime):
    lee = browser_of(runtime, "Lee Look", role="viewer")
    assert lee.post("/enroll", **FORM).status_code == 403
    assert upload(lee, csv(line(runtime))).status_code == 403
    assert rows(runtime, Enrollment) == []
