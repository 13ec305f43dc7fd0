"""Reading a text with the rules of the catalogue."""

from messages.triage.assessment import Context, RuleReading
from messages.urgency import Urgency

CATALOGUE = "2026.11.0"


def read_rules(
    text: str, asked: str | None = None, language: str | None = None, context: Context | None = None
) -> RuleReading:
    """What the rules alone make of ``text``. Until the catalogue is in: a person reads everything."""
    return RuleReading(Urgency.ROUTINE, False, (), None, ())
