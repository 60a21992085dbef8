"""The independent reference: how pushes change objects, and what counts as a difference."""

import gzip
import json
from importlib.resources import files
from typing import Any

import pytest

from infra.dev.reference import Push, Reference, differences

OWNER = {"country_code": "NL", "party_id": "ABC"}


def an_evse(uid: str, clock: str = "01", **more: Any) -> dict[str, Any]:
    """An EVSE of this second with one Connector."""
    connector = {"id": "1", "max_voltage": 230, "last_updated": at(clock)}
    return {"uid": uid, "status": "AVAILABLE", "connectors": [connector], "last_updated": at(clock)} | more


def a_location(*evses: dict[str, Any], clock: str = "01", **more: Any) -> dict[str, Any]:
    """A Location of this second."""
    return {**OWNER, "id": "L", "evses": list(evses), "last_updated": at(clock)} | more


def at(second: str) -> str:
    """A moment of the day that the tests are about."""
    return f"2026-06-02T10:00:{second}Z"


def push(method: str, tail: str, body: dict[str, Any] | None = None, module: str = "locations") -> Push:
    """A push of NL/ABC."""
    return Push.of(method, module, f"NL/ABC/{tail}", json.dumps(body).encode() if body is not None else b"")


def a_reference(*pushes: Push) -> Reference:
    """A reference after these pushes."""
    reference = Reference()
    for one in pushes:
        reference.apply(one)
    return reference


def only(reference: Reference, module: str = "locations") -> dict[str, Any]:
    """The one object of a module."""
    (found,) = reference.objects(module)
    return found


def test_a_patch_gives_the_members_that_it_names_and_replaces_a_list_whole() -> None:
    put = push("PUT", "L", a_location(name="old", images=[1, 2], facilities=["CAFE"]))
    patch = push("PATCH", "L", {"name": None, "images": [3], "last_updated": at("02")})
    found = only(a_reference(put, patch))
    assert (found["name"], found["images"], found["facilities"]) == (None, [3], ["CAFE"])


def test_an_evse_and_a_connector_change_inside_their_location() -> None:
    found = only(
        a_reference(
            push("PUT", "L", a_location(an_evse("E"))),
            push("PATCH", "l/e", {"status": "CHARGING", "last_updated": at("02")}),
            push("PATCH", "L/E/1", {"max_voltage": 400, "last_updated": at("03")}),
            push("PUT", "L/F", an_evse("F")),
        )
    )
    first, second = found["evses"]
    assert (first["status"], first["connectors"][0]["max_voltage"], first["last_updated"]) == (
        "CHARGING",
        400,
        at("03"),
    )
    assert second["uid"] == "F"


def test_a_put_of_a_location_replaces_its_evses() -> None:
    first, second = a_location(an_evse("E"), an_evse("F")), a_location(an_evse("F"), clock="02")
    found = only(a_reference(push("PUT", "L", first), push("PUT", "L", second)))
    assert [evse["uid"] for evse in found["evses"]] == ["F"]


def test_a_push_older_than_its_unit_is_ignored_and_each_unit_has_its_own_clock() -> None:
    reference = a_reference(
        push("PUT", "L", a_location(an_evse("E"), name="old")),
        push("PATCH", "L/E", {"status": "CHARGING", "last_updated": at("05")}),
    )
    assert not reference.apply(push("PATCH", "L/E", {"status": "BLOCKED", "last_updated": at("04")}))
    assert reference.apply(push("PUT", "L", a_location(an_evse("E", "03"), name="new", clock="03")))
    found = only(reference)
    assert (found["name"], found["evses"][0]["status"]) == ("new", "CHARGING")


def test_a_deleted_object_is_gone_until_it_is_pushed_again() -> None:
    tariff = {**OWNER, "id": "T", "last_updated": at("01")}
    reference = a_reference(push("PUT", "T", tariff, "tariffs"), push("DELETE", "T", module="tariffs"))
    assert list(reference.objects("tariffs")) == []
    reference.apply(push("PUT", "T", tariff, "tariffs"))
    assert only(reference, "tariffs") == tariff


def test_a_token_is_another_one_by_its_type() -> None:
    token = {**OWNER, "uid": "U", "last_updated": at("01")}
    reference = Reference()
    for kind in ("RFID", "APP_USER"):
        body = json.dumps(token | {"type": kind}).encode()
        reference.apply(Push.of("PUT", "tokens", "NL/ABC/U", body, f"type={kind}"))
    assert len(list(reference.objects("tokens"))) == 2


@pytest.mark.parametrize("tail", ["L", "L/E", "L/E/1"])
def test_a_change_of_what_is_not_there_is_told(tail: str) -> None:
    with pytest.raises(LookupError):
        Reference().apply(push("PATCH", tail, {"last_updated": at("01")}))


def test_spellings_of_one_value_are_no_difference() -> None:
    one = a_location(an_evse("E", "09"), an_evse("F"), power=11, clock="01")
    evses = (an_evse("F", "01.000"), an_evse("E", "09.0"))
    other = a_location(*evses, power=11.0, clock="09")
    assert differences("locations", [one], [other]) == []


def test_a_difference_names_the_object_and_the_path() -> None:
    one, other = a_location(an_evse("E")), a_location(an_evse("E", status="BLOCKED"), publish=1)
    found = differences("locations", [one | {"publish": True}], [other])
    assert [(entry.object, entry.path) for entry in found] == [
        ("locations/NL/ABC/L", "$.evses.E.status"),
        ("locations/NL/ABC/L", "$.publish"),
    ]


def test_what_is_missing_too_much_or_there_twice_is_a_difference() -> None:
    one, other = a_location(), a_location() | {"id": "M"}
    assert [entry.expected for entry in differences("locations", [one], [other, other])] == [
        "nothing",
        "it once",
        "an object",
    ]


def test_the_recorded_changes_touch_what_they_name_and_nothing_else() -> None:
    folder = files("infra.dev.demo_data")
    start = json.loads(gzip.decompress(folder.joinpath("wijchen-start.json.gz").read_bytes()))
    lines = gzip.decompress(folder.joinpath("wijchen-changes.jsonl.gz").read_bytes()).splitlines()
    changes = [json.loads(line) for line in lines]
    reference = Reference()
    for entry in start:
        tail = f"{entry['country_code']}/{entry['party_id']}/{entry['id']}"
        reference.apply(Push.of("PUT", "locations", tail, json.dumps(entry).encode()))
    assert differences("locations", start, reference.objects("locations")) == []
    for change in changes:
        tail = "/".join(
            change[name] for name in ("country_code", "party_id", "location_id", "evse_uid") if name in change
        )
        assert reference.apply(Push.of(change["op"], "locations", tail, json.dumps(change["body"]).encode()))
    changed = {f"locations/{c['country_code']}/{c['party_id']}/{c['location_id']}".upper() for c in changes}
    found = {entry.object.upper() for entry in differences("locations", start, reference.objects("locations"))}
    assert found == changed
