"""The basic types that every OCPI version is written in, as annotations that keep what the specification says.

A model's annotation is the documented truth: ``Annotated[str, CiString(36)]`` carries the JSON type, the length and the
pattern. The models read everything that ``hub.ocpi.validate`` lets through, so no later step fails on an object the hub
has accepted; lengths, patterns and enum values stand in the annotation (and in the OpenAPI document) and are counted by
``hub.ocpi.validate``, never enforced here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StrictBool,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

NOT_AVAILABLE = "#NA"
"""Stands in a required string that truly cannot be filled.

Source: OCPI 2.2.1, transport_and_format § No data available.
"""


class DeviationKind(StrEnum):
    """How accepted content may depart from the specification; bounded, so it serves as a metric label."""

    LENGTH = "length"
    EMPTY_TEXT = "empty_text"
    CHARACTERS = "characters"
    PATTERN = "pattern"
    ENUM_VALUE = "enum_value"
    UNKNOWN_FIELD = "unknown_field"
    EMPTY_LIST = "empty_list"
    FRACTION = "fraction"
    DATE_TIME_FORM = "date_time_form"
    DATE_TIME_UNREADABLE = "date_time_unreadable"
    COORDINATES = "coordinates"
    OPENING_HOURS = "opening_hours"
    DUPLICATE_ID = "duplicate_id"


@dataclass(frozen=True, slots=True)
class String:
    """Printable UTF-8, compared with case. Source: OCPI 2.2.1, types § string type."""

    max_length: int | None = None
    pattern: str | None = None

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Show the length and the pattern to readers of the OpenAPI document."""
        facts = {"maxLength": self.max_length, "pattern": self.pattern and f"^(?:{self.pattern})$"}
        return handler(schema) | {name: fact for name, fact in facts.items() if fact is not None}


@dataclass(frozen=True, slots=True)
class CiString(String):
    """Printable ASCII, stored as received and compared without case. Source: OCPI 2.2.1, types § CiString type."""


@dataclass(frozen=True, slots=True)
class IntegerFact:
    """A JSON number without a fraction; ``max_digits`` is what ``int(5)`` says."""

    max_digits: int | None = None


@dataclass(frozen=True, slots=True)
class NumberFact:
    """A JSON number, kept as Decimal. Source: OCPI 2.2.1, types § number type."""


@dataclass(frozen=True, slots=True)
class BooleanFact:
    """``true`` or ``false``."""


@dataclass(frozen=True, slots=True)
class DateTimeFact:
    """A moment in UTC; ``orders`` marks the clock by which the hub decides which of two states is newer."""

    orders: bool = False


def _read_number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise PydanticCustomError("json_number", "number expected")
    return Decimal(str(value)) if isinstance(value, float) else Decimal(value)


def _read_integer(value: object) -> int | Decimal:
    number = _read_number(value)
    return int(number) if abs(number) < 10**18 and number == number.to_integral_value() else number


def _write_number(value: int | Decimal) -> int | float:
    return int(value) if value == int(value) else float(value)


def _read_date_time(value: object) -> datetime | str:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("json_string", "string expected")
    return parse_datetime(value) or value


def _read_last_updated(value: object) -> datetime:
    moment = _read_date_time(value)
    if isinstance(moment, str):
        raise PydanticCustomError("date_time", "date-time expected")
    return moment


def _write_date_time(value: datetime | str) -> str:
    return format_datetime(value) if isinstance(value, datetime) else value


def _null_as_empty(value: object) -> object:
    return () if value is None else value


_DATE_TIME_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})

Boolean = Annotated[StrictBool, BooleanFact()]
Number = Annotated[
    Decimal,
    NumberFact(),
    BeforeValidator(_read_number),
    PlainSerializer(_write_number, when_used="json"),
    WithJsonSchema({"type": "number"}),
]
Integer = Annotated[
    int | Decimal,
    IntegerFact(),
    BeforeValidator(_read_integer),
    PlainSerializer(_write_number, when_used="json"),
    WithJsonSchema({"type": "integer"}),
]
DateTime = Annotated[
    datetime | str,
    DateTimeFact(),
    BeforeValidator(_read_date_time),
    PlainSerializer(_write_date_time, when_used="json"),
    _DATE_TIME_SCHEMA,
]
"""Aware UTC, or the text as it came where nobody can read it as a moment."""
LastUpdated = Annotated[
    datetime,
    DateTimeFact(orders=True),
    BeforeValidator(_read_last_updated),
    PlainSerializer(_write_date_time, when_used="json"),
    _DATE_TIME_SCHEMA,
]
"""Always aware UTC: the hub orders states by it, so a text that is no moment is refused."""
URL = Annotated[str, String(255, r"[A-Za-z][A-Za-z0-9+.-]*://\S+")]
"""Source: OCPI 2.2.1, types § URL type."""

Open = Annotated[E | str, Field(union_mode="left_to_right")]
"""A value of the enum, or a word that this version does not know: it is kept and counted."""
Many = Annotated[tuple[T, ...], BeforeValidator(_null_as_empty)]
"""Cardinality ``*``: absent, ``null`` and ``[]`` mean the same. Give such a field the default ``()``."""
Some = tuple[T, ...]
"""Cardinality ``+``: required. Real feeds hold EVSEs without connectors, so an empty list is counted, not refused."""


class OcpiObject(BaseModel):
    """What all OCPI objects share: unknown fields survive, values never change after reading."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @classmethod
    def oddities(cls, value: Mapping[str, Any]) -> Iterator[DeviationKind]:
        """Yield what is odd about the fields of ``value`` taken together; it may hold any JSON, so never raise."""
        yield from ()


_UNREADABLE_BY_PYTHON = re.compile(
    r"\s*(\d{4})-(\d{1,2})-(\d{1,2})[Tt ](\d{1,2}):(\d{1,2}):(\d{1,2})([.,]\d+)?\s*([Zz]|[+-]\d\d:?\d\d)?\s*", re.ASCII
)


def parse_datetime(text: str) -> datetime | None:
    """Read ``text`` as a moment in UTC, or return None where it is none.

    A missing zone means UTC. Forms seen in the field are read too: a blank for the ``T``, offsets, up to nine digits of
    a second (cut to six), unpadded parts, a leap second (taken as the second before it).

    Source: OCPI 2.2.1, types § DateTime type.
    """
    if "\0" in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is UTC:
            return moment
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return _parse_odd_datetime(text)


def _parse_odd_datetime(text: str) -> datetime | None:
    parts = _UNREADABLE_BY_PYTHON.fullmatch(text)
    if parts is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = parts.groups(default="")
    clock = f"{hour:0>2}:{minute:0>2}:{'59' if second == '60' else second.zfill(2)}"
    try:
        moment = datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{clock}{fraction}{zone.upper() or 'Z'}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_datetime(moment: datetime) -> str:
    """Write an aware ``moment`` as OCPI wants it: UTC with ``Z``, milliseconds only where there are any."""
    precision = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
