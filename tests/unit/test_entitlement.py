"""What a receiver is entitled to, and what has to be done when that changes (AM-35, D-26)."""

from hub.model.delivery import Receiver
from hub.ocpi.parties import PartyId
from hub.routing.entitlement import Share, Step, steps

CPO, OTHER = PartyId("NL", "CPO"), PartyId("DE", "CPO")
NOBODY: frozenset[PartyId] = frozenset()


def a_share(module: str = "locations") -> Share:
    """Make the share of NL/MSP."""
    return Share(Receiver("p1", PartyId("NL", "MSP")), module)


def test_a_new_receiver_is_granted_every_owner() -> None:
    assert steps({a_share(): frozenset({CPO, OTHER})}, {}) == [
        Step(a_share(), frozenset({CPO, OTHER}), NOBODY, is_over=False)
    ]


def test_only_what_differs_is_done() -> None:
    assert steps({a_share(): frozenset({OTHER})}, {a_share(): frozenset({CPO})}) == [
        Step(a_share(), frozenset({OTHER}), frozenset({CPO}), is_over=False)
    ]


def test_nothing_is_done_for_what_is_filled() -> None:
    assert steps({a_share(): frozenset({CPO})}, {a_share(): frozenset({CPO})}) == []


def test_a_share_that_is_gone_is_over_even_without_owners() -> None:
    assert steps({}, {a_share(): NOBODY}) == [Step(a_share(), NOBODY, NOBODY, is_over=True)]


def test_withdrawals_come_first_and_tariffs_before_the_locations_that_name_them() -> None:
    entitled = {a_share("locations"): frozenset({CPO}), a_share("tariffs"): frozenset({CPO})}

    made = steps(entitled, {a_share("tokens"): frozenset({CPO})})

    assert [step.share.module for step in made] == ["tokens", "tariffs", "locations"]
