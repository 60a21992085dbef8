"""The official examples of 2.2.1 are accepted without a word, but for the two that break the specification's own tables."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.ocpi.v2_2_1 import MODELS
from hub.ocpi.validate import Checked, check_object, check_patch

EXAMPLES = Path(__file__).parents[1] / "fixtures" / "ocpi-spec" / "2.2.1-d2"

BROKEN = {
    "location_put_example_add_evse.json": (
        [
            "$.connectors[0].power_type: required field is missing",
            "$.connectors[0].max_voltage: required field is missing",
            "$.connectors[0].max_amperage: required field is missing",
            "$.connectors[0].last_updated: required field is missing",
            "$.physical_reference: string expected, number found",
        ],
        [("unknown_field", "EVSE", "$.floor")],
    ),
    "tariff_put_example.json": (["$.last_updated: required field is missing"], []),
}

KINDS = {
    "cdr_": "CDR",
    "credentials_": "Credentials",
    "location_energymix_": "EnergyMix",
    "location_hours_": "Hours",
    "location_regularhours_": "Hours",
    "location_patch_example_location": "Location",
    "location_patch_example_remove_evse": "EVSE",
    "location_patch_example_status": "EVSE",
    "location_patch_example_tariff": "Connector",
    "location_put_example_add_evse": "EVSE",
    "location_example": "Location",
    "session_": "Session",
    "tariff": "Tariff",
    "token_": "Token",
    "transport_and_format_get_token_": "Token",
    "transport_and_format_version_details_": "VersionDetails",
    "transport_and_format_version_info_": "Version",
    "type_displaytext_": "DisplayText",
    "version_details_": "VersionDetails",
    "versions_info_": "Version",
}
"""What a file holds, by how its name begins."""

WRAPPERS = ("energy_mix", "opening_times", "data")


def examples(*, patch: bool) -> list[Path]:
    return [path for path in sorted(EXAMPLES.glob("*.json")) if ("_patch_" in path.name) is patch]


def kind_of(path: Path) -> str:
    (kind,) = {kind for start, kind in KINDS.items() if path.name.startswith(start)}
    return kind


def objects_in(path: Path) -> Iterator[Any]:
    value = json.loads(path.read_text("utf-8"))
    if isinstance(value, dict) and kind_of(path) != "Location":
        value = next((value[name] for name in WRAPPERS if name in value), value)
    yield from value if isinstance(value, list) else [value]


def found_in(checked: Checked) -> tuple[list[str], list[tuple[str, str, str]]]:
    deviations = [(deviation.kind.value, deviation.field, deviation.path) for deviation in checked.deviations]
    return [fault.message for fault in checked.refusals], deviations


def test_all_examples_of_the_edition_are_here() -> None:
    assert len(list(EXAMPLES.glob("*.json"))) == 59
    assert {path.name for path in EXAMPLES.glob("*.json")} > set(BROKEN)


@pytest.mark.parametrize("path", examples(patch=False), ids=lambda path: path.stem)
def test_an_example_is_found_as_the_specification_made_it(path: Path) -> None:
    for value in objects_in(path):
        assert found_in(check_object("2.2.1", kind_of(path), value)) == BROKEN.get(path.name, ([], []))


@pytest.mark.parametrize("path", examples(patch=True), ids=lambda path: path.stem)
def test_a_patch_example_is_accepted(path: Path) -> None:
    for value in objects_in(path):
        assert found_in(check_patch("2.2.1", kind_of(path), value)) == ([], [])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("transport_*.json")), ids=lambda path: path.stem)
def test_an_envelope_example_is_accepted(path: Path) -> None:
    assert found_in(check_object("2.2.1", "Response", json.loads(path.read_text("utf-8")))) == ([], [])


@pytest.mark.parametrize("path", examples(patch=False), ids=lambda path: path.stem)
def test_a_model_reads_an_example_and_writes_the_same_values(path: Path) -> None:
    model = MODELS[kind_of(path)]
    for value in (each for each in objects_in(path) if path.name not in BROKEN):
        written = json.loads(model.model_validate(value).model_dump_json(exclude_unset=True))
        assert written == value
