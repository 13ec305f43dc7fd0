"""Which phones a text cannot reach, as far as the carrier has taught us."""

from collections.abc import Iterable

from sqlmodel import Session, col, or_, select

from service.db import among
from service.models import PhoneState
from service.seals import hashed


def unreachable(session: Session, phones: Iterable[str]) -> set[str]:
    """Those of ``phones`` that opted out or cannot receive texts.

    Told by the keyed hash: the number of a row whose key is missing cannot be read, and must count all the
    same.
    """
    by_hash = {hashed(session, "phone", phone): phone for phone in phones}
    if not by_hash:
        return set()
    refusing = session.exec(
        select(PhoneState.phone_hash).where(
            among(session, col(PhoneState.phone_hash), by_hash),
            or_(col(PhoneState.opted_out_at).is_not(None), col(PhoneState.unreachable_at).is_not(None)),
        )
    )
    return {by_hash[found] for found in refusing}
