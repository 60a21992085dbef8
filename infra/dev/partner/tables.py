"""The field tables of OCPI 2.2.1, and what in a value deviates from them.

The tables are the specification's own, copied as package data. A check is tolerant by design: it reports, its caller
decides. Unknown fields are no deviation; they are listed so that they can be counted. Values are expected as
`wire.decode` gives them.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.resources import files
from typing import Any, Final

MOST_FINDINGS: Final = 100
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?")
_DATE_TIME_LENGTH: Final = 25
_URL_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class Finding:
    """One deviation in a value: a rule's short name, the JSON path, and what is wrong."""

    rule: str
    path: str
    message: str


@dataclass(slots=True)
class Report:
    """What one check found. `unknown` holds the paths of fields that the table does not have."""

    findings: list[Finding] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, rule: str, path: str, message: str) -> None:
        """Note a deviation; after the hundredth of one value the rest is left out."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(rule, path, message))


Scalar = Callable[[Any], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class _Field:
    required: bool
    many: bool
    scalar: Scalar | None
    object_name: str


class FieldTables:
    """The objects and enums of one version, ready to check values."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self._objects = tables["objects"]
        self._enums = {name: frozenset(enum["values"]) for name, enum in tables["enums"].items()}
        self._fields = {
            name: {row["name"]: self._compile(row) for row in table["fields"]} for name, table in self._objects.items()
        }
        self._required = {
            name: frozenset(column for column, spec in fields.items() if spec.required)
            for name, fields in self._fields.items()
        }

    def check(self, name: str, value: Any, *, partial: bool = False) -> Report:
        """Compare a value with the table of that name. `partial` is a PATCH body: only `last_updated` is required."""
        report = Report()
        self._check_object(name, value, "$", report, frozenset() if partial else self._required[name])
        if partial and isinstance(value, dict) and value.get("last_updated") is None:
            report.add("patch-last-updated", "$.last_updated", "a PATCH carries last_updated")
        return report

    def _compile(self, row: dict[str, Any]) -> _Field:
        kind, most = row["type"], row["max"]
        scalar = None if kind in self._objects else _scalar(kind, most, self._enums.get(kind))
        return _Field(row["card"] in ("1", "+"), row["card"] in ("*", "+"), scalar, kind)

    def _check_object(self, name: str, value: Any, path: str, report: Report, required: frozenset[str]) -> None:
        if type(value) is not dict:
            report.add("type", path, f"{name} is an object, not {_kind(value)}")
            return
        missing = required - value.keys()
        if missing:
            for column in sorted(missing):
                report.add("required", f"{path}.{column}", f"{name}.{column} is missing")
        fields = self._fields[name]
        for column, item in value.items():
            spec = fields.get(column)
            if spec is None:
                report.unknown.append(f"{name}.{column}")
            elif item is None:
                if column in required or (spec.required and not required):
                    report.add("required", f"{path}.{column}", f"{name}.{column} is null")
            elif spec.many:
                self._check_list(name, column, spec, item, path, report)
            else:
                self._check_one(spec, item, path, column, report)

    def _check_list(self, name: str, column: str, spec: _Field, item: Any, path: str, report: Report) -> None:
        if type(item) is not list:
            report.add("type", f"{path}.{column}", f"{name}.{column} is a list, not {_kind(item)}")
            return
        if spec.required and not item:
            report.add("required", f"{path}.{column}", f"{name}.{column} has no entry")
        for position, one in enumerate(item):
            self._check_one(spec, one, path, f"{column}[{position}]", report)

    def _check_one(self, spec: _Field, item: Any, path: str, column: str, report: Report) -> None:
        if spec.scalar is None:
            required = self._required[spec.object_name]
            self._check_object(spec.object_name, item, f"{path}.{column}", report, required)
            return
        found = spec.scalar(item)
        if found is not None:
            report.add(found[0], f"{path}.{column}", found[1])


def _scalar(kind: str, most: int | None, values: frozenset[str] | None) -> Scalar:
    if values is not None:
        return _enum(kind, values)
    match kind:
        case "CiString":
            return _text(most, printable_ascii=True)
        case "string" | "ModuleID":
            return _text(most, printable_ascii=False)
        case "URL":
            return _text(_URL_LENGTH, printable_ascii=False)
        case "DateTime":
            return _date_time
        case "boolean":
            return lambda value: None if type(value) is bool else ("type", f"a boolean, not {_kind(value)}")
        case "int":
            return _integer(most)
        case "number":
            return lambda value: None if type(value) in (int, Decimal) else ("type", f"a number, not {_kind(value)}")
    return lambda _value: None


def _enum(kind: str, values: frozenset[str]) -> Scalar:
    def check(value: Any) -> tuple[str, str] | None:
        if type(value) is not str:
            return "type", f"{kind} is a string, not {_kind(value)}"
        return None if value in values else ("enum", f"{value[:40]!r} is no {kind}")

    return check


def _text(most: int | None, *, printable_ascii: bool) -> Scalar:
    limit = most if most is not None else 1 << 30

    def check(value: Any) -> tuple[str, str] | None:
        if type(value) is not str:
            return "type", f"a string, not {_kind(value)}"
        if len(value) > limit:
            return "length", f"{len(value)} characters, at most {limit}"
        if printable_ascii and not (value.isascii() and value.isprintable()):
            return "characters", "a CiString holds printable ASCII only"
        return None

    return check


def _integer(digits: int | None) -> Scalar:
    limit = 10**digits if digits is not None else None

    def check(value: Any) -> tuple[str, str] | None:
        if type(value) is not int:
            return "type", f"an integer, not {_kind(value)}"
        return ("length", f"{value} has more than {digits} digits") if limit and abs(value) >= limit else None

    return check


def _date_time(value: Any) -> tuple[str, str] | None:
    if type(value) is not str:
        return "type", f"a DateTime is a string, not {_kind(value)}"
    if len(value) > _DATE_TIME_LENGTH:
        return "length", f"{len(value)} characters, at most {_DATE_TIME_LENGTH}"
    return None if _DATE_TIME.fullmatch(value) else ("datetime", f"{value!r} is not an OCPI DateTime")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "an integer"}
    return "null" if value is None else names.get(type(value), "a number with a fraction")


def load_tables() -> FieldTables:
    """Read the 2.2.1 tables that ship with the simulator."""
    return FieldTables(json.loads(files("infra.dev.partner").joinpath("spec_tables_2_2_1.json").read_text("utf-8")))
