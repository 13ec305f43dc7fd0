"""``aftercare check``: what is wrong with this installation, and how to mend it, one line each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, select

from messages.protocol import ProtocolError
from messages.site import SiteError
from service import checkup_carrier, checkup_database, checkup_keys, marks, oncall, site_versions, teams
from service.db import reading
from service.enrollments import running_count
from service.models import Member
from service.page_answers import blocked_members
from service.readiness import TICKED_WITHIN, last_tick, reasons_not_ready
from service.runtime import Clock, Runtime, make_runtime
from service.seals import NoIndexKey
from service.settings import Settings, SettingsError, load_settings, require_secret_key
from service.sight import EVERYTHING, has_one_team, teams_in_sight

LOOK_AHEAD = timedelta(days=7)


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
    except ProtocolError as error:
        theirs = settings is not None and settings.protocols and str(settings.protocols) in str(error)
        return [Finding(True, f"AFTERCARE_PROTOCOLS: {error}." if theirs else str(error))]
    except (SettingsError, SiteError) as error:
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
    is_there = True
    database = []
    for is_fault, said in checkup_database.findings(runtime):
        is_there = is_there and not is_fault and "not there yet" not in said
        database.append(Finding(is_fault, said))
    if is_there:  # first: from here on the clinic's own values hold
        database += _stored_settings(runtime)
    yield from _settings(runtime)
    yield from database
    yield from (Finding(*found) for found in checkup_carrier.findings(runtime))
    if not is_there:
        return
    try:
        yield from (Finding(*found) for found in checkup_database.clock_findings(runtime))
        with reading(runtime.engine) as session:
            keys = checkup_keys.findings(session, runtime.settings.keyring)
            yield from (Finding(is_fault, said) for is_fault, said in keys)
            yield from _people(session, runtime)
            refused = checkup_carrier.refused_webhooks(session, runtime.clock())
            yield from (Finding(*found) for found in refused)
            yield from _running(session, runtime)
    except NoIndexKey as error:
        yield Finding(True, f"{error} Put back the keys this database was sealed with.")
    except SQLAlchemyError as error:
        yield Finding(True, checkup_database.unreadable(runtime, error))


def _stored_settings(runtime: Runtime) -> Iterator[Finding]:
    """The clinic's values as an admin changed them: from here on they are in force, as in every process."""
    try:
        why = site_versions.unusable(runtime)
    except SQLAlchemyError:
        return  # said elsewhere
    if why is None:
        site_versions.refresh(runtime)
        return
    said = f"The clinic settings an admin stored cannot be used, those of the site file hold instead: {why} "
    yield Finding(True, f"{said}Mend AFTERCARE_SITE or the protocol it names, or change the values again.")


def _settings(runtime: Runtime) -> Iterator[Finding]:
    try:
        require_secret_key(runtime.settings)
        names = ", ".join(sorted(runtime.protocols))
        yield Finding(False, f"Settings hold; clinic {runtime.site.clinic_name}; protocols {names}.")
    except SettingsError as error:
        yield Finding(True, str(error))
    if not runtime.settings.is_https and runtime.settings.carrier == "twilio":
        yield Finding(False, "The public address is not https: good for rehearsals on this machine only.")


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
