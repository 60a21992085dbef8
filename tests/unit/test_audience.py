"""Who receives a broadcast push."""

from typing import Any

import pytest

from hub.model.delivery import Receiver
from hub.model.directory import Directory, PlatformStatus
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role
from hub.routing.audience import OWNER_ROLE, Audiences, audience
from tests.unit.routing_objects import CPO, EMSP, OTHER_EMSP, a_directory, a_platform

RECEIVES_ALL = tuple((module, Interface.RECEIVER) for module in OWNER_ROLE)
ONE, TWO, THREE = PartyId("DE", "AAA"), PartyId("DE", "BBB"), PartyId("DE", "CCC")


def receivers(
    directory: Directory, module: str = "locations", sender: PartyId = CPO, platform: str = "p1"
) -> list[str]:
    """Who receives, each as platform and party."""
    found = Audiences(directory).of(platform, sender, module)
    return [f"{receiver.platform_id} {receiver.party}" for receiver in found]


def test_a_cpo_reaches_every_emsp_and_an_emsp_every_cpo() -> None:
    directory = a_directory()

    assert receivers(directory) == ["p2 DE/MS1", "p3 FR/MS2"]
    assert receivers(directory, "tokens", EMSP, "p2") == ["p1 NL/CP1"]


@pytest.mark.parametrize(
    ("role", "modules"),
    [
        (Role.EMSP, {"locations", "tariffs"}),
        (Role.NSP, {"locations", "tariffs"}),
        (Role.OTHER, {"locations", "tariffs"}),
        (Role.NAP, {"locations", "tariffs"}),
        (Role.CPO, {"tokens"}),
        (Role.SCSP, set()),
        (Role.HUB, set()),
    ],
)
def test_each_role_receives_what_its_opposite_pushes(role: Role, modules: set[str]) -> None:
    cpo, emsp = a_platform("p1", (CPO, Role.CPO)), a_platform("p2", (EMSP, Role.EMSP), endpoints=())
    directory = a_directory(cpo, emsp, a_platform("p9", (ONE, role), endpoints=RECEIVES_ALL))

    got = {module for module in ("locations", "tariffs") if "p9 DE/AAA" in receivers(directory, module)}
    got |= {"tokens"} & {"tokens" for entry in receivers(directory, "tokens", EMSP, "p2") if entry == "p9 DE/AAA"}

    assert got == modules


def test_each_party_of_a_platform_is_called_once_whatever_its_roles() -> None:
    emsps = a_platform("p2", (ONE, Role.EMSP), (ONE, Role.NSP), (TWO, Role.EMSP))

    assert receivers(a_directory(a_platform("p1", (CPO, Role.CPO)), emsps)) == ["p2 DE/AAA", "p2 DE/BBB"]


def test_nobody_on_the_platform_of_the_sender_receives() -> None:
    both = a_platform("p1", (CPO, Role.CPO), (ONE, Role.EMSP), endpoints=RECEIVES_ALL)

    assert receivers(a_directory(both, a_platform("p2", (EMSP, Role.EMSP)))) == ["p2 DE/MS1"]


def test_a_sender_of_two_roles_spreads_in_the_role_that_owns_the_module_only() -> None:
    sender = a_platform("p1", (CPO, Role.CPO), (CPO, Role.EMSP))
    other_cpo = a_platform("p2", (ONE, Role.CPO), (TWO, Role.EMSP), endpoints=RECEIVES_ALL)

    assert receivers(a_directory(sender, other_cpo)) == ["p2 DE/BBB"]
    assert receivers(a_directory(sender, other_cpo), "tokens") == ["p2 DE/AAA"]


@pytest.mark.parametrize("status", [PlatformStatus.INVITED, PlatformStatus.SUSPENDED])
def test_only_registered_platforms_receive(status: PlatformStatus) -> None:
    directory = a_directory(a_platform("p1", (CPO, Role.CPO)), a_platform("p2", (EMSP, Role.EMSP), status=status))

    assert receivers(directory) == []


@pytest.mark.parametrize("away", [{"is_online": False}, {"status": PlatformStatus.UNREGISTERED}])
def test_a_platform_that_is_away_stays_in_the_audience(away: dict[str, Any]) -> None:
    directory = a_directory(a_platform("p1", (CPO, Role.CPO)), a_platform("p2", (EMSP, Role.EMSP), **away))

    assert receivers(directory) == ["p2 DE/MS1"]


def test_a_platform_without_the_module_as_receiver_is_left_out() -> None:
    sends_only = a_platform("p2", (EMSP, Role.EMSP), endpoints=(("locations", Interface.SENDER),))

    assert receivers(a_directory(a_platform("p1", (CPO, Role.CPO)), sends_only)) == []


def test_quarantined_roles_neither_spread_nor_receive() -> None:
    emsps = a_platform("p2", (ONE, Role.EMSP), quarantined=((TWO, Role.EMSP),))
    sender = a_platform("p1", (CPO, Role.CPO), quarantined=((THREE, Role.CPO),))
    directory = a_directory(sender, emsps)

    assert receivers(directory) == ["p2 DE/AAA"]
    assert receivers(directory, sender=THREE) == []


def test_without_an_agreement_nobody_receives() -> None:
    assert receivers(a_directory(agreements="explicit")) == []


def test_a_sender_is_found_whatever_case_its_id_has() -> None:
    assert receivers(a_directory(), sender=PartyId("nl", "cp1")) == ["p2 DE/MS1", "p3 FR/MS2"]


def test_other_modules_are_never_spread() -> None:
    assert list(audience(a_directory(), "p1", CPO, "sessions")) == []


def test_an_audience_is_asked_again_by_its_members() -> None:
    known = Audiences(a_directory())
    found = known.of("p1", CPO, "locations")

    assert Receiver("p2", EMSP) in found
    assert Receiver("p3", EMSP) not in found
    assert Receiver("p3", OTHER_EMSP) in known.of("p1", CPO, "locations")
