"""What the sealed columns of one engine need: its keyring and its index key.

The index key makes the keyed hashes by which phones, names and record numbers are found. It is random,
belongs to the database and lies in it, in ``sealing_keys``, once for each key of the ring and sealed by it:
so hashes stay the same when keys are rotated, and when encryption is switched on or off. Without a keyring
it lies there unsealed.
"""

from base64 import b64decode
from threading import Lock

from sqlalchemy import Connection, Dialect, Engine, text
from sqlmodel import Session

from service.keyring import PLAIN, Hashed, Keyring, Unreadable, digest

PLACE = "sealing_keys.index_key"
NO_RING = Keyring()


class NoIndexKey(RuntimeError):
    """None of the keys at hand opens the index key: nothing can be found by phone or name."""


class Seals:
    """One engine's ring, and its index key once it was read."""

    def __init__(self, ring: Keyring, engine: Engine) -> None:
        self.ring = ring
        self._engine = engine
        self._index_key: bytes | None = None
        self._lock = Lock()

    @property
    def index_key(self) -> bytes:
        """Read from the database the first time. Raises NoIndexKey."""
        if self._index_key is None:
            with self._lock:
                if self._index_key is None:
                    with self._engine.connect().execution_options(read_only=True) as connection:
                        self._index_key = stored_index_key(connection, self.ring)
        return self._index_key

    def forget_index_key(self) -> None:
        """Read it again at the next use: the database has another one now."""
        self._index_key = None


def stored_index_key(connection: Connection, ring: Keyring) -> bytes:
    """The index key of this database. Raises NoIndexKey."""
    rows = connection.execute(text("SELECT key_id, index_key FROM sealing_keys ORDER BY key_id")).all()
    for key_id, stored in rows:
        opened = stored if key_id == PLAIN else ring.unseal(stored, PLACE)
        if not isinstance(opened, Unreadable):
            return b64decode(opened)
    raise NoIndexKey("No key of AFTERCARE_ENCRYPTION_KEYS opens this database's index key.")


def of_dialect(dialect: Dialect) -> Seals:
    """The seals of the engine a statement runs on."""
    found = getattr(dialect, "seals", None)
    if found is None:
        raise RuntimeError("this engine was not made by service.db.make_engine: it has no keyring")
    assert isinstance(found, Seals)
    return found


def ring_of(dialect: Dialect) -> Keyring:
    """The ring of the engine a statement runs on; an empty one where a statement is only being written."""
    found = getattr(dialect, "seals", None)
    return found.ring if isinstance(found, Seals) else NO_RING


def hashed(session: Session, kind: str, value: str) -> Hashed:
    """The keyed hash of a value in this session's database."""
    return digest(of_dialect(session.get_bind().dialect).index_key, kind, value)
