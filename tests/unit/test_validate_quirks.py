"""What real feeds send: accepted and counted, or refused with the exact place (D-30)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hub.ocpi.checkers import MAX_LISTED_FAULTS
from hub.ocpi.validate import Checked, check_object, check_patch, contradictions
from tests.unit.ocpi_objects import (
    NOON,
    Json,
    a_cdr,
    a_charging_period,
    a_connector,
    a_location,
    a_session,
    a_tariff,
    a_token,
    an_evse,
    without,
)

BUILDERS: dict[str, Callable[..., Json]] = {
    "Location": a_location,
    "EVSE": an_evse,
    "Connector": a_connector,
    "Tariff": a_tariff,
    "Token": a_token,
    "Session": a_session,
    "CDR": a_cdr,
}


def check(kind: str, value: Any) -> Checked:
    return check_object("2.2.1", kind, value)


def refused(checked: Checked) -> list[str]:
    return [fault.message for fault in checked.refusals]


def counted(checked: Checked) -> list[tuple[str, str, int, str]]:
    return [(each.kind.value, each.field, each.count, each.path) for each in checked.deviations]


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_right_object_passes_in_silence(kind: str) -> None:
    assert check(kind, BUILDERS[kind]()) == Checked((), ())


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("Location", without(a_location(), "party_id"), "$.party_id: required field is missing"),
        ("Location", a_location(country_code=None), "$.country_code: required field is null"),
        ("Location", without(a_location(), "last_updated"), "$.last_updated: required field is missing"),
        ("Location", a_location(time_zone=None), "$.time_zone: required field is null"),
        ("Location", a_location(id=4711), "$.id: string expected, number found"),
        ("Location", a_location(publish="true"), "$.publish: boolean expected, string found"),
        ("Location", a_location(publish=1), "$.publish: boolean expected, number found"),
        ("Location", a_location(directions="left"), "$.directions: array expected, string found"),
        ("Location", a_location(operator=["E"]), "$.operator: object expected, array found"),
        ("Location", a_location(coordinates=None), "$.coordinates: required field is null"),
        (
            "Location",
            a_location(coordinates={"latitude": 51.8, "longitude": "5.723800"}),
            "$.coordinates.latitude: string expected, number found",
        ),
        (
            "Location",
            a_location(opening_times={"regular_hours": []}),
            "$.opening_times.twentyfourseven: required field is missing",
        ),
        (
            "Location",
            a_location(evses=[an_evse(), an_evse(uid=None)]),
            "$.evses[1].uid: required field is null",
        ),
        (
            "Location",
            a_location(evses=[an_evse(connectors=[a_connector(), a_connector(id="2", max_voltage="230")])]),
            "$.evses[0].connectors[1].max_voltage: integer expected, string found",
        ),
        (
            "Location",
            a_location(evses=[without(an_evse(), "connectors")]),
            "$.evses[0].connectors: required field is missing",
        ),
        ("Location", a_location(evses=[None]), "$.evses[0]: object expected, null found"),
        ("EVSE", without(an_evse(), "status"), "$.status: required field is missing"),
        ("EVSE", an_evse(status=3), "$.status: string expected, number found"),
        ("Connector", a_connector(tariff_ids=[None]), "$.tariff_ids[0]: string expected, null found"),
        ("Connector", a_connector(tariff_ids="T1"), "$.tariff_ids: array expected, string found"),
        ("Connector", a_connector(max_amperage=None), "$.max_amperage: required field is null"),
        ("Connector", a_connector(max_amperage=True), "$.max_amperage: integer expected, boolean found"),
        ("Connector", a_connector(last_updated=1717329600), "$.last_updated: date-time string expected, number found"),
        (
            "Connector",
            a_connector(last_updated="yesterday"),
            "$.last_updated: date-time expected, a string that is none found",
        ),
        (
            "Tariff",
            a_tariff(elements=[{"price_components": [{"type": "ENERGY", "price": "0.35", "step_size": 1}]}]),
            "$.elements[0].price_components[0].price: number expected, string found",
        ),
        ("Tariff", a_tariff(elements=None), "$.elements: required field is null"),
        ("Session", a_session(kwh="1.5"), "$.kwh: number expected, string found"),
        ("Session", without(a_session(), "cdr_token"), "$.cdr_token: required field is missing"),
        ("CDR", without(a_cdr(), "charging_periods"), "$.charging_periods: required field is missing"),
        ("CDR", a_cdr(total_cost=0.53), "$.total_cost: object expected, number found"),
        ("Token", a_token(valid=None), "$.valid: required field is null"),
        ("Token", [a_token()], "$: object expected, array found"),
        ("Token", None, "$: object expected, null found"),
    ],
)
def test_missing_required_fields_and_wrong_types_are_refused(kind: str, value: Any, message: str) -> None:
    assert refused(check(kind, value)) == [message]


@pytest.mark.parametrize(
    ("kind", "value", "path"),
    [
        ("Location", a_location(name="A\0B"), "$.name"),
        ("Location", a_location(id="A\0B"), "$.id"),
        ("Location", a_location(facilities=["WIFI", "A\0B"]), "$.facilities[1]"),
        ("Location", a_location(vendor={"deep": [{"er": "A\0B"}]}), "$.vendor"),
        ("Location", a_location(vendor={"A\0B": 1}), "$.vendor"),
        ("Location", a_location(**{"A\0B": 1}), "$[*]"),
        ("Location", a_location(evses=[an_evse(status="A\0B")]), "$.evses[0].status"),
        ("Location", a_location(last_updated=NOON + "\0"), "$.last_updated"),
        ("Tariff", a_tariff(start_date_time="\0"), "$.start_date_time"),
        ("Response", {"status_code": 1000, "timestamp": NOON, "data": [{"a": "\0"}]}, "$.data"),
    ],
)
def test_a_nul_is_refused_wherever_it_stands(kind: str, value: Json, path: str) -> None:
    assert refused(check(kind, value)) == [f"{path}: string holds an escaped NUL"]


@pytest.mark.parametrize(
    ("kind", "value", "deviation"),
    [
        ("Location", a_location(address="A" * 256), ("length", "Location.address", 1, "$.address")),
        ("Location", a_location(postal_code="6602 AB Wijchen"), ("length", "Location.postal_code", 1, "$.postal_code")),
        ("Location", a_location(id="L" * 37), ("length", "Location.id", 1, "$.id")),
        ("Location", a_location(country="Polska"), ("length", "Location.country", 1, "$.country")),
        ("Location", a_location(country="PL"), ("pattern", "Location.country", 1, "$.country")),
        ("Location", a_location(address=""), ("empty_text", "Location.address", 1, "$.address")),
        ("Location", a_location(name="Two\nlines"), ("characters", "Location.name", 1, "$.name")),
        ("Location", a_location(id="LÖC1"), ("characters", "Location.id", 1, "$.id")),
        ("Location", a_location(parking_type="MOON"), ("enum_value", "Location.parking_type", 1, "$.parking_type")),
        ("Location", a_location(help_phone="112"), ("unknown_field", "Location", 1, "$.help_phone")),
        ("Location", a_location(**{"odd name": 1}), ("unknown_field", "Location", 1, "$[*]")),
        (
            "Location",
            a_location(coordinates={"latitude": "51.8", "longitude": "5.723800"}),
            ("pattern", "GeoLocation.latitude", 1, "$.coordinates.latitude"),
        ),
        (
            "Location",
            a_location(coordinates={"latitude": "0.000000", "longitude": "0.000000"}),
            ("coordinates", "GeoLocation", 1, "$.coordinates"),
        ),
        (
            "Location",
            a_location(coordinates={"latitude": "91.000000", "longitude": "5.723800"}),
            ("coordinates", "GeoLocation", 1, "$.coordinates"),
        ),
        (
            "Location",
            a_location(opening_times={"twentyfourseven": False}),
            ("opening_hours", "Hours", 1, "$.opening_times"),
        ),
        (
            "Location",
            a_location(
                opening_times={
                    "twentyfourseven": False,
                    "regular_hours": [{"weekday": 0, "period_begin": "08:00", "period_end": "17:00"}],
                }
            ),
            ("opening_hours", "RegularHours", 1, "$.opening_times.regular_hours[0]"),
        ),
        (
            "Location",
            a_location(
                opening_times={
                    "twentyfourseven": False,
                    "regular_hours": [{"weekday": 1, "period_begin": "24:00", "period_end": "17:00"}],
                }
            ),
            ("pattern", "RegularHours.period_begin", 1, "$.opening_times.regular_hours[0].period_begin"),
        ),
        (
            "Location",
            a_location(operator={"name": "E", "website": "www.example.com"}),
            ("pattern", "BusinessDetails.website", 1, "$.operator.website"),
        ),
        (
            "Location",
            a_location(images=[{"url": "https://a.example/1", "category": "OTHER", "type": "image/jpeg"}]),
            ("length", "Image.type", 1, "$.images[0].type"),
        ),
        (
            "Location",
            a_location(images=[{"url": "https://a.example/1", "category": "OTHER", "type": "png", "width": 100000}]),
            ("length", "Image.width", 1, "$.images[0].width"),
        ),
        (
            "Location",
            a_location(directions=[{"language": "DE", "text": "links"}]),
            ("pattern", "DisplayText.language", 1, "$.directions[0].language"),
        ),
        (
            "Location",
            a_location(evses=[an_evse(), an_evse()]),
            ("duplicate_id", "Location", 1, "$"),
        ),
        ("EVSE", an_evse(connectors=[]), ("empty_list", "EVSE.connectors", 1, "$.connectors")),
        ("EVSE", an_evse(uid=""), ("empty_text", "EVSE.uid", 1, "$.uid")),
        ("EVSE", an_evse(status="CHARGING "), ("enum_value", "EVSE.status", 1, "$.status")),
        (
            "EVSE",
            an_evse(connectors=[a_connector(id="a"), a_connector(id="A")]),
            ("duplicate_id", "EVSE", 1, "$"),
        ),
        ("Connector", a_connector(max_amperage=7.4), ("fraction", "Connector.max_amperage", 1, "$.max_amperage")),
        ("Connector", a_connector(format="socket"), ("enum_value", "Connector.format", 1, "$.format")),
        (
            "Connector",
            a_connector(standard="IEC_60309_2_THREE_16"),
            ("enum_value", "Connector.standard", 1, "$.standard"),
        ),
        (
            "Connector",
            a_connector(last_updated="2025-03-12 10:54:38"),
            ("date_time_form", "Connector.last_updated", 1, "$.last_updated"),
        ),
        (
            "Connector",
            a_connector(last_updated="2025-03-12T10:54:38.838579Z"),
            ("date_time_form", "Connector.last_updated", 1, "$.last_updated"),
        ),
        (
            "Connector",
            a_connector(last_updated="2025-03-12T10:54:38+02:00"),
            ("date_time_form", "Connector.last_updated", 1, "$.last_updated"),
        ),
        (
            "Tariff",
            a_tariff(start_date_time="soon"),
            ("date_time_unreadable", "Tariff.start_date_time", 1, "$.start_date_time"),
        ),
        ("Tariff", a_tariff(elements=[]), ("empty_list", "Tariff.elements", 1, "$.elements")),
        ("Token", a_token(uid="0" * 37), ("length", "Token.uid", 1, "$.uid")),
        ("Token", a_token(type="EMAID"), ("enum_value", "Token.type", 1, "$.type")),
        (
            "CDR",
            a_cdr(start_date_time="1970-1-1T00:00:00Z"),
            ("date_time_form", "CDR.start_date_time", 1, "$.start_date_time"),
        ),
    ],
)
def test_other_departures_are_accepted_and_counted(
    kind: str, value: Json, deviation: tuple[str, str, int, str]
) -> None:
    checked = check(kind, value)
    assert refused(checked) == []
    assert counted(checked) == [deviation]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Location", a_location(evses=[])),
        ("Location", a_location(evses=None, images=None, opening_times=None, name=None)),
        ("Location", without(a_location(), "evses")),
        ("Location", a_location(address="Площадь 1", name="Kauf\u00a0haus")),
        ("Location", a_location(last_updated="2025-03-13T06:59:09")),
        ("Location", a_location(last_updated="2025-03-13T06:59:09.123Z")),
        ("Connector", a_connector(max_amperage=16.0)),
        ("Connector", without(a_connector(), "tariff_ids")),
        ("Session", a_session(evse_uid="#NA", connector_id="#NA", kwh=1)),
        ("Location", a_location(country="#NA")),
        ("Token", a_token(issuer="#NA", language=None)),
        ("CDR", a_cdr(meter_id="#NA", tariffs=None, total_cost={"excl_vat": -0.53}, credit=True)),
    ],
)
def test_what_the_specification_allows_is_not_counted(kind: str, value: Json) -> None:
    assert check(kind, value) == Checked((), ())


def test_equal_deviations_are_one_line_with_a_count_and_the_first_place() -> None:
    connectors = [a_connector(id=str(number), status="AVAILABLE", format="plug") for number in range(50)]
    assert counted(check("EVSE", an_evse(connectors=connectors))) == [
        ("enum_value", "Connector.format", 50, "$.connectors[0].format"),
        ("unknown_field", "Connector", 50, "$.connectors[0].status"),
    ]


def test_only_the_first_faults_are_listed() -> None:
    checked = check("Location", a_location(evses=[{} for _ in range(100)]))
    assert len(checked.refusals) == MAX_LISTED_FAULTS == 10
    assert refused(checked)[0] == "$.evses[0].uid: required field is missing"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (
            "Token",
            a_token(uid=["SECRET"], valid="SECRET", type={"SECRET": 1}, last_updated="SECRET", issuer="SECRET\0"),
        ),
        ("Credentials", {"token": 5, "url": {"SECRET": 1}, "roles": "SECRET"}),
    ],
)
def test_no_message_holds_a_value(kind: str, value: Json) -> None:
    assert "SECRET" not in str(check(kind, value))
    assert check(kind, value).refusals


def test_a_deeply_nested_unknown_field_is_only_counted() -> None:
    deep: Json = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert counted(check("Token", a_token(extra=deep))) == [("unknown_field", "Token", 1, "$.extra")]


@pytest.mark.parametrize("decode", [msgspec.json.decode, msgspec.json.Decoder(float_hook=Decimal).decode])
def test_numbers_beyond_all_bounds_raise_nothing(decode: Callable[[bytes], Any]) -> None:
    huge = decode(b"[1e308, 123456789012345678901234567890, -0.0, 1e-320]")
    for number in huge:
        check("Connector", a_connector(max_voltage=number))
        check("Location", a_location(images=[{"width": number}]))


def test_a_patch_needs_last_updated_and_nothing_else() -> None:
    patched = check_patch("2.2.1", "EVSE", {"status": "CHARGING"})
    assert refused(patched) == ["$.last_updated: required field is missing"]
    assert check_patch("2.2.1", "EVSE", {"status": "CHARGING", "last_updated": NOON}) == Checked((), ())


@pytest.mark.parametrize(
    ("kind", "patch", "message"),
    [
        ("EVSE", {"status": None}, "$.status: required field is null"),
        ("EVSE", {"last_updated": None}, "$.last_updated: required field is null"),
        ("EVSE", {"last_updated": "now"}, "$.last_updated: date-time expected, a string that is none found"),
        ("EVSE", {"connectors": [{"id": "1"}]}, "$.connectors[0].standard: required field is missing"),
        ("Location", {"evses": [without(an_evse(), "uid")]}, "$.evses[0].uid: required field is missing"),
        ("Location", {"coordinates": {"latitude": "51.80834"}}, "$.coordinates.longitude: required field is missing"),
        ("Session", {"charging_periods": [{}]}, "$.charging_periods[0].start_date_time: required field is missing"),
        ("Token", {"valid": "no"}, "$.valid: boolean expected, string found"),
    ],
)
def test_what_a_patch_holds_must_be_right_and_whole(kind: str, patch: Json, message: str) -> None:
    assert refused(check_patch("2.2.1", kind, {"last_updated": NOON} | patch))[0] == message


def test_a_patch_may_clear_an_optional_field_and_its_deviations_are_counted() -> None:
    patch: Json = {"name": None, "foo": 1, "evses": [], "last_updated": "2026-06-02 12:00:00"}
    assert counted(check_patch("2.2.1", "Location", patch)) == [
        ("unknown_field", "Location", 1, "$.foo"),
        ("date_time_form", "Location.last_updated", 1, "$.last_updated"),
    ]


def test_a_patch_that_appends_charging_periods_is_accepted() -> None:
    patch = {"charging_periods": [a_charging_period()], "kwh": 2, "last_updated": NOON}
    assert check_patch("2.2.1", "Session", patch) == Checked((), ())


def test_an_owner_or_id_that_contradicts_the_url_is_found() -> None:
    expected = {"country_code": "NL", "party_id": "ENE", "id": "LOC1"}
    assert contradictions(a_location(party_id="ene", id="loc1"), expected) == ()
    assert [fault.message for fault in contradictions(a_location(party_id="EVB", id="LOC2"), expected)] == [
        "$.party_id: contradicts the URL",
        "$.id: contradicts the URL",
    ]


def test_an_absent_owner_contradicts_nothing() -> None:
    assert contradictions({"status": "CHARGING"}, {"uid": "E1"}) == ()
    assert contradictions(["not", "an", "object"], {"uid": "E1"}) == ()


@pytest.mark.parametrize(("version", "kind"), [("2.2.1", "Terminal"), ("9.9", "Location")])
def test_an_unknown_object_is_the_callers_mistake(version: str, kind: str) -> None:
    with pytest.raises(LookupError, match=kind):
        check_object(version, kind, {})
