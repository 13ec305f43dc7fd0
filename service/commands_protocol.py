"""``aftercare protocol list|check|preview|rehearse``: plain functions; the command line wires them to typer.

They return what is to be printed and raise ``ValueError`` with a whole sentence for wrong input. No
database, no clock: the time of the procedure is given.
"""

import json
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from messages.check_in import LANGUAGES
from messages.protocol import BUILT_IN, Protocol, ProtocolError, load, parse, text_of
from messages.schedule import Facts, PlannedCheckIn, QuietHours, clock_starts_at, plan, to_utc
from messages.site import Site
from messages.site_file import check_zone
from messages.sms import segments
from service.rehearsal import rehearsed

SAMPLE_PROCEDURE = (
    "2027-03-12 10:30"  # a Friday; the clocks of most of the United States change two days later
)
_WIDTH = 100
_ONLY_FOR = {
    "blood_thinner": "patients on a blood thinner",
    "watched": "patients on a blood thinner, with pain from 4 on, or with an earlier red flag",
    "watched_or_thoracic": "patients on a blood thinner, with a thoracic level, pain from 4 on or a red flag",
    "no_visit": "patients whose follow-up date is not known",
}


def list_protocols(folders: Sequence[Path], site: Site) -> list[str]:
    """One line per protocol: name, version, title, number of check-ins, digest. Raises ``ProtocolError``."""
    return [
        f"{protocol.name}  version {protocol.version}  {protocol.title}  "
        f"{len(protocol.check_ins)} check-ins  {protocol.digest[:12]}"
        for protocol in load(folders, site).values()
    ]


def check_protocols(files: Sequence[Path], folders: Sequence[Path], site: Site) -> tuple[list[str], int]:
    """Reads ``files``, or, when none are given, the built-in folder and ``folders``.

    The lines to print, one per file, and how many files are faulty (exit status 1 unless 0). Given no
    files, it also checks that the folders go together.
    """
    lines, faulty = [], 0
    paths = list(files) or [path for folder in (BUILT_IN, *folders) for path in sorted(folder.glob("*.toml"))]
    for path in paths:
        try:
            protocol = parse(path.read_text(encoding="utf-8"), str(path), site)
            lines.append(f"{path}: {protocol.name} version {protocol.version} is in order")
        except ProtocolError as fault:
            lines.append(str(fault))
            faulty += 1
        except (OSError, UnicodeDecodeError) as fault:
            lines.append(f"{path}:1: cannot be read as UTF-8 text: {fault}")
            faulty += 1
    if not files and not faulty:
        try:
            load(folders, site)
        except ProtocolError as fault:
            lines.append(str(fault))
            faulty += 1
    return lines, faulty


def preview(
    name: str,
    at: str,
    timezone: str,
    folders: Sequence[Path],
    site: Site,
    quiet: QuietHours,
    language: str = "en",
    blood_thinner: bool = False,
    discharged: str | None = None,
    as_json: bool = False,
) -> str:
    """The whole plan of one patient in local time, as a table or as a JSON list.

    ``at``, ``discharged``: local ``YYYY-MM-DD HH:MM``; the patient is enrolled at the end of the procedure.
    What depends on answers (a condition) is shown with whom it is for; what this patient never gets is not
    in the JSON and named last in the table. Raises ``ValueError``.
    """
    protocol, facts = _course(name, at, timezone, folders, site, language, blood_thinner, discharged)
    planned = sorted(plan(protocol, facts, quiet, facts.enrolled_at), key=lambda entry: entry.due_at)
    if as_json:
        going = [entry for entry in planned if entry.status == "planned"]
        return json.dumps([_as_json(entry, language, site) for entry in going], ensure_ascii=False, indent=2)
    return "\n".join(_table(protocol, facts, quiet, planned, language, site))


def rehearse_lines(
    name: str,
    at: str,
    timezone: str,
    folders: Sequence[Path],
    site: Site,
    quiet: QuietHours,
    language: str = "en",
    blood_thinner: bool = False,
) -> Iterator[str]:
    """A whole course with example answers, line by line, as the patient's phone would show it: what we
    send, what the patient of the example answers, and what triage makes of it. ``at`` empty: a sample
    procedure. Raises ``ValueError``."""
    protocol, facts = _course(
        name, at or SAMPLE_PROCEDURE, timezone, folders, site, language, blood_thinner, None
    )
    zone, day = ZoneInfo(facts.timezone), None
    yield f"{protocol.title}, version {protocol.version}: a rehearsal with example answers"
    for moment in rehearsed(protocol, facts, quiet, language, site):
        local = moment.at.astimezone(zone)
        if local.date() != day:
            day = local.date()
            yield ""
            yield f"{local:%A %Y-%m-%d}"
        margin = "  " if moment.who == "clinic" else " " * 12
        words = moment.text if moment.who != "note" else f"({moment.text})"
        indent = f"{margin}       "
        lines = textwrap.wrap(words, _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
        yield f"{margin}{local:%H:%M}  {lines[0]}"
        yield from (indent + line for line in lines[1:])


def _course(
    name: str,
    at: str,
    timezone: str,
    folders: Sequence[Path],
    site: Site,
    language: str,
    blood_thinner: bool,
    discharged: str | None,
) -> tuple[Protocol, Facts]:
    protocols = load(folders, site)
    if name not in protocols:
        raise ValueError(f"There is no protocol {name!r}; there are: {', '.join(sorted(protocols))}.")
    if language not in LANGUAGES:
        raise ValueError(f"There is no language {language!r}; there are: {', '.join(LANGUAGES)}.")
    zone = check_zone(timezone)
    procedure_at = _local(at, zone)
    facts = Facts(
        procedure_at=procedure_at,
        discharged_at=_local(discharged, zone) if discharged else None,
        timezone=timezone,
        enrolled_at=procedure_at,
        on_blood_thinner=blood_thinner,
        follow_up_on=None,
    )
    return protocols[name], facts


def _local(text: str, zone: ZoneInfo) -> datetime:
    try:
        local = datetime.strptime(text.strip().replace("T", " "), "%Y-%m-%d %H:%M")  # noqa: DTZ007 - local
    except ValueError:
        raise ValueError(f'{text!r} is not a local time; write it like "2027-03-12 14:00".') from None
    return to_utc(local.date(), local.time(), zone)


def _as_json(entry: PlannedCheckIn, language: str, site: Site) -> dict[str, str | None]:
    return {
        "key": entry.check_in.key,
        "due_at": f"{entry.due_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "local": f"{entry.local:%Y-%m-%d %H:%M}",
        "text": text_of(entry.check_in, language, site),
        "asks": entry.check_in.asks,
        "condition": entry.check_in.condition,
    }


def _table(
    protocol: Protocol,
    facts: Facts,
    quiet: QuietHours,
    planned: Sequence[PlannedCheckIn],
    language: str,
    site: Site,
) -> Iterator[str]:
    zone = ZoneInfo(facts.timezone)
    yield f"{protocol.title}, version {protocol.version}; times in {facts.timezone}; quiet hours {quiet}"
    yield f"Procedure: {facts.procedure_at.astimezone(zone):%Y-%m-%d %H:%M}"
    if protocol.anchor == "discharge":
        assumed = "" if facts.discharged_at else " (assumed: 24 hours after the procedure)"
        yield f"Home: {clock_starts_at(protocol, facts).astimezone(zone):%Y-%m-%d %H:%M}{assumed}"
    day = None
    for entry in planned:
        if entry.status != "planned":
            continue
        if entry.local.date() != day:
            day = entry.local.date()
            yield ""
            yield f"{entry.local:%a %Y-%m-%d}"
        text = text_of(entry.check_in, language, site)
        asks = f", asks {entry.check_in.asks}" if entry.check_in.asks else ""
        count = segments(text)
        yield f"  {entry.local:%H:%M}  {entry.check_in.key}{asks} ({count} segment{'s' * (count > 1)})"
        if only_for := _only_for(entry.check_in.condition):
            yield f"         only for {only_for}"
        yield from textwrap.wrap(text, _WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
    skipped = [entry for entry in planned if entry.status != "planned"]
    if skipped:
        yield ""
        yield "Not sent to this patient:"
        yield from (f"  {entry.check_in.key}: {entry.why}" for entry in skipped)


def _only_for(condition: str | None) -> str:
    if condition is None:
        return ""
    if condition.startswith("no_answer:"):
        return f"patients who have not answered {condition.removeprefix('no_answer:')}"
    return _ONLY_FOR[condition]
