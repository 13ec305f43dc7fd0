"""What pages need to know about one course: its wording, quiet hours at the patient's place."""

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session

from messages.protocol import ProtocolError, text_of
from messages.wording import WordingError
from service.models import Enrollment, Patient
from service.planning import protocol_of
from service.runtime import Runtime


def course_texts(session: Session, runtime: Runtime, enrollment: Enrollment) -> dict[str, str]:
    """Check-in key to the text this patient is sent; what cannot be filled is left out (its key is shown)."""
    patient = session.get(Patient, enrollment.patient_id)
    if patient is None:
        return {}
    try:
        protocol = protocol_of(session, runtime, enrollment)
    except (LookupError, ProtocolError):
        return {}
    texts = {}
    for check_in in protocol.check_ins:
        try:
            texts[check_in.key] = text_of(check_in, patient.language, runtime.site, enrollment.follow_up_on)
        except (WordingError, KeyError):
            continue
    return texts


def in_quiet_hours(runtime: Runtime, now: datetime, timezone: str) -> bool:
    """Whether it is a time of day, at the patient's place, in which routine texts wait."""
    quiet = runtime.settings.quiet
    if quiet.start is None or quiet.end is None:
        return False
    clock = now.astimezone(ZoneInfo(timezone)).time()
    if quiet.start <= quiet.end:
        return quiet.start <= clock < quiet.end
    return clock >= quiet.start or clock < quiet.end
