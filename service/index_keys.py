"""The index key of a database, and which keys sealed something in it (table ``sealing_keys``)."""

from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from secrets import token_bytes

from sqlalchemy import Engine, text
from sqlmodel import Session, select

from service import rehash, rotation
from service.db import session_on
from service.keyring import PLAIN, Keyring, Unreadable
from service.models import SealingKey
from service.seals import PLACE, NoIndexKey, Seals, of_dialect, stored_index_key
from service.settings import SettingsError

ADOPT_LOCK = 7214504


def adopt(engine: Engine, now: datetime) -> None:
    """Make sure that the engine's ring fits its database, and note its current key there; commits.

    1. A key that sealed rows here and is not in the ring, or is another one of the same name, is refused.
    2. The index key is sealed with the current key too. 3. A database without a single row to look up gets a
    new index key, which was never stored unsealed. Raises SettingsError with what to do.
    """
    seals = of_dialect(engine.dialect)
    with session_on(engine) as session:
        rows = _locked(session)
        for fault in faults(session, seals.ring):
            raise SettingsError(fault)
        for key_id in [key_id for key_id in rows if _is_missing(rows[key_id], seals.ring)]:
            session.delete(rows.pop(key_id))  # nothing is sealed with it any more
        current = seals.ring.current or PLAIN
        found_again = any(row.lost_at for key_id, row in rows.items() if key_id in seals.ring.keys)
        if found_again or _needs(rows.get(current)):
            if rehash.is_anything_hashed(session):
                index_key = _index_key(session, seals.ring)
            else:
                index_key = token_bytes(32)
                for row in rows.values():
                    session.delete(row)
                rows = {}
            _put(session, rows, seals, index_key, now)
        session.commit()
    _ = seals.index_key  # read now: the first texts at once would each wait for a second connection


def faults(session: Session, ring: Keyring) -> Iterator[str]:
    """What of the ring does not fit this database, each with what to do."""
    for row in session.exec(select(SealingKey).order_by(SealingKey.key_id)):
        key_id = row.key_id
        if _is_missing(row, ring):
            number = rotation.by_key(session.connection()).get(key_id, 0)
            if number:
                yield (
                    f"{number} values in the database were sealed with key {key_id}, and "
                    "AFTERCARE_ENCRYPTION_KEYS does not have it: put it back behind the current key. "
                    f"If it is lost for ever, run: aftercare keys forget {key_id}."
                )
        elif key_id in ring.keys and row.index_key:
            if isinstance(ring.unseal(row.index_key, PLACE), Unreadable):
                yield (
                    f"AFTERCARE_ENCRYPTION_KEYS has another key named {key_id} than the one this database "
                    "was sealed with: put that one back, and give new keys new names."
                )


def settle(engine: Engine, *, is_off: bool, now: datetime) -> None:
    """After everything was sealed anew (or laid open): the index key lies as the rest does. Commits.

    Other keys stay noted: a process that was not started again may still seal with them. They are struck off
    at the first start without them, when nothing is sealed with them.
    """
    seals = of_dialect(engine.dialect)
    with session_on(engine) as session:
        rows = _locked(session)
        index_key = _index_key(session, seals.ring)
        if is_off:
            plain = rows.get(PLAIN) or SealingKey(key_id=PLAIN, index_key="", created_at=now)
            plain.index_key = b64encode(index_key).decode("ascii")
            session.add(plain)
        elif PLAIN in rows:
            _put(session, rows, seals, index_key, now)
            session.delete(rows[PLAIN])
        session.commit()


def renew(engine: Engine, now: datetime) -> int:
    """A new index key, and every keyed hash anew, in one transaction; commits. Returns how many hashes.

    Only while no process of the service runs: each keeps the index key in memory.
    """
    seals = of_dialect(engine.dialect)
    index_key = token_bytes(32)
    with session_on(engine) as session:
        rows = _locked(session)
        for key_id, row in list(rows.items()):
            row.index_key = ""  # what only a missing key could open would be the old one
            if key_id == PLAIN and seals.ring.current is not None:
                session.delete(rows.pop(key_id))
        _put(session, rows, seals, index_key, now)
        session.flush()
        written = rehash.write_all(session, index_key)
        session.commit()
    seals.forget_index_key()
    return written


def forget(engine: Engine, key_id: str, now: datetime) -> bool:
    """A key is lost for ever: the service starts without it, and what it sealed shows as unreadable. Commits.

    True when only that key could open the index key: a new one is made then, from what can be read. Raises
    SettingsError when the key is unknown here, or still at hand.
    """
    seals = of_dialect(engine.dialect)
    with session_on(engine) as session:
        rows = _locked(session)
        if key_id not in rows or key_id == PLAIN:
            raise SettingsError(f"No key named {key_id} is noted in this database.")
        if key_id in seals.ring.keys:
            raise SettingsError(f"Key {key_id} is in AFTERCARE_ENCRYPTION_KEYS: it is not lost.")
        rows[key_id].lost_at = now
        session.add(rows[key_id])
        session.commit()
        try:
            stored_index_key(session.connection(), seals.ring)
            return False
        except NoIndexKey:
            session.rollback()
    renew(engine, now)
    return True


def _put(
    session: Session, rows: dict[str, SealingKey], seals: Seals, index_key: bytes, now: datetime
) -> None:
    """Store the index key under the current key and under every key of the ring that is noted. No commit."""
    encoded, ring = b64encode(index_key).decode("ascii"), seals.ring
    for key_id in {ring.current or PLAIN, *(rows.keys() & ring.keys.keys())}:
        row = rows.get(key_id) or SealingKey(key_id=key_id, index_key="", created_at=now)
        row.index_key = encoded if key_id == PLAIN else ring.seal_with(key_id, encoded, PLACE)
        row.lost_at = None
        session.add(row)
    seals.forget_index_key()


def _needs(row: SealingKey | None) -> bool:
    return row is None or row.lost_at is not None or not row.index_key


def _is_missing(row: SealingKey, ring: Keyring) -> bool:
    return row.key_id != PLAIN and row.key_id not in ring.keys and row.lost_at is None


def _locked(session: Session) -> dict[str, SealingKey]:
    """What is noted, with other processes that would note something waiting (SQLite has one writer)."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_advisory_xact_lock({ADOPT_LOCK})"))
    return {row.key_id: row for row in session.exec(select(SealingKey))}


def _index_key(session: Session, ring: Keyring) -> bytes:
    try:
        return stored_index_key(session.connection(), ring)
    except NoIndexKey as error:
        raise SettingsError(
            "No key of AFTERCARE_ENCRYPTION_KEYS opens this database: put one back that sealed it."
        ) from error
