"""Reading the JSON body of a request: bounded, plain, and every fault by field."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from service.web.problems import faults_of, invalid

DEEPEST = 12
Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A body that knows its fields: others are faults, not ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


async def json_object(request: Request) -> dict[str, Any]:
    """The body as an object; no body at all is an empty one. Raises 422.

    Refuses what no database keeps: NUL and halves of surrogate pairs; and what no person sends: deep nesting,
    numbers that are none.
    """
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid({"body": ["is not JSON"]}) from error
    if not isinstance(body, dict):
        raise invalid({"body": ["must be an object with named values"]})
    faults = dict(_faults(body, "", 0))
    if faults:
        raise invalid(faults)
    return body


def _refuse_constant(_word: str) -> NoReturn:
    raise ValueError("not a number")


def _faults(value: Any, place: str, depth: int) -> Iterator[tuple[str, list[str]]]:
    if depth > DEEPEST:
        yield place or "body", ["is nested too deeply"]
    elif isinstance(value, dict):
        for name, inner in value.items():
            here = f"{place}.{name[:60]}" if place else name[:60]
            if not is_plain(name):
                yield place or "body", ["has a name with characters that cannot be stored"]
            else:
                yield from _faults(inner, here, depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _faults(inner, f"{place}.{index}", depth + 1)
    elif isinstance(value, str) and not is_plain(value):
        yield place, ["has characters that cannot be stored (NUL, or half of a surrogate pair)"]


def is_plain(text: str) -> bool:
    """Whether every database can keep the text."""
    return "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


def read(model: type[Model], body: dict[str, Any]) -> Model:
    """The body as a model. Raises 422 naming every fault."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid(faults_of(error.errors(include_url=False, include_input=False))) from error


def takes(model: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """The description of a body for ``openapi_extra``."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


JsonObject = Annotated[dict[str, Any], Depends(json_object)]
