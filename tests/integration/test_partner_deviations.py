"""What is not as OCPI has it is noted with its rule and place, and taken all the same."""

import json
from decimal import Decimal
from typing import Any

import pytest

from infra.dev.partner.tables import load_tables
from tests.integration.partner_rig import (
    Driven,
    a_cdr,
    a_location,
    a_pair,
    a_session,
    a_tariff,
    a_token,
    an_evse,
)


async def found(driven: Driven, *, where: str = "request") -> list[tuple[str, str]]:
    return [(one["rule"], one["path"]) for one in await driven.get("/deviations") if one["where"] == where]


async def test_what_is_right_has_no_deviation() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location())
        await cpo.send("PUT", "locations", "NL/CPO/L1/E2", to="NL/MSP", body=an_evse("E2"))
        await cpo.send("PUT", "tariffs", "NL/CPO/T1", to="NL/MSP", body=a_tariff())
        await cpo.send("PUT", "sessions", "NL/CPO/S1", to="NL/MSP", body=a_session())
        await cpo.send("POST", "cdrs", to="NL/MSP", body=a_cdr())
        await emsp.send("PUT", "tokens", "NL/MSP/012345678", query="type=RFID", to="NL/CPO", body=a_token())
        await cpo.send("POST", "tokens", "X/authorize", interface="sender", to="NL/MSP")
        for driven in (cpo, emsp):
            assert await driven.get("/deviations") == []


@pytest.mark.parametrize(
    ("order", "rule"),
    [
        ({"authorization": "token x"}, "authorization"),
        ({"authorization": None}, "authorization"),
        ({"headers": {"X-Request-ID": None}}, "message-ids"),
        ({"headers": {"X-Correlation-ID": None}}, "message-ids"),
        ({"headers": {"Content-Type": None}}, "content-type"),
        ({"headers": {"Content-Type": "text/plain"}}, "content-type"),
        ({"headers": {"OCPI-to-party-id": None}}, "routing-missing"),
        ({"headers": {"OCPI-from-country-code": None, "OCPI-from-party-id": None}}, "routing-missing"),
        ({"to": "NL/XXX"}, "to-not-ours"),
    ],
)
async def test_header_that_deviates_is_noted(order: dict[str, Any], rule: str) -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "locations", "NL/CPO/L1", **{"to": "NL/MSP", "body": a_location(), **order})
        assert [name for name, _ in await found(emsp)] == [rule]


async def test_request_id_that_comes_twice_is_noted() -> None:
    async with a_pair() as (cpo, emsp):
        for _ in range(2):
            await cpo.send("GET", "versions", headers={"X-Request-ID": "twice"})
        (deviation,) = await emsp.get("/deviations")
        assert (deviation["rule"], deviation["request_id"]) == ("request-id-repeated", "twice")


async def test_routing_headers_on_a_configuration_module_are_noted() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("GET", "versions", headers={"OCPI-to-party-id": "MSP", "OCPI-to-country-code": "NL"})
        assert await found(emsp) == [("routing-forbidden", "ocpi-to-country-code")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"address": None}, ("required", "$.address")),
        ({"publish": "true"}, ("type", "$.publish")),
        ({"city": "x" * 46}, ("length", "$.city")),
        ({"parking_type": "ON_ROOF"}, ("enum", "$.parking_type")),
        ({"last_updated": "2026-06-01 10:00:00"}, ("datetime", "$.last_updated")),
        ({"evses": {}}, ("type", "$.evses")),
        ({"evses": [an_evse(connectors=[])]}, ("required", "$.evses[0].connectors")),
        ({"evses": [an_evse(capabilities=["FLY"])]}, ("enum", "$.evses[0].capabilities[0]")),
        ({"coordinates": {"latitude": "51.7"}}, ("required", "$.coordinates.longitude")),
        ({"images": [{"url": "x", "category": "OTHER", "type": "jpeg", "width": 1.5}]}, ("type", "$.images[0].width")),
        ({"id": "L2"}, ("url-and-body", "$.id")),
        ({"party_id": "OTH"}, ("url-and-body", "$.party_id")),
    ],
)
async def test_field_that_deviates_is_noted_and_the_object_taken(
    change: dict[str, Any], expected: tuple[str, str]
) -> None:
    async with a_pair() as (cpo, emsp):
        sent = await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location(**change))
        assert sent["status_code"] == 1000
        assert await found(emsp) == [expected]


async def test_missing_field_is_noted() -> None:
    async with a_pair() as (cpo, emsp):
        body = a_location()
        del body["time_zone"]
        await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=body)
        assert await found(emsp) == [("required", "$.time_zone")]


async def test_patch_needs_last_updated_and_nothing_else() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location())
        moment = "2026-06-01T12:00:00Z"
        await cpo.send(
            "PATCH", "locations", "NL/CPO/L1", to="NL/MSP", body={"city": "Beuningen", "last_updated": moment}
        )
        assert await found(emsp) == []
        await cpo.send("PATCH", "locations", "NL/CPO/L1", to="NL/MSP", body={"city": "Druten"})
        assert await found(emsp) == [("patch-last-updated", "$.last_updated")]


async def test_unknown_field_is_counted_and_no_deviation() -> None:
    async with a_pair() as (cpo, emsp):
        for number in range(2):
            await cpo.send("PUT", "locations", f"NL/CPO/L{number}", to="NL/MSP", body=a_location(f"L{number}", foo=1))
        assert await found(emsp) == []
        assert (await emsp.get("/state"))["unknown_fields"] == {"Location.foo": 2}


@pytest.mark.parametrize("body", [{"raw": "{"}, {"raw_base64": "Ilx1ZDgwMCI="}, {"raw_base64": "eyJhIjoi/yJ9"}])
async def test_body_that_is_not_json_is_400_and_noted(body: dict[str, str]) -> None:
    async with a_pair() as (cpo, emsp):
        sent = await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", **body)
        assert (sent["status"], sent["status_code"]) == (400, 2001)
        assert await found(emsp) == [("json", "$")]


async def test_command_without_its_fields_is_noted() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.send("POST", "commands", "STOP_SESSION", to="NL/CPO", body={"response_url": "http://127.0.0.1:1/"})
        assert await found(cpo) == [("required", "$.session_id")]


async def test_answer_that_deviates_is_noted_by_who_asked() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("wrong_envelope")
        await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location())
        assert await found(cpo, where="answer") == [("required", "$.status_code"), ("required", "$.timestamp")]


async def test_pulled_object_that_deviates_is_noted_with_its_place() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.post("/own", [a_tariff("T1"), a_tariff("T2", currency="EURO")])
        await emsp.post("/pull", {"module": "tariffs", "to": "NL/CPO"})
        assert await found(emsp, where="answer") == [("length", "$.data[1].currency")]


async def test_counts_and_record_can_be_reset() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location(city=None))
        assert (await emsp.get("/state"))["deviations"] == {"required": 1}
        await emsp.post("/reset_record")
        assert (await emsp.get("/state"))["deviations"] == {}
        assert await emsp.received() == []


async def test_light_record_keeps_neither_bodies_nor_checks() -> None:
    async with a_pair(record="light") as (cpo, emsp):
        sent = await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location(city=None))
        (record,) = await emsp.received(module="locations")
        assert (record["body"], record["body_sha256"]) == (None, sent["sent_sha256"])
        assert await emsp.get("/deviations") == []
        assert len(await emsp.get("/store/locations")) == 1


def test_every_object_of_the_tables_reports_each_missing_required_field() -> None:
    tables = load_tables()
    assert [found.path for found in tables.check("Price", {}).findings] == ["$.excl_vat"]
    report = tables.check("Token", json.loads("{}"))
    assert {found.rule for found in report.findings} == {"required"}
    assert len(report.findings) == 9


def test_number_may_have_a_fraction_and_an_integer_may_not() -> None:
    tables = load_tables()
    assert tables.check("Price", {"excl_vat": Decimal("1.50")}).findings == []
    (finding,) = tables.check("CommandResponse", {"result": "ACCEPTED", "timeout": Decimal("1.5")}).findings
    assert (finding.rule, finding.path) == ("type", "$.timeout")
