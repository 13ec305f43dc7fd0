"""Finding patients by what is sealed: whole words of the name, the phone, the record number."""

import re

from sqlalchemy import ColumnElement
from sqlmodel import Session, and_, col, false, or_, select

from service import seals
from service.keyring import digest
from service.models import Patient, PatientWord
from service.patient_words import LAST_DIGITS, words_of
from service.phones import PhoneError, parse_phone


def fitting(session: Session, asked: str) -> ColumnElement[bool]:
    """Patients whose name has every word asked for, or whose record number, whole phone or last four or
    seven digits of it were asked for."""
    asked = asked.strip()
    wanted: list[ColumnElement[bool]] = [col(Patient.external_id) == asked] if asked else []
    try:
        phone = parse_phone(asked)
        wanted += [col(Patient.phone) == phone, col(Patient.caregiver_phone) == phone]
    except PhoneError:
        pass
    index_key = seals.of_dialect(session.get_bind().dialect).index_key
    digits = re.sub(r"[\s().+-]", "", asked)
    if len(digits) in LAST_DIGITS and digits.isascii() and digits.isdigit():
        wanted.append(_has(digest(index_key, "last_digits", digits)))
    words = words_of(asked)
    if words:
        wanted.append(and_(*(_has(digest(index_key, "word", word)) for word in sorted(words))))
    return or_(*wanted) if wanted else false()


def _has(word_hash: str) -> ColumnElement[bool]:
    return col(Patient.id).in_(select(PatientWord.patient_id).where(PatientWord.word_hash == word_hash))
