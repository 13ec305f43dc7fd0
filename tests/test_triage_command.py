"""``aftercare triage``: JSON lines in and out as the contract says; figures on labelled banks."""

import io
import json
import subprocess
import sys
from pathlib import Path

from service.commands_triage import main, run_triage
from service.commands_triage_score import bank_rows, run_score, wilson

ROOT = Path(__file__).parent.parent


def lines(text: str) -> tuple[int, list[dict[str, object]]]:
    out, err = io.StringIO(), io.StringIO()
    status = run_triage(io.StringIO(text), out, err)
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def test_one_answer_a_line_in_order_with_exactly_the_keys_of_the_contract() -> None:
    status, answers = lines(
        '{"id": "a", "text": "my foot is numb", "lang": "en", "asked": null}\n'
        '{"id": 2, "text": "9", "asked": "pain"}\n'
    )
    assert status == 0
    assert [answer["id"] for answer in answers] == ["a", 2]
    assert set(answers[0]) == {"id", "urgency", "understood", "findings", "answer", "catalogue"}
    finding = answers[0]["findings"][0]  # type: ignore[index]
    assert set(finding) == {"concept", "status", "words", "start", "end", "rule"}
    assert "my foot is numb"[finding["start"] : finding["end"]] == finding["words"]
    assert answers[1]["answer"] == {"kind": "score", "value": 9.0}


def test_a_line_that_is_not_valid_is_answered_and_the_others_too() -> None:
    status, answers = lines(
        'not json\n[]\n{"id": "a"}\n{"text": "x"}\n{"id": "b", "text": "x", "lang": "fr"}\n'
        '{"id": "c", "text": "x", "asked": 3}\n{"id": "d", "text": "thanks", "asked": "something_new"}\n'
    )
    assert status == 1
    assert [answer["id"] for answer in answers] == [None, None, "a", None, "b", "c", "d"]
    assert all("error" in answer for answer in answers[:6])
    assert answers[6]["urgency"] == "none"


def test_an_unpaired_surrogate_and_emoji_pass_through() -> None:
    status, answers = lines('{"id": "a", "text": "\\ud83d my leg is numb \\ud83d\\ude00"}\n')
    assert status == 0 and answers[0]["urgency"] in ("urgent", "emergency")


def test_it_needs_no_settings_and_starts_without_the_service() -> None:
    code = (
        "import sys; from service.commands_triage import main; "
        "assert not {'sqlalchemy', 'fastapi', 'pydantic', 'typer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """``aftercare triage < replies | head -1``: the pipe is gone before we are done; no traceback."""
    replies = tmp_path / "replies.jsonl"
    replies.write_text("".join(json.dumps({"id": n, "text": "my back hurts"}) + "\n" for n in range(3000)))
    with replies.open() as rows, subprocess.Popen(
        [sys.executable, "-c", "from service.entry import main; main()", "triage"], cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)}, text=True, stdin=rows, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as reading:  # fmt: skip
        assert reading.stdout and reading.stderr
        reading.stdout.close()
        said = reading.stderr.read()
    assert (reading.returncode, said) == (1, "")


def test_the_score_names_what_is_wrong_with_a_bank(tmp_path: Path) -> None:
    bank = tmp_path / "bank.jsonl"
    bank.write_text('{"text": "hi", "min": "none", "max": "none"}\n{"text": "hi"}\n', "utf-8")
    out, err = io.StringIO(), io.StringIO()
    assert run_score([str(bank)], out, err) == 1
    assert "line 2" in err.getvalue()
    assert run_score([], out, err) == 2
    assert main(["--nonsense"]) == 2


def test_the_table_counts_what_it_says(tmp_path: Path) -> None:
    bank = tmp_path / "bank.jsonl"
    rows = [
        {"id": 1, "text": "cant move my legs", "min": "emergency", "max": "emergency", "lang": "en"},
        {"id": 2, "text": "thanks", "min": "none", "max": "none", "lang": "en"},
    ]
    bank.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    out = io.StringIO()
    assert run_score([str(bank)], out, io.StringIO()) == 0
    assert "1/1" in out.getvalue() and "no clinician has reviewed" in out.getvalue()


def test_a_symptom_gone_since_the_procedure_may_be_urgent() -> None:
    rows = bank_rows(ROOT / "tests" / "bank" / "dev.jsonl")
    assert all(
        row["max"] == "urgent" for row in rows if "resolved" in row["phenomena"] and row["min"] == "routine"
    )


def test_wilson_intervals_are_those_of_the_books() -> None:
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == 1.0
