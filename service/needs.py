"""Whether and why a person must look at one reading of a reply. Decides only; nothing is written here."""

from dataclasses import dataclass
from datetime import datetime

from messages.escalation import hour_or_morning
from messages.site import Site, same_day_deadline
from messages.urgency import Urgency
from service.reading import Reading
from service.surroundings import Around, Sender


@dataclass(frozen=True, slots=True)
class Need:
    """That a person must look: why, how fast, and by when if not by the targets."""

    reason: str
    urgency: Urgency
    due_by: datetime | None = None


def need_of(
    site: Site, around: Around, sender: Sender | None, reading: Reading, wish: str | None, now: datetime
) -> Need | None:
    """What one reading asks of a person; None: nobody. A known keyword alone has only its own task."""
    urgency = reading.urgency
    if urgency >= Urgency.URGENT:
        return Need("red_flag" if reading.understood else "not_understood", urgency)
    plain_wish = wish in ("stop", "start", "stop_sentence") and not reading.findings
    if plain_wish and (urgency is Urgency.NONE or wish == "stop_sentence"):
        return None
    if sender is None:
        return Need("unknown_number", Urgency.ROUTINE)
    if _about_thinner(reading) and urgency is Urgency.ROUTINE:
        return Need("blood_thinner", urgency, same_day_deadline(now, site))
    if urgency is Urgency.ROUTINE and not reading.understood:
        soon = reading.unclear and bool(sender.running)
        return Need(
            "not_understood",
            urgency,
            hour_or_morning(now, site, sender.patient.timezone) if soon else None,
        )
    if urgency is Urgency.ROUTINE:
        asks = "?" in around.reply.body or any(found["status"] == "asked" for found in reading.findings)
        return Need("question" if asks else "answer", urgency)
    if not sender.running or around.state.opted_out_at is not None:
        return Need("ended_enrollment" if not sender.running else "opted_out_reply", Urgency.ROUTINE)
    return None


def _about_thinner(reading: Reading) -> bool:
    answer = reading.assessment.answer
    said_no = reading.counts_for == "blood_thinner" and answer is not None and answer.kind == "no"
    return said_no or any("thinner" in found["rule"] for found in reading.findings)
