"""``aftercare triage``: JSON lines in, JSON lines out; needs no settings, no database and no ``.env``."""

import json
import sys
from typing import Any, TextIO

from messages.triage import Assessment, assess


class InvalidLine(ValueError):
    """A line that is not a reply, with its id where it had one."""

    def __init__(self, line_id: Any, reason: str) -> None:
        super().__init__(reason)
        self.line_id = line_id


def parse_line(line: str) -> dict[str, Any]:
    """The reply on one line. Raises InvalidLine naming what is wrong."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InvalidLine(None, f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InvalidLine(None, 'not an object: expected {"id": ..., "text": ...}')
    line_id = row.get("id")
    if not isinstance(line_id, str | int) or isinstance(line_id, bool):
        raise InvalidLine(None, '"id" is missing or neither a string nor a number')
    if not isinstance(row.get("text"), str):
        raise InvalidLine(line_id, '"text" is missing or not a string')
    if row.get("lang") not in (None, "en", "es"):
        raise InvalidLine(line_id, '"lang" must be "en", "es" or null')
    if not isinstance(row.get("asked"), str | None):
        raise InvalidLine(line_id, '"asked" must be a string or null')
    return row


def result_line(line_id: Any, assessment: Assessment) -> dict[str, Any]:
    """The contract's object for one assessed reply."""
    answer: dict[str, Any] | None = None
    if assessment.answer is not None:
        answer = {"kind": assessment.answer.kind}
        if assessment.answer.value is not None:
            answer["value"] = assessment.answer.value
        if assessment.answer.unit is not None:
            answer["unit"] = assessment.answer.unit
    return {
        "id": line_id,
        "urgency": assessment.urgency.value,
        "understood": assessment.understood,
        "findings": [
            {
                "concept": finding.concept,
                "status": finding.status,
                "words": finding.words,
                "start": finding.start,
                "end": finding.end,
                "rule": finding.rule,
            }
            for finding in assessment.findings
        ],
        "answer": answer,
        "catalogue": assessment.catalogue,
    }


def run_triage(stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """Assess each line of ``stdin``; exit status 1 when a line was not valid (the others are still
    answered)."""
    status = 0
    for line in stdin:
        if not line.strip():
            continue
        try:
            row = parse_line(line)
            answer = result_line(row["id"], assess(row["text"], row.get("asked"), row.get("lang")))
        except InvalidLine as error:
            answer, status = {"id": error.line_id, "error": str(error)}, 1
        stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    stdout.flush()
    if status:
        stderr.write("Some lines were not valid; each has its reason in the output.\n")
    return status


def main(arguments: list[str]) -> int:
    """``triage`` and ``triage --score BANK``; 2 on wrong usage."""
    if not arguments:
        return run_triage(sys.stdin, sys.stdout, sys.stderr)
    if len(arguments) >= 2 and arguments[0] == "--score":
        from service.commands_triage_score import run_score

        return run_score(arguments[1:], sys.stdout, sys.stderr)
    sys.stderr.write("usage: aftercare triage [--score BANK ...]\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
