"""Pictures: fetched through the carrier alone, read by their bytes, opened in the open."""

from collections.abc import Iterator
from typing import Any

import pytest

from service import pictures
from service.carriers import LONGEST_PICTURE, CarrierError
from service.carriers.simulator import SimulatorCarrier
from service.carriers.twilio import TwilioCarrier
from service.carriers.twilio_media import is_media_place
from service.models import AuditEvent, Reply
from service.runtime import Runtime
from tests.clinic import ANA, STRANGER, enroll, rows, text, the_escalation
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import StandIn, media_id, settings_of
from tests.web_clinic import SignedIn, browser_of, words_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 40
WEBP = b"RIFF\x10\0\0\0WEBPVP8 "
HEIC = b"\0\0\0\x18ftypheic" + b"\0" * 20
PAGE = b"<html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("content", "kind"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (b"GIF89a..", "image/gif"), (WEBP, "image/webp"),
     (HEIC, "image/heic")],
)  # fmt: skip
def test_a_picture_is_what_its_bytes_say(content: bytes, kind: str):
    assert pictures.read_picture(content).kind == kind


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xd8", PAGE, SVG, b"%PDF-1.7", b"RIFF\x10\0\0\0WAVEfmt ", b"XXXXftypisom", b"    WEBP"],
)
def test_what_is_no_picture_is_never_shown(content: bytes):
    with pytest.raises(pictures.PictureFault):
        pictures.read_picture(content)


# ---- through the real carrier's library and its stand-in


@pytest.fixture
def standin() -> Iterator[StandIn]:
    standin = StandIn(pictures={media_id(0): PNG, media_id(1): JPEG}).start()
    yield standin
    standin.stop()


@pytest.fixture
def twilio(standin: StandIn, clock: SetClock) -> Iterator[TwilioCarrier]:
    carrier = TwilioCarrier.from_settings(
        settings_for("sqlite:///unused.sqlite3", **settings_of(standin)), clock
    )
    yield carrier
    carrier.close()


SID = "MM" + "a" * 32


def reference(place: int = 0, host: str = "api.twilio.com") -> str:
    return f"https://{host}/2010-04-01/Accounts/ACx/Messages/{SID}/Media/{media_id(place)}"


def test_credentials_go_to_the_account_and_nowhere_else(twilio: TwilioCarrier, standin: StandIn):
    assert twilio.picture(SID, 1, reference(1)) == JPEG
    (asked, with_key), (cdn, leaked) = standin.asked_with
    assert asked.endswith(f"/Messages/{SID}/Media/{media_id(1)}") and with_key
    assert cdn == f"/_cdn/{media_id(1)}" and not leaked


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "evil.example", "localhost:5432", "api.twilio.com@evil.test"]
)
def test_a_forged_address_is_never_followed(twilio: TwilioCarrier, standin: StandIn, host: str):
    """Only the picture's id is taken from it; the account's own address is asked."""
    assert twilio.picture(SID, 0, reference(0, host)) == PNG
    assert [path.startswith("/2010-04-01/Accounts/AC000") for path, _ in standin.asked_with] == [True, False]


def test_a_text_from_the_log_has_its_pictures_looked_up(twilio: TwilioCarrier):
    assert [twilio.picture(SID, place, None) for place in (0, 1)] == [PNG, JPEG]
    with pytest.raises(CarrierError) as missing:
        twilio.picture(SID, 2, None)
    assert missing.value.permanent


@pytest.mark.parametrize(
    "place",
    ["http://169.254.169.254/latest/meta-data/", "https://evil.example/{id}", "http://mms.twiliocdn.com/{id}",
     "https://mms.twiliocdn.com.evil.example/{id}", "https://s3.amazonaws.com/other-bucket/{id}",
     "file:///etc/passwd", "//evil.example/{id}", "https://user@mms.twiliocdn.com/x"],
)  # fmt: skip
def test_a_redirect_to_another_place_is_refused(twilio: TwilioCarrier, standin: StandIn, place: str):
    standin.picture_at = place
    with pytest.raises(CarrierError) as refused:
        twilio.picture(SID, 0, reference())
    assert refused.value.permanent and len(standin.asked_with) == 1


def test_the_carriers_own_places_are_known():
    for address in (
        "https://mms.twiliocdn.com/AC1/abc",
        "https://media.twiliocdn.com/x",
        "https://s3-external-1.amazonaws.com/media.twiliocdn.com/AC1/abc?X-Amz-Signature=1",
        "https://api.twilio.com/2010-04-01/x",
    ):
        assert is_media_place(address, "https://api.twilio.com"), address


def test_a_redirect_that_never_ends_is_given_up(twilio: TwilioCarrier, standin: StandIn):
    standin.picture_at = "/2010-04-01/Accounts/x/Media/{id}"
    with pytest.raises(CarrierError):
        twilio.picture(SID, 0, reference())
    assert len(standin.asked_with) <= 3


def test_what_is_too_large_gone_or_no_text_is_said_so(twilio: TwilioCarrier, standin: StandIn):
    standin.pictures[media_id(0)] = PNG + b"\0" * LONGEST_PICTURE
    for sid, address in ((SID, reference()), (SID, reference(7)), ("SM../../..", reference())):
        with pytest.raises(CarrierError) as refused:
            twilio.picture(sid, 0, address)
        assert refused.value.permanent


# ---- on the pages, over the simulator


def sent(runtime: Runtime, phone: str, body: str, *contents: bytes) -> Reply:
    assert isinstance(runtime.carrier, SimulatorCarrier)
    arrived = runtime.carrier.receive(phone, body, contents)
    return text(
        runtime, phone, body, carrier_sid=arrived.carrier_sid,
        media=[{"url": "https://evil.example/x", "type": "text/html"} for _ in contents],
    )  # fmt: skip


def opened(runtime: Runtime) -> list[Any]:
    return [
        (row.actor, row.subject_id, row.detail)
        for row in rows(runtime, AuditEvent, AuditEvent.action == "open picture")
    ]


def test_a_picture_stays_veiled_until_a_member_opens_it_and_the_trail_says_who(runtime: Runtime):
    course = enroll(runtime)
    reply = sent(runtime, ANA, "look at this", PNG, JPEG)
    kim = browser_of(runtime)
    page = kim.text(f"/patients/{course.patient_id}")
    address = f"/replies/{reply.id}/pictures/1"
    assert f'href="{address}"' in page and "<img" not in page and opened(runtime) == []
    shown = kim.text(address)
    assert f'src="{address}/file"' in shown and "Picture 2 of 2" in words_of(shown)
    answer = kim.get(f"{address}/file")
    assert answer.content == JPEG and answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert opened(runtime) == [("kim@clinic.example", course.patient_id, {"reply": reply.id, "place": 1})]
    assert kim.get(f"{address}/file").content == JPEG
    assert len(opened(runtime)) == 2, "a look of its own is written down too"


def test_a_part_for_the_frame_is_no_whole_page(runtime: Runtime):
    enroll(runtime)
    reply = sent(runtime, ANA, "", PNG)
    part = browser_of(runtime).get(f"/replies/{reply.id}/pictures/0", **{"X-Part": "1"})
    assert part.text.lstrip().startswith("<figure") and "<html" not in part.text


def test_a_page_in_the_clothes_of_a_picture_is_refused_in_words(runtime: Runtime):
    enroll(runtime)
    reply = sent(runtime, ANA, "", PAGE)
    kim = browser_of(runtime)
    page = kim.get(f"/replies/{reply.id}/pictures/0")
    assert page.status_code == 502 and "no picture that can be shown safely" in words_of(page.text)
    file = kim.get(f"/replies/{reply.id}/pictures/0/file")
    assert file.status_code == 502 and b"alert(1)" not in file.content


def test_a_heic_photo_is_for_saving(runtime: Runtime):
    enroll(runtime)
    reply = sent(runtime, ANA, "", HEIC)
    kim = browser_of(runtime)
    assert "Save the photo" in words_of(kim.text(f"/replies/{reply.id}/pictures/0"))
    file = kim.get(f"/replies/{reply.id}/pictures/0/file")
    assert file.headers["content-disposition"] == 'attachment; filename="picture-1.heic"'
    assert file.headers["content-type"] == "application/octet-stream"


def test_a_picture_from_nobody_we_know_can_be_opened_too(runtime: Runtime):
    reply = sent(runtime, STRANGER, "", PNG)
    kim = browser_of(runtime)
    item = the_escalation(runtime)
    assert f"/replies/{reply.id}/pictures/0" in kim.text(f"/escalations/{item.id}")
    assert "A picture without a word." in words_of(kim.text("/"))
    assert kim.get(f"/replies/{reply.id}/pictures/0/file").content == PNG


@pytest.mark.parametrize("place", ["1", "-1", "99999999999", "x"])
def test_there_is_no_other_picture(runtime: Runtime, place: str):
    enroll(runtime)
    reply = sent(runtime, ANA, "hm", PNG)
    kim: SignedIn = browser_of(runtime)
    for path in (f"/replies/{reply.id}/pictures/{place}", f"/replies/nothing/pictures/{place}/file"):
        assert kim.get(path).status_code in (404, 422)
    assert opened(runtime) == []


def test_a_redacted_text_takes_its_pictures_along(runtime: Runtime):
    reply = sent(runtime, STRANGER, "wrong number", PNG)
    assert runtime.carrier.redact(reply.carrier_sid, has_media=True)
    with pytest.raises(CarrierError):
        runtime.carrier.picture(reply.carrier_sid, 0, None)


def test_a_simulated_phone_sends_a_picture(runtime: Runtime):
    enroll(runtime, "+13125550142")
    kim = browser_of(runtime)
    answer = kim.client.post(
        "/phones/+13125550142/reply", data={"body": ""}, files={"picture": ("spot.jpg", JPEG, "text/html")}
    )
    assert answer.status_code == 303
    (reply,) = rows(runtime, Reply)
    assert len(reply.media or []) == 1 and reply.urgency == "urgent"
    assert kim.get(f"/replies/{reply.id}/pictures/0/file").content == JPEG
    assert "1 picture(s)" in words_of(kim.text("/phones/+13125550142"))
    (logged,) = runtime.carrier.log(since=reply.received_at.replace(year=2000), direction="in")
    assert logged.media == 1, "what is read from the log later knows of the picture too"
    assert kim.client.post("/phones/+13125550142/reply", data={"body": " "}).status_code == 422
