"""How the carrier must be set up so that texts reach us.

What the carrier does with a webhook (its connection overrides: the part of the address behind ``#``). It
waits ``rt`` milliseconds for an answer (15,000 unless set), repeats ``rc`` times (once) what ``rp`` names
(failed connections only), and gives the text up for good after 15 s in all. So without overrides one slow
answer uses up the whole time, and an error is never repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

CARRIER_WAITS = 4.0
"""Seconds the carrier waits for one answer, as ``OVERRIDES`` ask for it; three tries fit into its 15."""

ANSWERED_WITHIN = CARRIER_WAITS - 0.5
"""Seconds within which we answer, so that our word and not its time-out ends a try."""

OVERRIDES = f"#rc=5&rp=all&ct=2000&rt={int(CARRIER_WAITS * 1000)}"
ALL_TRIES = 15.0
UNLESS_SET = {"rc": "1", "rp": "ct", "rt": "15000"}


@dataclass(frozen=True, slots=True)
class Door:
    """Where the carrier brings texts that reach us. ``where``: whose setting it is, in words."""

    where: str
    url: str | None
    method: str | None = "POST"
    fallback: str | None = None
    is_service: bool = False
    application: str | None = None


def door_faults(wanted: str, door: Door) -> list[str]:
    """What is wrong with a door, each with what to set. ``wanted``: our address for incoming texts."""
    mend = f"set {door.where} to {wanted}{OVERRIDES} (POST)"
    if door.application:
        return [
            f"{door.where} belongs to an application (TwiML app), whose addresses are used instead of its "
            f"own: take it out of the application, then {mend}"
        ]
    if not door.url:
        lost = "neither delivered nor logged" if door.is_service else "not brought to us, only logged"
        return [f"{door.where} has no address for incoming texts, so replies are {lost}: {mend}"]
    address, _, overrides = door.url.partition("#")
    faults = []
    if address != wanted:
        faults.append(f"incoming texts go to {_without_secrets(address)}, which is not ours: {mend}")
    if (door.method or "POST").upper() != "POST":
        faults.append(f"incoming texts come by {door.method}, which is refused: set {door.where} to POST")
    faults += [f"{fault}: {mend}" for fault in _override_faults(overrides)]
    if not door.fallback:
        faults.append(f"{door.where} has no fallback address for incoming texts: set one on another machine")
    return faults


def _without_secrets(address: str) -> str:
    """An address as it may be printed: what stands before the host or behind the path can be a password."""
    host = urlsplit(address).netloc.rpartition("@")[2]
    return urlsplit(address)._replace(netloc=host, query="").geturl()


def _override_faults(overrides: str) -> list[str]:
    given = UNLESS_SET | dict(parse_qsl(overrides))
    repeated = set(given["rp"].split(","))
    if not given["rc"].isdigit() or int(given["rc"]) < 1:
        return ["a failed delivery of an incoming text is not repeated"]
    if "all" not in repeated and not {"5xx", "rt"} <= repeated:
        return ["an incoming text is not repeated when we answer with an error or too late"]
    waits = int(given["rt"]) / 1000 if given["rt"].isdigit() else ALL_TRIES
    if waits < CARRIER_WAITS:
        return [f"the carrier waits {waits:g} s for our answer, which may take {ANSWERED_WITHIN:g} s"]
    if waits > ALL_TRIES / 2:
        return [f"the carrier waits {waits:g} s for an answer, so that no second try fits into its 15 s"]
    return []


def sorted_faults(faults: Sequence[str]) -> list[str]:
    """Each once, in the order in which they were found."""
    return list(dict.fromkeys(faults))
