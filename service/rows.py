"""What every table's class is made from: SQLModel without its questions to pydantic.

SQLModel's constructor and setter consult pydantic about every value although tables validate nothing. That is
a tenth of a millisecond a row, and one red flag writes six. Nothing else differs: columns, defaults, types.
"""

from functools import cache
from typing import Any

from pydantic_core import PydanticUndefined
from sqlalchemy.orm.attributes import set_attribute
from sqlalchemy.orm.base import NO_VALUE, instance_state
from sqlmodel import SQLModel


class Row(SQLModel):
    """One row. Raises TypeError for a name that is no column."""

    def __init__(self, **values: Any) -> None:
        fixed, made = _defaults(type(self))
        unknown = values.keys() - _names(type(self))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no column {', '.join(sorted(unknown))}")
        whole = {**fixed, **values}
        for name, make in made:
            if name not in values:
                whole[name] = make()
        self.__dict__.update(whole)
        # What setting each value would leave behind: it is new, and there was none before.
        instance_state(self).committed_state.update(dict.fromkeys(whole, NO_VALUE))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _names(type(self)):
            set_attribute(self, name, value)
        else:
            super().__setattr__(name, value)


@cache
def _names(model: type[SQLModel]) -> frozenset[str]:
    return frozenset(model.model_fields)


@cache
def _defaults(model: type[SQLModel]) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
    """The defaults of a table's columns: those that are always the same, and those made anew for each row."""
    fields = model.model_fields.items()
    made = tuple((name, field.default_factory) for name, field in fields if field.default_factory)
    fixed = {
        name: field.default
        for name, field in fields
        if not field.default_factory and field.default is not PydanticUndefined
    }
    return fixed, made
