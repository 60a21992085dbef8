"""Whatever JSON comes: the checker never raises, and what it accepts the models can read."""

import json
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hub.ocpi.v2_2_1 import MODELS
from hub.ocpi.validate import check_object, check_patch
from tests.unit.ocpi_objects import Json, a_cdr, a_location, a_session, a_tariff, a_token, an_evse

FIELD_NAMES = sorted({name for model in MODELS.values() for name in model.model_fields})

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["2026-06-02T12:00:00Z", "2025-03-12 10:54:38", "#NA", "", "AVAILABLE", "51.808340", "A\0B"])
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELD_NAMES) | st.text(), inner, max_size=6)
    ),
    max_leaves=30,
)

SEEDS: dict[str, Json] = {
    "Location": a_location(
        opening_times={"twentyfourseven": True, "exceptional_closings": []},
        operator={"name": "E", "logo": {"url": "https://a.example/1", "category": "OTHER", "type": "png", "width": 5}},
    ),
    "EVSE": an_evse(status_schedule=[{"period_begin": "2026-06-02T12:00:00Z", "status": "PLANNED"}]),
    "Tariff": a_tariff(energy_mix={"is_green_energy": True, "energy_sources": [{"source": "WIND", "percentage": 1}]}),
    "Token": a_token(energy_contract={"supplier_name": "A"}),
    "Session": a_session(),
    "CDR": a_cdr(signed_data={"encoding_method": "OCMF", "signed_values": []}),
}


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below ``value``."""
    found: list[tuple[Any, Any]] = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        found.append((value, key))
        if isinstance(item, dict | list):
            found.extend(places_in(item))
    return found


def damaged(seed: Json, damages: list[tuple[int, Any]]) -> Json:
    """Return a copy of ``seed`` in which some values, wherever they stand, are replaced or removed."""
    value: Json = json.loads(json.dumps(seed))
    for choice, replacement in damages:
        places = places_in(value)
        container, key = places[choice % len(places)]
        if replacement == "REMOVE":
            del container[key]
        else:
            container[key] = replacement
        if not value:
            break
    return value


@given(kind=st.sampled_from(sorted(MODELS)), value=json_values)
@settings(max_examples=300, deadline=None)
def test_no_json_value_makes_the_checker_raise(kind: str, value: Any) -> None:
    assert check_object("2.2.1", kind, value).refusals is not None
    assert check_patch("2.2.1", kind, value).refusals is not None


@given(
    kind=st.sampled_from(sorted(SEEDS)),
    damages=st.lists(st.tuples(st.integers(0, 10_000), json_values | st.just("REMOVE")), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_the_models_read_what_the_checker_accepts_and_nothing_else(kind: str, damages: list[tuple[int, Any]]) -> None:
    value = damaged(SEEDS[kind], damages)
    refusals = [fault for fault in check_object("2.2.1", kind, value).refusals if "NUL" not in fault.problem]
    if refusals:
        with pytest.raises(ValidationError):
            MODELS[kind].model_validate(value)
    else:
        MODELS[kind].model_validate(value).model_dump_json()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.decimals(allow_nan=False), min_size=1))
def test_any_parsed_number_is_judged(numbers: list[float | Decimal]) -> None:
    for number in numbers:
        connector = a_location()["evses"][0]["connectors"][0] | {"max_voltage": number}
        assert check_object("2.2.1", "Connector", connector).refusals == ()


def test_many_shuffled_fields_give_the_same_verdict() -> None:
    location = a_location(address=None, foo=1, country="PL")
    items = list(location.items())
    verdict = check_object("2.2.1", "Location", location)
    for seed in range(20):
        random.Random(seed).shuffle(items)
        shuffled = check_object("2.2.1", "Location", dict(items))
        assert set(shuffled.refusals) == set(verdict.refusals)
        assert set(shuffled.deviations) == set(verdict.deviations)
