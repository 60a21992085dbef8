"""The models say what the tables of the specification say: every object, field, cardinality, type, length and enum value."""

import inspect
import json
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import pytest

from hub.ocpi.fields import Anything, Array, Enumeration, FieldFacts, Nested, Shape, fields_of
from hub.ocpi.types import (
    URL,
    BooleanFact,
    CiString,
    DateTimeFact,
    IntegerFact,
    NumberFact,
    OcpiObject,
    String,
)
from hub.ocpi.v2_2_1 import MODELS, enums

TABLES = json.loads((Path(__file__).parents[1] / "fixtures" / "spec_tables_2_2_1.json").read_text("utf-8"))["2.2.1"]
ENUMS = {
    name: word
    for name, word in vars(enums).items()
    if inspect.isclass(word) and issubclass(word, StrEnum) and word is not StrEnum
}

NAMES = {"Data": "VersionDetails", "Response format": "Response"}
"""Two tables stand below a heading of prose, so their models have names of our own."""

NOT_IN_TABLES = {"ModuleID"}
"""The specification lists the module ids in a table of another form; the extract types the field as ModuleID only."""

LENGTHS = {
    ("Location", "address"): 255,  # 45 in d2; 255 on the bugfix branch of 2.2.1 and in 2.3.0
    ("Location", "state"): 45,  # 20 in d2; 45 on the bugfix branch and in 2.3.0
    ("SignedValue", "plain_data"): 5000,  # 512 in d2, less than its own signed_data; 5000 on the bugfix branch
    ("GeoLocation", "latitude"): 11,  # the table's own pattern allows one character more than its length
    ("GeoLocation", "longitude"): 12,
    ("AdditionalGeoLocation", "latitude"): 11,
    ("AdditionalGeoLocation", "longitude"): 12,
}
"""Where the tables contradict themselves or were corrected, and the model follows the correction."""

FREE_FORM = {("Response format", "data")}
"""Typed "Array or Object or String" with cardinality "* or ?": any JSON value."""

SCALARS: dict[type[Shape], str] = {
    IntegerFact: "int",
    NumberFact: "number",
    BooleanFact: "boolean",
    DateTimeFact: "DateTime",
}


def field_rows() -> list[tuple[str, dict[str, Any]]]:
    return [(name, row) for name, table in TABLES["objects"].items() for row in table["fields"]]


def facts_of(table: str, field: str) -> FieldFacts:
    return fields_of(MODELS[NAMES.get(table, table)])[field]


def cardinality_of(facts: FieldFacts) -> str:
    if isinstance(facts.shape, Array):
        return "+" if facts.required else "*"
    return "1" if facts.required else "?"


def type_of(shape: Shape) -> str:
    match shape:
        case Array(item):
            return type_of(item)
        case Nested(model):
            return model.__name__
        case Enumeration(words):
            return words.__name__
        case String() if shape == get_args(URL)[1]:
            return "URL"
        case CiString():
            return "CiString"
        case String():
            return "string"
        case _:
            return SCALARS[type(shape)]


def length_of(shape: Shape) -> int | None:
    match shape:
        case Array(item):
            return length_of(item)
        case String(limit) if type_of(shape) != "URL":
            return limit
        case IntegerFact(digits):
            return digits
        case _:
            return None


def test_there_is_a_model_for_every_object_and_none_besides() -> None:
    assert set(MODELS) == {NAMES.get(name, name) for name in TABLES["objects"]}
    assert len(MODELS) == 56


def test_there_is_an_enum_for_every_enum_and_none_besides() -> None:
    assert set(ENUMS) - NOT_IN_TABLES == set(TABLES["enums"])
    assert len(TABLES["enums"]) == 33


@pytest.mark.parametrize("name", sorted(TABLES["objects"]))
def test_a_model_has_the_fields_of_its_table_in_their_order(name: str) -> None:
    fields = list(fields_of(MODELS[NAMES.get(name, name)]))
    assert fields == [row["name"] for row in TABLES["objects"][name]["fields"]]


def test_every_field_has_the_cardinality_of_its_table() -> None:
    said = {(name, row["name"]): row["card"] for name, row in field_rows()}
    found = {key: cardinality_of(facts_of(*key)) for key in said}
    assert {key: found[key] for key in said if found[key] != said[key] and key not in FREE_FORM} == {}


def test_every_field_has_the_type_of_its_table() -> None:
    said = {(name, row["name"]): row["type"] for name, row in field_rows() if (name, row["name"]) not in FREE_FORM}
    assert {key: type_of(facts_of(*key).shape) for key in said} == said


def test_every_field_has_the_length_of_its_table_or_of_its_correction() -> None:
    said = {(name, row["name"]): row["max"] for name, row in field_rows()}
    assert {key: length_of(facts_of(*key).shape) for key in said} == said | LENGTHS


def test_every_exception_is_one() -> None:
    said = {(name, row["name"]): row["max"] for name, row in field_rows()}
    assert all(said[key] < limit for key, limit in LENGTHS.items())
    assert all(isinstance(facts_of(*key).shape, Anything) for key in FREE_FORM)


@pytest.mark.parametrize("name", sorted(TABLES["enums"]))
def test_an_enum_has_the_values_of_its_table(name: str) -> None:
    assert [word.value for word in ENUMS[name]] == TABLES["enums"][name]["values"]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_names_its_chapter(model: type[OcpiObject]) -> None:
    assert "Source: OCPI 2.2.1, " in (model.__doc__ or "")


@pytest.mark.parametrize("word", ENUMS.values(), ids=ENUMS)
def test_an_enum_names_its_chapter(word: type[StrEnum]) -> None:
    assert "Source: OCPI 2.2.1, " in (word.__doc__ or "")


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_keeps_unknown_fields_and_cannot_be_changed(model: type[OcpiObject]) -> None:
    assert model.model_config["extra"] == "allow"
    assert model.model_config["frozen"] is True
