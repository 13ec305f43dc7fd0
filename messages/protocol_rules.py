"""What a protocol as a whole must keep: safety lines, length, order of the day, no two texts at one time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta

from messages.check_in import LANGUAGES, CheckIn, by_key, chain_start
from messages.site import Site
from messages.sms import sanitise, segments
from messages.toml_file import TomlFile
from messages.wording import WordingError, render, site_values

LONGEST_SEGMENTS = 2
LONG_CLINIC = "Saint Bartholomew Spine Center"  # 30 letters: a long but real length for a clinic's name
LONG_PHONE = "(555) 555-0100 ext 12"
_EVERY_DAY_UNTIL = (
    3  # days 0 to 3: each red-flag question itself carries the 911 line (clinical notes, section 1)
)


def check_rules(
    file: TomlFile, anchor: str, gap: timedelta, check_ins: tuple[CheckIn, ...], site: Site
) -> None:
    """Raises ``ProtocolError`` for the first rule the check-ins break."""
    known = by_key(check_ins)
    filled = {language: fillings(site, language) for language in LANGUAGES}
    for number, check_in in enumerate(check_ins):
        _check_references(file, check_in, by_key(check_ins[:number]), known)
        _check_texts(file, check_in, filled)
    if anchor == "procedure":
        for check_in in check_ins:
            if check_in.timing.home_first or check_in.timing.with_welcome:
                reason = f'check-in {check_in.key!r}: home_first and with_welcome need anchor = "discharge"'
                raise file.fault(reason, check_in.line)
    _check_followers(file, check_ins)
    _check_times(file, gap, check_ins, known)
    _check_safety(file, check_ins, known, filled)


def _check_references(
    file: TomlFile, check_in: CheckIn, earlier: Mapping[str, CheckIn], known: Mapping[str, CheckIn]
) -> None:
    named = {"after": check_in.after, "apart_from": check_in.timing.apart_from}
    if check_in.condition and check_in.condition.startswith("no_answer:"):
        named["condition"] = check_in.condition.removeprefix("no_answer:")
    for key, target in named.items():
        if target is not None and target not in earlier:
            what = "comes later in the file" if target in known else "does not exist"
            reason = f"check-in {check_in.key!r}: {key} names {target!r}, which {what}"
            raise file.fault(reason, check_in.line)
    for key in ("after", "condition"):
        target = named.get(key)
        if target is not None and earlier[target].asks is None:
            reason = f"check-in {check_in.key!r}: {key} names {target!r}, which asks nothing"
            raise file.fault(reason, check_in.line)


Fillings = Mapping[str, list[dict[str, str]]]


def fillings(site: Site, language: str) -> list[dict[str, str]]:
    """What the texts are filled with to be checked: the site's own name and number, and long but real
    ones."""
    long = replace(site, clinic_name=LONG_CLINIC, clinic_phone=LONG_PHONE)
    return [site_values(one, language, follow_up_on=date(2027, 12, 28)) for one in (site, long)]


def _check_texts(file: TomlFile, check_in: CheckIn, filled: Fillings) -> None:
    visit_known = check_in.timing.before_visit is not None
    for texts in (check_in.texts, check_in.reminder_texts or {}):
        for language, text in texts.items():
            where = f"check-in {check_in.key!r}, {language}"
            for values in filled[language]:
                known = {name: value for name, value in values.items() if visit_known or name != "visit"}
                try:
                    sent = sanitise(render(text, known))
                except WordingError as fault:
                    raise file.fault(f"{where}: {fault}", _line_of_text(file, check_in, text)) from None
                if segments(sent) > LONGEST_SEGMENTS:
                    reason = (
                        f"{where}: {len(sent)} characters with {values['clinic']!r} and "
                        f"{values['phone']!r} make {segments(sent)} segments, over "
                        f"{LONGEST_SEGMENTS}: shorten the text, or the clinic's name"
                    )
                    raise file.fault(reason, _line_of_text(file, check_in, text))


def _line_of_text(file: TomlFile, check_in: CheckIn, text: str) -> int:
    start = text.strip().splitlines()[0][:30]
    for number, line in enumerate(file.lines, 1):
        if number >= check_in.line and start in line.replace('\\"', '"'):
            return number
    return check_in.line


def _check_followers(file: TomlFile, check_ins: Iterable[CheckIn]) -> None:
    followers: dict[str, str] = {}
    for check_in in check_ins:
        if check_in.after is not None:
            if check_in.after in followers:
                reason = (
                    f"check-ins {followers[check_in.after]!r} and {check_in.key!r} overlap: both follow "
                    f"{check_in.after!r}; let one follow the other"
                )
                raise file.fault(reason, check_in.line)
            followers[check_in.after] = check_in.key


def _nominal(check_in: CheckIn, gap: timedelta, known: Mapping[str, CheckIn]) -> tuple[str, timedelta] | None:
    """A check-in's place in the file's own terms: which clock it counts from, and how far. Check-ins placed
    by hours and those placed by dates meet only in a patient's real plan, which spaces them."""
    waits = timedelta(0)
    while check_in.after is not None:
        check_in, waits = known[check_in.after], waits + gap
    timing = check_in.timing
    if timing.offset is not None:
        return "hours", timing.offset + waits
    if timing.at is not None:
        clock = timedelta(hours=timing.at.hour, minutes=timing.at.minute)
        if timing.day is not None:
            return "days", timedelta(days=timing.day) + clock + waits
        return "visit", clock - timedelta(days=timing.before_visit or 0) + waits
    if timing.procedure_offset is not None:
        return "procedure", timing.procedure_offset + waits
    return "enrollment", waits


def _check_times(
    file: TomlFile, gap: timedelta, check_ins: Iterable[CheckIn], known: Mapping[str, CheckIn]
) -> None:
    """No two check-ins of one clock closer than the gap."""
    placed: dict[str, list[tuple[timedelta, CheckIn]]] = defaultdict(list)
    for check_in in check_ins:
        place = _nominal(check_in, gap, known)
        if place is None:
            continue
        clock, at = place
        for other_at, other in placed[clock]:
            if abs(at - other_at) < gap:
                minutes = int(gap.total_seconds() // 60)
                reason = (
                    f"check-ins {other.key!r} and {check_in.key!r} overlap: they are less than the gap of "
                    f"{minutes} minutes apart"
                )
                raise file.fault(reason, check_in.line)
        placed[clock].append((at, check_in))


def day_of(check_in: CheckIn, known: Mapping[str, CheckIn]) -> int | None:
    """Which day of the plan a check-in belongs to; ``None`` for the welcome and what hangs on other dates."""
    timing = chain_start(check_in, known).timing
    if timing.offset is not None:
        return timing.offset.days
    return timing.day


def _check_safety(
    file: TomlFile, check_ins: tuple[CheckIn, ...], known: Mapping[str, CheckIn], filled: Fillings
) -> None:
    """The welcome and the red-flag questions of days 0 to 3 name 911, every day with questions opens with a
    red-flag question, and every such day names 911 at least once."""
    days: dict[int, list[CheckIn]] = defaultdict(list)
    for check_in in check_ins:
        day = day_of(check_in, known)
        early = check_in.asks == "symptoms" and day is not None and day <= _EVERY_DAY_UNTIL
        if check_in.timing.at_enrollment or check_in.asks == "welcome" or early:
            _needs_911(file, check_in, filled)
        if day is not None:
            days[day].append(check_in)
    for day, on_day in sorted(days.items()):
        questions = [check_in for check_in in on_day if check_in.asks is not None]
        questions.sort(key=lambda each: (_nominal(each, timedelta(minutes=1), known) or ("", timedelta()))[1])
        if questions and questions[0].asks != "symptoms":
            reason = (
                f"day {day} opens with {questions[0].key!r}, which asks {questions[0].asks}; "
                "the first question of a day must ask for symptoms"
            )
            raise file.fault(reason, questions[0].line)
        if questions and not any(_names_911(each, filled) for each in on_day):
            raise file.fault(f"day {day} has no text with the safety line (911)", questions[0].line)


def _names_911(check_in: CheckIn, filled: Fillings) -> bool:
    return all("911" in render(check_in.texts[language], filled[language][0]) for language in LANGUAGES)


def _needs_911(file: TomlFile, check_in: CheckIn, filled: Fillings) -> None:
    for texts in (check_in.texts, check_in.reminder_texts or {}):
        for language, text in texts.items():
            if "911" not in render(text, filled[language][0]):
                reason = (
                    f"check-in {check_in.key!r}, {language}: the safety line is missing; put $safety into it"
                )
                raise file.fault(reason, _line_of_text(file, check_in, text))
