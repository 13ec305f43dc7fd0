"""The words a patient is found by, as keyed hashes: they follow name and phone, whoever writes those.

A word is compared without case and accents. Of the phone the last four and the last seven digits
are words too.
"""

import re
import unicodedata
from typing import Any

from sqlalchemy import Table, event, inspect

from service import seals
from service.keyring import Unreadable, digest

LAST_DIGITS = (4, 7)  # how many of a phone's last digits people ask for
_APOSTROPHES = re.compile("['\u2018\u2019\u02bc`]")


def words_of(name: str) -> set[str]:
    """The words of a name as they are compared: ``José O'Neil-Paz`` is jose, oneil and paz."""
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", name).casefold())
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return set(re.findall(r"\w+", letters.replace("_", " ")))


def hashes_of(index_key: bytes, name: str, phone: str) -> set[str]:
    """The keyed hashes of one patient's words."""
    found: set[str] = {digest(index_key, "word", word) for word in words_of(name)}
    found |= {digest(index_key, "last_digits", phone[-count:]) for count in LAST_DIGITS if len(phone) > count}
    return found


def keep_words(model: type, words: Table) -> None:
    """Write a patient's words whenever name or phone are written. What cannot be read keeps its words."""

    def write(_mapper: Any, connection: Any, patient: Any) -> None:
        history = inspect(patient).attrs
        changed = any(history[name].history.has_changes() for name in ("name", "phone"))
        if not changed or isinstance(patient.name, Unreadable) or isinstance(patient.phone, Unreadable):
            return
        index_key = seals.of_dialect(connection.dialect).index_key
        connection.execute(words.delete().where(words.c.patient_id == patient.id))
        rows = [
            {"patient_id": patient.id, "word_hash": each}
            for each in sorted(hashes_of(index_key, patient.name, patient.phone))
        ]
        if rows:
            connection.execute(words.insert(), rows)

    event.listen(model, "after_insert", write)
    event.listen(model, "after_update", write)
