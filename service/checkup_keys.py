"""What ``aftercare check`` says about encryption at rest."""

from collections.abc import Iterator

from sqlmodel import Session, col, select

from service import index_keys, rotation
from service.keyring import PLAIN, Keyring
from service.models import SealingKey


def findings(session: Session, ring: Keyring) -> Iterator[tuple[bool, str]]:
    """Lines, each with whether it is a fault: keys that do not fit, values nobody can read, values that lie
    open or under older keys."""
    faults = list(index_keys.faults(session, ring))
    yield from ((True, fault) for fault in faults)
    found = rotation.by_key(session.connection())
    lost = set(session.exec(select(SealingKey.key_id).where(col(SealingKey.lost_at).is_not(None))))
    gone = {key_id: number for key_id, number in found.items() if key_id not in {*ring.keys, PLAIN}}
    known = {row.key_id for row in session.exec(select(SealingKey))} - lost
    for key_id, number in sorted(gone.items()):
        if key_id not in known:  # else index_keys has said so
            yield (
                True,
                f"{number} values cannot be read: key {key_id} is missing. Put it back if it is found.",
            )
    if ring.current is None:
        if not faults:
            yield (
                False,
                "Names, phones and texts lie unsealed in the database: AFTERCARE_ENCRYPTION_KEYS is not set.",
            )
        return
    if found.get(PLAIN):
        yield True, f"{found[PLAIN]} values lie unsealed: run aftercare keys rotate."
    older = {key_id: n for key_id, n in found.items() if key_id in ring.keys and key_id != ring.current}
    if older:
        yield (
            False,
            f"{sum(older.values())} values are sealed with older keys ({', '.join(sorted(older))}): "
            "run aftercare keys rotate, then those keys may go.",
        )
    elif found.get(ring.current):
        yield False, f"{found[ring.current]} values are sealed with key {ring.current}."
