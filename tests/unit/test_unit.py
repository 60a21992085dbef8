"""Keys of units, and how a whole object is put together from them."""

import json

import pytest

from hub.errors import UndecodableRecord
from hub.model.unit import Level, UnitKey
from hub.routing.push import read_push
from tests.unit.routing_objects import an_envelope
from tests.unit.unit_objects import Held, a_location, a_push, an_evse, at


def test_keys_are_folded() -> None:
    assert a_push("PUT", "locations/loc-a", {}).target == UnitKey("locations", "NL", "CP1", "LOC-A", "")
    assert a_push("PUT", "locations/loc-a/e1", {}).target == UnitKey("locations", "NL", "CP1", "LOC-A", "E1")
    assert a_push("PUT", "tariffs/t1", {}).target == UnitKey("tariffs", "NL", "CP1", "T1", "")


@pytest.mark.parametrize(("query", "key"), [("", "ABC:RFID"), ("type=APP_USER", "ABC:APP_USER"), ("type=", "ABC:RFID")])
def test_a_token_is_known_by_its_uid_and_type(query: str, key: str) -> None:
    assert a_push("PUT", "tokens/abc", {}, query=query).target == UnitKey("tokens", "NL", "CP1", key, "")


def test_path_parts_are_decoded() -> None:
    assert a_push("PUT", "tariffs/a%2Fb%20c", {}).target.object_id == "A/B C"


def test_a_connector_is_a_part_of_its_evse() -> None:
    change = a_push("PATCH", "locations/L1/e1/2", {})

    assert (change.target.evse_uid, change.level, change.connector_id) == ("E1", Level.CONNECTOR, "2")


def test_an_evse_without_a_uid_is_not_taken_for_its_location() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/L1", a_location(evses=[an_evse(uid="")])))

    assert len(held.units) == 2
    assert len(held.object()["evses"]) == 1


@pytest.mark.parametrize(
    ("tail", "body"),
    [("NL/CP1", b"{}"), ("", b"{}"), ("NL/CP1/L1", b"[]"), ("NL/CP1/L1", b"{"), ("NL/CP1/L1", b'{"evses":{}}')],
)
def test_what_is_no_push_is_undecodable(tail: str, body: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        read_push(an_envelope(module="locations", method="PUT", tail=tail, body=body))


def test_a_location_is_whole_again_with_every_value_as_pushed() -> None:
    held = Held()
    evse = '{"uid":"E1","x":1.50,"connectors":[ {"id":"1"} ],"last_updated":"2026-06-01T12:00:00.10Z"}'
    held.take(
        a_push("PUT", "locations/L1", f'{{"id":"L1","evses":[{evse}],"n":2.000,"last_updated":"2026-06-01T12:00:00Z"}}')
    )

    expected = f'{{"id":"L1","evses":[{evse}],"n":2.000,"last_updated":"2026-06-01T12:00:00Z"}}'
    assert held.current().decode() == expected


def test_a_location_pushed_without_evses_is_shown_without_them() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/L1", {"id": "L1", "last_updated": at(0)}))

    assert held.object() == {"id": "L1", "last_updated": at(0)}


def test_a_location_clock_is_rolled_up_to_the_newest_text_in_its_tree_when_read_for_all() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/L1", a_location(evses=[an_evse("E1"), an_evse("E2")])))
    held.take(a_push("PATCH", "locations/L1/E2", {"last_updated": "2026-06-01T14:00:00.5+01:00"}))

    assert held.object()["last_updated"] == at(0)
    assert held.object(roll_up=True)["last_updated"] == "2026-06-01T14:00:00.5+01:00"


def test_clocks_are_compared_as_times() -> None:
    held = Held()
    whole, fraction = "2026-06-01T12:00:01Z", "2026-06-01T12:00:01.5Z"
    held.take(a_push("PUT", "locations/L1", a_location(last_updated=fraction, evses=[an_evse(last_updated=whole)])))

    assert held.object(roll_up=True)["last_updated"] == fraction


def test_a_connector_newer_than_its_evse_counts_for_the_location() -> None:
    held = Held()
    evse = an_evse(connectors=[{"id": "1", "last_updated": at(9)}])
    held.take(a_push("PUT", "locations/L1", a_location(evses=[evse])))

    assert held.object(roll_up=True)["last_updated"] == at(9)
    assert held.object(roll_up=True)["evses"] == [evse]


def test_a_tariff_is_shown_as_pushed() -> None:
    held = Held()
    held.take(a_push("PUT", "tariffs/T1", '{"id":"T1","price":0.250,"last_updated":"2026-06-01T12:00:00Z"}'))

    assert held.current("T1", "tariffs") == b'{"id":"T1","price":0.250,"last_updated":"2026-06-01T12:00:00Z"}'
    assert json.loads(held.current("T1", "tariffs"))["price"] == 0.25


def test_what_is_no_push_is_named_without_a_drivers_uid() -> None:
    with pytest.raises(UndecodableRecord) as raised:
        a_push("PUT", "tokens/DEADBEEF/more/and/more", {})

    assert "DEADBEEF" not in str(raised.value)
