"""What Twilio's codes mean for us, as one literal table. The simulator answers with the same codes.

``lasting``: ``never`` - this text to this phone can never work; ``later`` - the phone or network may recover;
``setting`` - our account or number is set up wrongly: nobody's text gets out until a person mends it.
``mark``: what we remember about the phone. ``try_again``: the carrier is sure that the text did not arrive,
and the next one may: it is sent once more. A code that is not here fails safely: not repeated, a task for the
team, and a loud line in the log.
"""

from dataclasses import dataclass
from typing import Literal

Lasting = Literal["never", "later", "setting"]
Mark = Literal["", "opted_out", "unreachable"]


@dataclass(frozen=True, slots=True)
class CarrierCode:
    """One code: its meaning in the words of the task, how long it lasts, what to remember about the phone."""

    code: str
    meaning: str
    lasting: Lasting
    mark: Mark = ""
    known: bool = True
    try_again: bool = False


def _row(
    code: int, meaning: str, lasting: Lasting, mark: Mark = "", *, try_again: bool = False
) -> CarrierCode:
    return CarrierCode(str(code), meaning, lasting, mark, try_again=try_again)


CODES = {
    row.code: row
    for row in (
        # The phone or the person behind it.
        _row(21610, "the phone has opted out of our texts (STOP)", "never", "opted_out"),
        _row(21211, "the phone number is not valid", "never", "unreachable"),
        _row(21214, "the phone number cannot be reached", "never", "unreachable"),
        _row(21217, "the phone number is not valid", "never", "unreachable"),
        _row(21614, "the phone cannot receive texts (not a mobile number)", "never", "unreachable"),
        _row(21635, "the phone is a landline and cannot receive texts", "never", "unreachable"),
        _row(30005, "the phone number does not exist any more", "never", "unreachable"),
        _row(30006, "the phone is a landline or its carrier cannot be reached", "never", "unreachable"),
        _row(30003, "the phone is switched off or out of reach", "later", try_again=True),
        _row(30004, "the phone's carrier blocked the text", "never"),
        _row(30007, "the text was filtered as unwanted by a carrier", "never"),
        _row(30008, "the text was not delivered, the carrier gave no reason", "later"),
        _row(30017, "the carrier's network is congested", "later"),
        _row(30022, "more texts than the carrier allows per day or second", "later"),
        _row(30036, "the text was still undelivered when its useful time ended", "never"),
        _row(30047, "the text was held back by quiet hours at the carrier", "never"),
        _row(30410, "the phone's carrier did not answer in time", "later"),
        # The text itself.
        _row(21602, "the text was empty", "never"),
        _row(21605, "the text is longer than the carrier takes", "never"),
        _row(21617, "the text is longer than the carrier takes", "never"),
        _row(30010, "the text cost more than the account allows", "never"),
        _row(30019, "the text is larger than the phone's carrier takes", "never"),
        # Slow down: surely not processed.
        _row(14107, "too many texts at once", "later"),
        _row(20429, "too many requests at once", "later"),
        _row(21611, "the sender's queue at the carrier is full", "later"),
        _row(30001, "the queue at the carrier is full", "later"),
        _row(63018, "too many texts at once", "later"),
        _row(20009, "the text is still on its way and cannot be changed yet", "later"),
        # Our account or number.
        _row(20003, "the account or its token was refused", "setting"),
        _row(20005, "the account is not active", "setting"),
        _row(20006, "the account has no access to this", "setting"),
        _row(20404, "the account was not found", "setting"),
        _row(21212, "our sender number is not valid", "setting"),
        _row(21408, "texts to this country are switched off for the account", "setting"),
        _row(21601, "our sender number cannot send texts", "setting"),
        _row(21603, "no sender was set", "setting"),
        _row(21606, "our sender number does not belong to the account", "setting"),
        _row(21608, "a trial account may only text verified numbers", "setting"),
        _row(21612, "there is no route from our number to this phone", "setting"),
        _row(21659, "our sender is not a number of the account", "setting"),
        _row(21660, "our sender does not belong to the account", "setting"),
        _row(21703, "the messaging service has no sender", "setting"),
        _row(30002, "the account is suspended", "setting"),
        _row(30032, "our toll-free number is not verified", "setting"),
        _row(30034, "our number is not registered for texts from software (10DLC)", "setting"),
        _row(30450, "texts to this country are blocked for the account", "setting"),
    )
}


# Not the carrier's word but ours: what we should send cannot be read.
KEY_MISSING = "key_missing"
CODES[KEY_MISSING] = CarrierCode(
    KEY_MISSING, "its number or words cannot be read: a key of encryption at rest is missing", "never"
)

# Refusals of one phone's text that say nothing about the next phone's.
ONE_PHONE_ONLY = frozenset({"21408", "21608", "21612", "30450"})


def lookup(code: str | None) -> CarrierCode:
    """The row of a code. An unknown one is never repeated and tells nothing about the phone."""
    if code in CODES:
        return CODES[code or ""]
    words = f"the carrier refused it with code {code}" if code else "the carrier gave no reason"
    return CarrierCode(code or "", words, "never", known=False)
