"""Column types for what must not lie readable in the database, and for finding rows by it all the same.

- ``SealedText``, ``SealedJson``: sealed when written, opened when read. The database cannot compare, sort or
  search them: trying raises TypeError.
- ``SealedLookup``: the same, found by a keyed hash in the column ``NAME_hash`` beside it: ``Patient.phone ==
  number`` and ``.in_(numbers)`` compare hashes. Group and join by the hash column itself.

The hash columns fill themselves: for objects just before they are written (``keep_digests``), for plain
inserts by their default. An ``update()`` must set both columns.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import JSON, Column, Dialect, String, Table, Text, TypeDecorator, event, inspect
from sqlalchemy.sql import operators

from service import seals
from service.keyring import Hashed, Unreadable, digest

_MAY_BE_NULL = (operators.is_, operators.is_not)
_EQUAL = (operators.eq, operators.ne)
_COMPARED_BY_HASH = (operators.eq, operators.ne, operators.in_op, operators.not_in_op)


class _Uncompared(TypeDecorator.Comparator):  # type: ignore[type-arg]
    """Only ``IS NULL`` can be asked of a sealed column."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        # SQLAlchemy looks columns up in dictionaries, which compares them with themselves.
        if op in _MAY_BE_NULL or (op in _EQUAL and (other[0] is None or hash(other[0]) == hash(self.expr))):
            return super().operate(op, *other, **kwargs)
        raise TypeError(f"{self.expr} is sealed: the database cannot compare, search or sort it")

    def reverse_operate(self, op: Any, other: Any, **kwargs: Any) -> Any:
        return self.operate(op, other, **kwargs)


class _ByHash(_Uncompared):
    """Equality is asked of the hash column beside it."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        if op in _COMPARED_BY_HASH and other[0] is not None:
            return op(_hash_column(self.expr), *(_compared(value) for value in other), **kwargs)
        return super().operate(op, *other, **kwargs)


def _hash_column(column: Any) -> Any:
    return column.table.c[f"{column.key}_hash"]


def _compared(other: Any) -> Any:
    """The other side: plain values are hashed on their way; a column must be one of the same kind."""
    clause = other.__clause_element__() if hasattr(other, "__clause_element__") else other
    if any(isinstance(each.type, SealedText) for each in getattr(clause, "selected_columns", ())):
        raise TypeError("compare a look-up column with values; in a subquery use the hash columns")
    return _hash_column(clause) if isinstance(getattr(clause, "type", None), SealedLookup) else other


class SealedText(TypeDecorator[str]):
    """Text, sealed. ``place``: ``table.column``, bound into every value."""

    impl = Text
    cache_ok = True
    comparator_factory = _Uncompared

    def __init__(self, place: str, long: bool = True) -> None:
        super().__init__()
        self.place, self.long = place, long

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return Text() if self.long else String()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if isinstance(value, Unreadable):
            return value.stored
        return seals.ring_of(dialect).seal(value, self.place)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else seals.ring_of(dialect).unseal(value, self.place)


class SealedLookup(SealedText):
    """Sealed text that rows are found by. ``kind`` keeps hashes of phones apart from others."""

    cache_ok = True
    comparator_factory = _ByHash

    def __init__(self, place: str, kind: str = "phone", long: bool = True) -> None:
        super().__init__(place, long)
        self.kind = kind


class SealedJson(TypeDecorator[Any]):
    """A list or an object, sealed as one JSON string. One that cannot be opened is empty (or NULL)."""

    impl = JSON
    cache_ok = True
    comparator_factory = _Uncompared

    def __init__(self, place: str, empty_list: bool = False) -> None:
        super().__init__(none_as_null=True)
        self.place, self.empty_list = place, empty_list

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        ring = seals.ring_of(dialect)
        if value is None or ring.current is None:
            return value
        return ring.seal(json.dumps(value, ensure_ascii=False, separators=(",", ":")), self.place)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if not isinstance(value, str):
            return value
        opened = seals.ring_of(dialect).unseal(value, self.place)
        if isinstance(opened, Unreadable):
            return [] if self.empty_list else None
        return json.loads(opened)


class _WithSealed(TypeDecorator.Comparator):  # type: ignore[type-arg]
    """A hash compared with a sealed column is compared with that column's hash."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        return super().operate(op, *(_compared(value) for value in other), **kwargs)


class Digest(TypeDecorator[str]):
    """A keyed hash. A plain value that is compared with it is hashed on its way."""

    impl = String
    cache_ok = True
    comparator_factory = _WithSealed

    def __init__(self, kind: str = "phone") -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or isinstance(value, Hashed):
            return value
        return digest(seals.of_dialect(dialect).index_key, self.kind, value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Hashed | None:
        return None if value is None else Hashed(value)


class SubjectId(Digest):
    """Whom an escalation is about: a patient's id, or the keyed hash of a phone nobody knows."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None and re.fullmatch(r"[0-9a-f]{32}", value):
            return value  # no phone looks like this
        return super().process_bind_param(value, dialect)


def digest_of(name: str, kind: str = "phone", **column: Any) -> Any:
    """The hash column of the column ``name``: filled by itself."""

    def fill(context: Any) -> Hashed | None:
        value = context.get_current_parameters().get(name)
        return _digest(context.dialect, kind, value)

    return Column(Digest(kind), default=fill, **column)


def _digest(dialect: Dialect, kind: str, value: str | None) -> Hashed | None:
    """None for nothing, and for what cannot be read: nothing can be found by it."""
    return digest(seals.of_dialect(dialect).index_key, kind, value) if value else None


def with_digests(table: Table, row: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """A row of plain values and, for each of its look-up columns, the hash beside it."""
    return dict(row) | {f"{name}_hash": _digest(dialect, kind, row[name]) for name, kind in _sought(table)}


@cache
def _sought(table: Table) -> list[tuple[str, str]]:
    """The look-up columns of a table, each with its kind."""
    return [
        (column.name, column.type.kind) for column in table.columns if isinstance(column.type, SealedLookup)
    ]


def keep_digests(model: type) -> None:
    """Write the hashes of an object's look-up columns whenever it is written."""
    table: Any = inspect(model).local_table
    sought = [
        (column.key, column.type.kind) for column in table.columns if isinstance(column.type, SealedLookup)
    ]

    def fill(_mapper: Any, connection: Any, target: Any) -> None:
        state = inspect(target)
        for name, kind in sought:
            value = getattr(target, name)
            if isinstance(value, Unreadable):
                continue  # its hash is there already and must stay
            if not state.persistent or state.attrs[name].history.has_changes():
                setattr(target, f"{name}_hash", _digest(connection.dialect, kind, value))

    if sought:
        event.listen(model, "before_insert", fill)
        event.listen(model, "before_update", fill)
