"""The module table: every 2.2.1 URL, its methods, and the raw segments that name it."""

import pytest

from hub.ocpi.modules import Interface, OpenKey, all_resources, find, interfaces
from hub.ocpi.parties import Role

METHODS = {
    ("locations", "SENDER", ""): "GET",
    ("locations", "SENDER", "L1"): "GET",
    ("locations", "SENDER", "L1/E1"): "GET",
    ("locations", "SENDER", "L1/E1/C1"): "GET",
    ("locations", "RECEIVER", "NL/CP1/L1"): "GET PUT PATCH",
    ("locations", "RECEIVER", "NL/CP1/L1/E1"): "GET PUT PATCH",
    ("locations", "RECEIVER", "NL/CP1/L1/E1/C1"): "GET PUT PATCH",
    ("sessions", "SENDER", ""): "GET",
    ("sessions", "SENDER", "S1/charging_preferences"): "PUT",
    ("sessions", "RECEIVER", "NL/CP1/S1"): "GET PUT PATCH",
    ("cdrs", "SENDER", ""): "GET",
    ("cdrs", "RECEIVER", ""): "POST",
    ("cdrs", "RECEIVER", "abc"): "GET",
    ("tariffs", "SENDER", ""): "GET",
    ("tariffs", "RECEIVER", "NL/CP1/T1"): "GET PUT DELETE",
    ("tokens", "SENDER", ""): "GET",
    ("tokens", "SENDER", "U1/authorize"): "POST",
    ("tokens", "RECEIVER", "DE/MS1/U1"): "GET PUT PATCH",
    ("commands", "RECEIVER", "START_SESSION"): "POST",
    ("commands", "RECEIVER", "STOP_SESSION"): "POST",
    ("commands", "RECEIVER", "RESERVE_NOW"): "POST",
    ("commands", "RECEIVER", "CANCEL_RESERVATION"): "POST",
    ("commands", "RECEIVER", "UNLOCK_CONNECTOR"): "POST",
    ("commands", "SENDER", "START_SESSION/abc"): "POST",
    ("chargingprofiles", "RECEIVER", "S1"): "GET PUT DELETE",
    ("chargingprofiles", "SENDER", "S1"): "PUT",
    ("chargingprofiles", "SENDER", "result/abc"): "POST",
}


@pytest.mark.parametrize(("place", "methods"), METHODS.items(), ids=lambda value: "/".join(value).strip("/"))
def test_every_url_of_2_2_1_offers_exactly_its_methods(place: tuple[str, str, str], methods: str) -> None:
    """OB-11, OB-12: the method matrix."""
    module, interface, tail = place
    match = find("2.2.1", module, Interface(interface), tail)
    assert match is not None
    assert set(match.resource.methods) == set(methods.split())


def test_the_table_has_nothing_that_the_matrix_lacks() -> None:
    assert len(list(all_resources())) == len(METHODS)


def test_both_interfaces_of_every_functional_module_are_offered() -> None:
    modules = ("locations", "sessions", "cdrs", "tariffs", "tokens", "commands", "chargingprofiles")
    assert set(interfaces("2.2.1")) == {(module, interface) for module in modules for interface in Interface}


@pytest.mark.parametrize("tail", ["NL/CP1/L1", "NL/CP1/L1/", "//NL//CP1/L1", "/NL/CP1/L1//"])
def test_slash_forms_are_all_accepted(tail: str) -> None:
    """D-22, AM-44."""
    match = find("2.2.1", "locations", Interface.RECEIVER, tail)
    assert match is not None
    assert match.parameters == {"country_code": "NL", "party_id": "CP1", "location_id": "L1"}


def test_an_encoded_slash_belongs_to_the_id() -> None:
    match = find("2.2.1", "tokens", Interface.RECEIVER, "DE/MS1/a%2Fb%20c")
    assert match is not None
    assert match.parameters["token_uid"] == "a/b c"


@pytest.mark.parametrize("tail", ["NL/CP1", "NL/CP1/L1/E1/C1/X", "DANCE"])
def test_other_paths_are_nothing(tail: str) -> None:
    assert find("2.2.1", "commands", Interface.RECEIVER, tail) is None


def test_every_push_names_the_owners_role() -> None:
    """OB-16."""
    roles = {
        (resource.module, operation.owner_role)
        for resource in all_resources()
        for operation in resource.operations.values()
        if operation.open_key is OpenKey.SPREAD
    }
    assert roles == {("locations", Role.CPO), ("tariffs", Role.CPO), ("tokens", Role.EMSP)}
