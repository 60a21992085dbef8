"""The directory as a value: who hosts whom, what is routable, who sees whom."""

from hub.model.directory import (
    Directory,
    InboundToken,
    OutboundToken,
    PartyRole,
    Platform,
    PlatformStatus,
    TokenKind,
    is_opposite,
)
from hub.ocpi.parties import PartyId, Role

HUB = PartyId("NL", "HUB")
ENE, MSP = PartyId("NL", "ENE"), PartyId("NL", "MSP")


def a_platform(
    platform_id: str, *roles: tuple[PartyId, Role], quarantined: bool = False, **changes: object
) -> Platform:
    """A connected platform that hosts these roles."""
    entries = tuple(PartyRole(party, role, platform_id, quarantined) for party, role in roles)
    values: dict[str, object] = {
        "platform_id": platform_id,
        "name": platform_id,
        "status": PlatformStatus.CONNECTED,
        "version": "2.2.1",
        "versions_url": "https://p.test/versions",
        "endpoints": {},
        "roles": entries,
        "token": OutboundToken("their-token"),
    }
    return Platform(**(values | changes))  # type: ignore[arg-type]


def a_directory(
    *platforms: Platform, agreements: str = "open", tokens: dict[bytes, InboundToken] | None = None
) -> Directory:
    """A snapshot of these platforms."""
    return Directory.build(1, HUB, agreements, {each.platform_id: each for each in platforms}, tokens or {}, 0.0)


def test_parties_are_found_without_case() -> None:
    directory = a_directory(a_platform("p1", (PartyId("nl", "Ene"), Role.CPO)))

    assert [entry.platform_id for entry in directory.roles_of(PartyId("Nl", "eNE"))] == ["p1"]
    assert directory.owns("p1", ENE)
    assert not directory.owns("p2", ENE)


def test_one_party_may_have_its_roles_on_two_platforms() -> None:
    directory = a_directory(a_platform("p1", (ENE, Role.CPO)), a_platform("p2", (ENE, Role.EMSP)))

    assert {(entry.platform_id, entry.role) for entry in directory.roles_of(ENE)} == {
        ("p1", Role.CPO),
        ("p2", Role.EMSP),
    }
    assert directory.owns("p1", ENE)
    assert directory.owns("p2", ENE)


def test_a_quarantined_role_is_neither_routed_nor_owned() -> None:
    held = a_platform("p1", (ENE, Role.CPO), quarantined=True)
    directory = a_directory(held, a_platform("p2", (MSP, Role.EMSP)))

    assert directory.roles_of(ENE) == ()
    assert not directory.owns("p1", ENE)
    assert held.parties == ()
    assert held.party_roles(ENE) == ()


def test_a_role_that_is_quarantined_on_one_platform_does_not_hide_the_right_one() -> None:
    directory = a_directory(
        a_platform("p1", (ENE, Role.CPO)), a_platform("p9", (ENE, Role.CPO), (HUB, Role.HUB), quarantined=True)
    )

    assert [entry.platform_id for entry in directory.roles_of(ENE)] == ["p1"]
    assert directory.roles_of(HUB) == ()
    assert directory.is_hub(PartyId("nl", "hub"))


def test_a_role_that_its_platform_does_not_list_is_known_and_neither_routed_nor_owned() -> None:
    dropped = PartyRole(PartyId("nl", "ene"), Role.CPO, "p1")
    directory = a_directory(a_platform("p1", (MSP, Role.EMSP), unlisted=(dropped,)))

    assert directory.unlisted_roles_of(ENE) == (dropped,)
    assert directory.roles_of(ENE) == directory.unlisted_roles_of(MSP) == ()
    assert not directory.owns("p1", ENE)
    assert directory.platforms["p1"].parties == (MSP,)


def test_without_agreements_nobody_may_exchange_anything() -> None:
    directory = a_directory(
        a_platform("p1", (ENE, Role.CPO)), a_platform("p2", (MSP, Role.EMSP)), agreements="explicit"
    )

    assert not directory.may_exchange(Role.CPO, Role.EMSP)


def test_opposite_is_a_cpo_and_anything_that_is_none_but_a_hub() -> None:
    assert {role for role in Role if is_opposite(Role.CPO, role)} == set(Role) - {Role.CPO, Role.HUB}
    assert not any(is_opposite(Role.HUB, role) for role in Role)
    assert all(is_opposite(one, other) is is_opposite(other, one) for one in Role for other in Role)


def test_connected_means_registered_reachable_and_with_a_token() -> None:
    assert a_platform("p").is_connected
    assert not a_platform("p", token=None).is_connected
    assert not a_platform("p", is_online=False).is_connected
    for status in set(PlatformStatus) - {PlatformStatus.CONNECTED}:
        assert not a_platform("p", status=status).is_connected


def test_platforms_with_a_replaced_token_are_the_rotating_ones() -> None:
    tokens = {
        b"1": InboundToken("p1", TokenKind.ACCESS, None),
        b"2": InboundToken("p2", TokenKind.ACCESS, None),
        b"3": InboundToken("p2", TokenKind.ACCESS, None, is_replaced=True),
    }

    assert a_directory(tokens=tokens).rotating == {"p2"}


def test_an_outbound_token_shows_three_characters_at_most() -> None:
    token = OutboundToken("their-token")

    assert (str(token), "their-token" in repr(token), "their-token" in repr(a_platform("p", token=token))) == (
        "the…",
        False,
        False,
    )
