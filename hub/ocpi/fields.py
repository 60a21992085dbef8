"""Reads the models' annotations as plain facts, so that the checker and the census test share one reading of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from hub.ocpi.types import BooleanFact, DateTimeFact, IntegerFact, NumberFact, OcpiObject, String


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Text that should be one of the values of ``words``."""

    words: type[StrEnum]


@dataclass(frozen=True, slots=True)
class Nested:
    """A JSON object with a model of its own."""

    model: type[OcpiObject]


@dataclass(frozen=True, slots=True)
class Array:
    """A JSON array; ``item`` says what each element is."""

    item: Shape


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""


Shape = String | IntegerFact | NumberFact | BooleanFact | DateTimeFact | Enumeration | Nested | Array | Anything
_SCALARS = (String, IntegerFact, NumberFact, BooleanFact, DateTimeFact)


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """What the specification's table says of one field; ``required`` is cardinality ``1`` or ``+``."""

    shape: Shape
    required: bool


def fields_of(model: type[OcpiObject]) -> Mapping[str, FieldFacts]:
    """Return the facts of every field of ``model``, in the order of the specification's table."""
    hints = get_type_hints(model, include_extras=True)
    return {
        name: FieldFacts(_shape_of(hints[name]), required=field.is_required())
        for name, field in model.model_fields.items()
    }


def _shape_of(annotation: Any) -> Shape:
    if annotation is Any:
        return Anything()
    if isinstance(annotation, type) and issubclass(annotation, OcpiObject):
        return Nested(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        facts = [mark for mark in annotation.__metadata__ if isinstance(mark, _SCALARS)]
        return facts[-1] if facts else _shape_of(arguments[0])
    if origin is tuple:
        return Array(_shape_of(arguments[0]))
    if origin in (Union, UnionType):
        return _shape_of_union([argument for argument in arguments if argument is not NoneType])
    raise TypeError(f"{annotation!r} is not an annotation of an OCPI field")


def _shape_of_union(arguments: list[Any]) -> Shape:
    words = [each for each in arguments if isinstance(each, type) and issubclass(each, StrEnum)]
    return Enumeration(words[0]) if words else _shape_of(arguments[0])
