"""``aftercare check``: what is wrong with this installation, and how to mend it, one line each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, select

from messages.protocol import ProtocolError
from messages.site import SiteError
from service import checkup_keys, marks, oncall, teams
from service.carriers import CarrierError
from service.db import current_revision, newest_revision, reading
from service.enrollments import running_count
from service.models import Mark, Member
from service.page_answers import blocked_members
from service.readiness import TICKED_WITHIN, last_tick, reasons_not_ready
from service.runtime import Clock, Runtime, make_runtime
from service.settings import Settings, SettingsError, load_settings, require_secret_key
from service.sight import EVERYTHING, has_one_team, teams_in_sight

MOST_SKEW = timedelta(seconds=5)
LOOK_AHEAD = timedelta(days=7)
REFUSALS_MATTER_FOR = timedelta(hours=24)
REFUSED_CREDENTIALS = "20003"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. A fault needs mending; anything else is worth knowing."""

    is_fault: bool
    said: str

    def __str__(self) -> str:
        return f"{'FAULT' if self.is_fault else 'ok   '}  {self.said}"


def check_everything(settings: Settings | None = None, clock: Clock | None = None) -> list[Finding]:
    """Settings, database, clocks, carrier, people on call, the running service. Changes nothing."""
    try:
        settings = settings or load_settings()
        runtime = make_runtime(settings, clock)
    except (SettingsError, SiteError, ProtocolError) as error:
        return [Finding(True, str(error))]
    try:
        return list(_findings(runtime))
    finally:
        runtime.close()


def check_ticks(settings: Settings | None = None, clock: Clock | None = None) -> list[Finding]:
    """Only whether a scheduler ticked within the last minute: a quick look for the health of workers."""
    try:
        runtime = make_runtime(settings or load_settings(), clock)
    except (SettingsError, SiteError, ProtocolError) as error:
        return [Finding(True, str(error))]
    try:
        with reading(runtime.engine) as session:
            ticked_at = last_tick(session)
    except SQLAlchemyError as error:
        return [Finding(True, f"The database cannot be read ({type(error).__name__}).")]
    finally:
        runtime.close()
    if ticked_at is None or runtime.clock() - ticked_at > TICKED_WITHIN:
        return [Finding(True, "No job ran within the last minute: is aftercare work running?")]
    return [Finding(False, "A job ran within the last minute.")]


def _findings(runtime: Runtime) -> Iterator[Finding]:
    yield from _settings(runtime)
    is_there = True
    for finding in _database(runtime):
        is_there = is_there and not finding.is_fault and "not there yet" not in finding.said
        yield finding
    yield from _carrier(runtime)
    if is_there:
        with reading(runtime.engine) as session:
            keys = checkup_keys.findings(session, runtime.settings.keyring)
            yield from (Finding(is_fault, said) for is_fault, said in keys)
            yield from _people(session, runtime)
            yield from _webhooks(session, runtime.clock())
            yield from _running(session, runtime)


def _settings(runtime: Runtime) -> Iterator[Finding]:
    try:
        require_secret_key(runtime.settings)
        names = ", ".join(sorted(runtime.protocols))
        yield Finding(False, f"Settings hold; clinic {runtime.site.clinic_name}; protocols {names}.")
    except SettingsError as error:
        yield Finding(True, str(error))
    if not runtime.settings.is_https and runtime.settings.carrier == "twilio":
        yield Finding(False, "The public address is not https: good for rehearsals on this machine only.")


def _database(runtime: Runtime) -> Iterator[Finding]:
    """Reachable, at the right revision, and its clock is ours. An SQLite file is not made by looking."""
    if runtime.engine.dialect.name == "sqlite":
        path = Path(runtime.engine.url.database or "")
        if not path.exists():
            if path.absolute().parent.is_dir():
                yield Finding(False, "The database is not there yet: the first start makes it.")
            else:
                said = (
                    f"The folder {path.absolute().parent} of AFTERCARE_DATABASE_URL does not exist: make it."
                )
                yield Finding(True, said)
            return
    try:
        revision = current_revision(runtime.engine)
        database_now = _database_clock(runtime)
    except SQLAlchemyError as error:
        said = (
            f"The database cannot be reached ({type(error).__name__}): start it, or correct name, password, "
            "host and port in AFTERCARE_DATABASE_URL."
        )
        yield Finding(True, said)
        return
    if revision is None:
        yield Finding(False, "The database is not there yet: it is empty, the first start makes the tables.")
    elif revision != newest_revision():
        said = f"The database is at revision {revision}, this version needs {newest_revision()}: "
        yield Finding(True, said + "make a backup, then run: aftercare db upgrade.")
    else:
        yield Finding(False, f"The database answers and is at revision {revision}.")
    if database_now is not None:
        yield _skew("database", database_now, runtime)


def _database_clock(runtime: Runtime) -> datetime | None:
    """PostgreSQL's own time; an SQLite file has the clock of this machine."""
    if runtime.engine.dialect.name != "postgresql":
        return None
    with runtime.engine.connect() as connection:
        found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found


def _skew(whose: str, their_now: datetime, runtime: Runtime) -> Finding:
    ours = runtime.clock() - timedelta(seconds=runtime.settings.clock_offset)
    apart = abs(ours - their_now)
    if apart <= MOST_SKEW:
        return Finding(False, f"This machine's clock agrees with that of the {whose}.")
    said = f"This machine's clock and that of the {whose} are {round(apart.total_seconds())} s apart: "
    return Finding(True, said + "switch on time synchronisation (NTP) on both machines.")


def _carrier(runtime: Runtime) -> Iterator[Finding]:
    """Whether Twilio knows us, and whether it would bring replies here."""
    if runtime.settings.carrier != "twilio":
        yield Finding(False, "The carrier is the simulator: no text leaves this machine.")
        return
    carrier: Any = runtime.carrier
    try:
        their_now = carrier.check_access()
    except CarrierError as error:
        yield Finding(True, _refused(error))
        return
    yield Finding(False, "Twilio accepts our account and token.")
    yield _skew("carrier", their_now, runtime)
    try:
        faults = carrier.webhook_faults(runtime.settings.public_url)
    except CarrierError as error:
        yield Finding(True, f"Twilio's configuration cannot be read: {error}.")
        return
    for fault in faults:
        yield Finding(True, f"At Twilio, {fault}.")
    if not faults:
        yield Finding(False, "Twilio brings incoming texts to our address.")


def _refused(error: CarrierError) -> str:
    if error.code == REFUSED_CREDENTIALS:
        return (
            "Twilio refuses our credentials: correct AFTERCARE_TWILIO_ACCOUNT_SID and "
            "AFTERCARE_TWILIO_AUTH_TOKEN (Twilio's console shows both)."
        )
    return (
        f"Twilio cannot be asked: {error}. Check this machine's way to the internet and, when it is set, "
        "AFTERCARE_TWILIO_API_URL."
    )


def _people(session: Session, runtime: Runtime) -> Iterator[Finding]:
    """Whether somebody is told of an escalation at every hour of the coming week."""
    now = runtime.clock()
    matters = runtime.settings.carrier == "twilio" or running_count(session) > 0
    if session.exec(select(Member.id).limit(1)).first() is None:
        said = "Nobody would be told of an escalation: aftercare member add EMAIL --name NAME --role nurse "
        yield Finding(matters, said + "--phone +1... --on-call 1.")
        return
    for member in blocked_members(session):
        said = f"{member.name}'s phone refuses our pages (texted STOP): they must text START to our number."
        yield Finding(True, said)
    for said in teams.faults(session) if not has_one_team(session) else ():
        yield Finding(True, said)
    gaps = oncall.gaps(session, runtime.site, now, now + LOOK_AHEAD)
    if gaps and not has_one_team(session):  # the site's own shifts may have gaps that each team fills itself
        yield from _gaps_of_teams(session, runtime, now)
        return
    for gap in gaps[:5]:
        why = "nobody is on call" if gap.why == "nobody" else "nobody on call has a phone that can be paged"
        when = f"from {gap.starts_at:%Y-%m-%d %H:%M} to {gap.ends_at:%Y-%m-%d %H:%M} UTC"
        yield Finding(True, f"Tier {gap.tier}: {why} {when}: add a shift on the page On call.")
    if not gaps:
        yield Finding(False, "Somebody is on call at every hour of the next 7 days.")


def _gaps_of_teams(session: Session, runtime: Runtime, now: datetime) -> Iterator[Finding]:
    """The first gap of each team that neither its own shifts nor those of the site fill."""
    found = False
    for team in teams_in_sight(session, EVERYTHING):
        for gap in oncall.gaps(session, runtime.site, now, now + LOOK_AHEAD, team.id)[:1]:
            found = True
            said = f"Tier {gap.tier} of the team {team.name}: nobody can be paged from "
            said += f"{gap.starts_at:%Y-%m-%d %H:%M} to {gap.ends_at:%Y-%m-%d %H:%M} UTC"
            yield Finding(True, f"{said}: add a shift on the page On call.")
    if not found:
        yield Finding(False, "In every team somebody is on call at every hour of the next 7 days.")


def _webhooks(session: Session, now: datetime) -> Iterator[Finding]:
    """Refused webhooks: a mis-set proxy turns every red flag into a 403."""
    for mark in session.exec(select(Mark).order_by(Mark.name)):
        kind, _, why = mark.name.partition(":")
        if kind == "refused" and now - mark.at <= REFUSALS_MATTER_FOR:
            last = f"last at {mark.at:%Y-%m-%d %H:%M} UTC, {mark.count} in all"
            mend = (
                "AFTERCARE_PUBLIC_URL must be the address set at Twilio, and AFTERCARE_TWILIO_AUTH_TOKEN the "
                "current token."
            )
            yield Finding(True, f"Webhook requests were refused ({why}), {last}: {mend}")


def _running(session: Session, runtime: Runtime) -> Iterator[Finding]:
    """What ``/readyz`` would say. Before the first start it is no fault that nothing runs."""
    if marks.get_mark(session, "tick:send_urgent") is None:
        yield Finding(False, "No job has run yet: aftercare run starts web and jobs.")
        return
    reasons = reasons_not_ready(runtime, runtime.clock())
    for reason in reasons:
        yield Finding(True, reason)
    if not reasons:
        yield Finding(False, "Jobs run and nothing is late.")
