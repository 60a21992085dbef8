"""Builds, once per model, the closures that walk a parsed JSON value and sort what they find.

Every broadcast push passes here, so a value without faults costs a few dictionary look-ups and comparisons per field:
paths are linked pairs and become text only for what is reported, and no model is instantiated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, assert_never

from hub.ocpi.fields import Anything, Array, Enumeration, FieldFacts, Nested, Shape, fields_of
from hub.ocpi.types import (
    NOT_AVAILABLE,
    BooleanFact,
    CiString,
    DateTimeFact,
    DeviationKind,
    IntegerFact,
    NumberFact,
    OcpiObject,
    String,
    parse_datetime,
)

MAX_LISTED_FAULTS = 10
"""Enough for a sender to repair an object, and an answer that stays small whatever came in."""

Trail = tuple[Any, str | int] | None
"""Where a value stands: the trail of what holds it, and the field name or index there."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a body is refused; never holds a value of it."""

    path: str
    problem: str

    @property
    def message(self) -> str:
        """The text for ``status_message``."""
        return f"{self.path}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Deviation:
    """What was accepted although the specification says otherwise.

    ``field`` is like ``Connector.standard``, or just ``Connector`` for unknown fields and for what several fields say
    together: with ``kind`` it is a bounded label. ``path`` is the first of the ``count`` places.
    """

    kind: DeviationKind
    field: str
    count: int
    path: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdict on a body: it is acceptable when nothing is refused. At most ``MAX_LISTED_FAULTS`` are listed."""

    refusals: tuple[Fault, ...]
    deviations: tuple[Deviation, ...]


class Report:
    """Gathers findings during one walk; its size is bounded by the models, not by the body."""

    __slots__ = ("_counts", "_faults")

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._counts: dict[tuple[DeviationKind, str], tuple[int, str]] = {}

    def refuse(self, trail: Trail, step: str | int, problem: str) -> None:
        """Note a fault."""
        if len(self._faults) < MAX_LISTED_FAULTS:
            self._faults.append(Fault(render_path(trail, step), problem))

    def count(self, kind: DeviationKind, field: str, trail: Trail, step: str | int) -> None:
        """Note a deviation."""
        seen = self._counts.get((kind, field))
        self._counts[kind, field] = (seen[0] + 1, seen[1]) if seen else (1, render_path(trail, step))

    def verdict(self) -> Checked:
        """Return the findings, in the order in which they were met."""
        deviations = (Deviation(kind, field, *found) for (kind, field), found in self._counts.items())
        return Checked(tuple(self._faults), tuple(deviations))


Check = Callable[[object, Trail, "str | int", Report], None]
"""Checks one value; the trail and the step say where it stands."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# string(25), UTC, with Z or without a zone
_DATE_TIME_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|\.\d{1,4}Z?|\.\d{5})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUL_PROBLEM = "string holds an escaped NUL"


def render_path(trail: Trail, step: str | int) -> str:
    """Write a place as a JSON path such as ``$.evses[0].status``; an odd or long name of a sender becomes ``[*]``."""
    steps: list[str] = []
    while trail is not None:
        steps.append(_render_step(step))
        trail, step = trail
    return "$" + "".join(reversed(steps))


def _render_step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_KEY.fullmatch(step) else "[*]"


def json_type(value: object) -> str:
    """Name the JSON type of a parsed value, for messages that must not show the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float() | Decimal():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case dict():
            return "object"
        case _:
            return "unknown"


def _wrong_type(expected: str, value: object) -> str:
    return f"{expected} expected, {json_type(value)} found"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return value.is_integer() if isinstance(value, float) else bool(value == value.to_integral_value())


@cache
def object_check(model: type[OcpiObject], *, patch: bool = False) -> Check:
    """Return the check of a full ``model``, or of a PATCH of one.

    In a PATCH every field may be absent but ``last_updated`` (OB-02, OB-03), none that is required may be ``null``, and
    whatever stands below a field that is present must be whole.
    """
    facts = fields_of(model)
    label = model.__name__
    entries = {
        name: (_check_of(field.shape, f"{label}.{name}", required=field.required), field.required)
        for name, field in facts.items()
    }
    demanded = frozenset(_demanded(facts, patch=patch))
    oddities = model.oddities if "oddities" in vars(model) and not patch else None

    def check(value: object, trail: Trail, step: str | int, report: Report) -> None:
        if type(value) is not dict:
            report.refuse(trail, step, _wrong_type("object", value))
            return
        here = (trail, step)
        for name, item in value.items():
            entry = entries.get(name)
            if entry is None:
                _check_unknown(name, item, here, label, report)
            elif item is not None:
                entry[0](item, here, name, report)
            elif entry[1]:
                report.refuse(here, name, "required field is null")
        if not demanded <= value.keys():
            for name in (each for each in entries if each in demanded and each not in value):
                report.refuse(here, name, "required field is missing")
        if oddities is not None:
            for kind in oddities(value):
                report.count(kind, label, trail, step)

    return check


def _demanded(facts: Mapping[str, FieldFacts], *, patch: bool) -> Iterator[str]:
    for name, field in facts.items():
        if field.required and (not patch or name == "last_updated"):
            yield name


def _check_unknown(name: str, value: object, here: Trail, label: str, report: Report) -> None:
    if "\0" in name or _holds_nul(value):
        report.refuse(here, name, _NUL_PROBLEM)
    report.count(DeviationKind.UNKNOWN_FIELD, label, here, name)


def _holds_nul(value: object) -> bool:
    """Say whether any string below ``value`` holds a NUL; no recursion, because a sender chooses the depth."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)
    return False


def _check_of(shape: Shape, label: str, *, required: bool) -> Check:
    match shape:
        case String():
            return _text_check(shape, label, required=required)
        case Enumeration():
            return _enum_check(shape, label)
        case DateTimeFact():
            return _date_time_check(shape, label)
        case IntegerFact():
            return _integer_check(shape, label)
        case NumberFact():
            return _check_number
        case BooleanFact():
            return _check_boolean
        case Nested():
            return object_check(shape.model)
        case Array():
            return _array_check(shape, label, required=required)
        case Anything():
            return _check_anything
    assert_never(shape)


def _text_check(fact: String, label: str, *, required: bool) -> Check:
    limit = fact.max_length if fact.max_length is not None else 1 << 62
    pattern = re.compile(fact.pattern, re.ASCII) if fact.pattern else None
    ascii_only = isinstance(fact, CiString)

    def check(value: object, trail: Trail, step: str | int, report: Report) -> None:
        if type(value) is not str:
            report.refuse(trail, step, _wrong_type("string", value))
            return
        if not value.isprintable() and "\0" in value:
            report.refuse(trail, step, _NUL_PROBLEM)
        elif (ascii_only and not value.isascii()) or (not value.isprintable() and _CONTROL.search(value)):
            report.count(DeviationKind.CHARACTERS, label, trail, step)
        if len(value) > limit:
            report.count(DeviationKind.LENGTH, label, trail, step)
        elif not value:
            if required:
                report.count(DeviationKind.EMPTY_TEXT, label, trail, step)
        elif pattern is not None and value != NOT_AVAILABLE and pattern.fullmatch(value) is None:
            report.count(DeviationKind.PATTERN, label, trail, step)

    return check


def _enum_check(shape: Enumeration, label: str) -> Check:
    known = frozenset(word.value for word in shape.words)

    def check(value: object, trail: Trail, step: str | int, report: Report) -> None:
        if type(value) is not str:
            report.refuse(trail, step, _wrong_type("string", value))
        elif value not in known:
            if "\0" in value:
                report.refuse(trail, step, _NUL_PROBLEM)
            report.count(DeviationKind.ENUM_VALUE, label, trail, step)

    return check


def _date_time_check(fact: DateTimeFact, label: str) -> Check:
    def check(value: object, trail: Trail, step: str | int, report: Report) -> None:
        if type(value) is not str:
            report.refuse(trail, step, _wrong_type("date-time string", value))
        elif not _is_plain_date_time(value):
            if "\0" in value:
                report.refuse(trail, step, _NUL_PROBLEM)
            elif parse_datetime(value) is not None:
                report.count(DeviationKind.DATE_TIME_FORM, label, trail, step)
            elif fact.orders:
                report.refuse(trail, step, "date-time expected, a string that is none found")
            else:
                report.count(DeviationKind.DATE_TIME_UNREADABLE, label, trail, step)

    return check


def _is_plain_date_time(text: str) -> bool:
    if _DATE_TIME_FORM.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _integer_check(fact: IntegerFact, label: str) -> Check:
    bound = 10**fact.max_digits if fact.max_digits is not None else None

    def check(value: object, trail: Trail, step: str | int, report: Report) -> None:
        if type(value) is not int:
            if not _is_number(value):
                report.refuse(trail, step, _wrong_type("integer", value))
                return
            if not _is_whole(value):
                report.count(DeviationKind.FRACTION, label, trail, step)
        if bound is not None and not -bound < value < bound:
            report.count(DeviationKind.LENGTH, label, trail, step)

    return check


def _array_check(shape: Array, label: str, *, required: bool) -> Check:
    check_item = _check_of(shape.item, label, required=True)

    def check(value: object, trail: Trail, step: str | int, report: Report) -> None:
        if not isinstance(value, list | tuple):
            report.refuse(trail, step, _wrong_type("array", value))
            return
        if required and not value:
            report.count(DeviationKind.EMPTY_LIST, label, trail, step)
        here = (trail, step)
        for index, item in enumerate(value):
            check_item(item, here, index, report)

    return check


def _check_number(value: object, trail: Trail, step: str | int, report: Report) -> None:
    if not _is_number(value):
        report.refuse(trail, step, _wrong_type("number", value))


def _check_boolean(value: object, trail: Trail, step: str | int, report: Report) -> None:
    if value is not True and value is not False:
        report.refuse(trail, step, _wrong_type("boolean", value))


def _check_anything(value: object, trail: Trail, step: str | int, report: Report) -> None:
    if _holds_nul(value):
        report.refuse(trail, step, _NUL_PROBLEM)
