"""Reading what patients write: ``assess`` is the one call the service makes.

The rules of ``messages/red_flags`` decide; the learned reader beside them may only raise, or recognise a
text that needs nobody where no rule fired. Whatever is not understood is ``routine``: a person reads it.
"""

from messages.triage.assess import assess
from messages.triage.assessment import (
    Answer,
    Assessment,
    Context,
    Finding,
    RuleReading,
    Weight,
)
from messages.triage.rules import read_rules

__all__ = [
    "Answer",
    "Assessment",
    "Context",
    "Finding",
    "RuleReading",
    "Weight",
    "assess",
    "read_rules",
]
