"""Which parties a registered platform may act for: invited ones are routed and shown, others quarantined (D-09, CR-30, AM-19)."""

import pytest

from hub.ocpi.parties import PartyId
from tests.integration.registration_rig import (
    Got,
    Hub,
    ScriptedPlatform,
    a_platform,
    a_role,
    client_infos,
    register,
)

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_role_that_a_renewal_drops_is_not_routed_and_shown_offline(hub: Hub, cpo: ScriptedPlatform) -> None:
    """CR-30, D-08."""
    platform_id = await register(hub, cpo)
    await hub.invite_more(platform_id, "NL/CP2")
    await cpo.register(hub, cpo.inbound, "PUT", roles=[a_role("NL/ENE"), a_role("NL/CP2")])
    async with a_platform(a_role("DE/MSP", "EMSP")) as emsp:
        await register(hub, emsp, "DE/MSP", "EMSP")
        assert await client_infos(hub, emsp) == {"NL/ENE": "CONNECTED", "NL/CP2": "CONNECTED"}

        await cpo.register(hub, cpo.inbound, "PUT", roles=[a_role("NL/ENE")])

        assert await client_infos(hub, emsp) == {"NL/ENE": "CONNECTED", "NL/CP2": "OFFLINE"}
        directory = hub.means.keeper.current
        assert directory.roles_of(PartyId("NL", "CP2")) == ()
        assert [entry.platform_id for entry in directory.unlisted_roles_of(PartyId("NL", "CP2"))] == [platform_id]

        await cpo.register(hub, cpo.inbound, "PUT", roles=[a_role("NL/CP2"), a_role("NL/ENE")])

        assert await client_infos(hub, emsp) == {"NL/ENE": "CONNECTED", "NL/CP2": "CONNECTED"}


async def test_a_renewal_that_changes_no_role_is_no_change_for_others(hub: Hub, cpo: ScriptedPlatform) -> None:
    await register(hub, cpo)
    async with a_platform(a_role("DE/MSP", "EMSP")) as emsp:
        await register(hub, emsp, "DE/MSP", "EMSP")
        before = (await hub.ask("GET", "2.2.1/hubclientinfo", emsp.inbound)).data

        await cpo.register(hub, cpo.inbound, "PUT", roles=[a_role("NL/ENE", name="Another Name")])

        assert (await hub.ask("GET", "2.2.1/hubclientinfo", emsp.inbound)).data == before


async def test_roles_that_nobody_invited_are_quarantined(hub: Hub, cpo: ScriptedPlatform) -> None:
    roles = [a_role("NL/ENE"), a_role("NL/XTR"), a_role("NL/ENE", "EMSP"), a_role("NL/HUB", "HUB"), a_role("NL/HUB")]
    invited = await hub.invite("NL/ENE")

    got = await cpo.register(hub, invited.token, roles=roles)

    assert got.status == (200, 1000)
    shown = await hub.show(invited.platform_id)
    assert {(row["party"], row["role"], row["is_quarantined"]) for row in shown["parties"]} == {
        ("NL/ENE", "CPO", False),
        ("NL/XTR", "CPO", True),
        ("NL/ENE", "EMSP", True),
        ("NL/HUB", "HUB", True),
        ("NL/HUB", "CPO", True),
    }
    async with a_platform(a_role("DE/MSP", "EMSP")) as emsp, a_platform(a_role("DE/CPO")) as other_cpo:
        await register(hub, emsp, "DE/MSP", "EMSP")
        await register(hub, other_cpo, "DE/CPO")
        assert await client_infos(hub, emsp) == {"NL/ENE": "CONNECTED", "DE/CPO": "CONNECTED"}
        assert await client_infos(hub, other_cpo) == {"DE/MSP": "CONNECTED"}
    directory = hub.means.keeper.current
    assert directory.roles_of(PartyId("NL", "XTR")) == ()
    assert directory.roles_of(directory.hub_party) == ()


@pytest.mark.parametrize(
    ("party", "expected"), [("NL/ENE", (200, 1000)), ("NL/XTR", (200, 2001)), ("DE/MSP", (200, 2001))]
)
async def test_only_an_invited_party_may_be_the_sender_of_a_request(
    hub: Hub, cpo: ScriptedPlatform, party: str, expected: tuple[int, int]
) -> None:
    invited = await hub.invite("NL/ENE")
    await cpo.register(hub, invited.token, roles=[a_role("NL/ENE"), a_role("NL/XTR")])

    assert (await push_a_tariff(hub, cpo.inbound, party)).status == expected


async def test_a_role_that_another_platform_holds_is_quarantined_and_takes_nothing_away(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    held_by = await register(hub, cpo)
    async with a_platform(a_role("DE/CPO"), a_role("NL/ENE")) as other:
        await register(hub, other, "DE/CPO")

        assert [entry.platform_id for entry in hub.means.keeper.current.roles_of(PartyId("NL", "ENE"))] == [held_by]
        assert (await push_a_tariff(hub, other.inbound, "NL/ENE")).status == (200, 2001)


async def test_a_platform_without_a_name_takes_that_of_its_first_invited_role(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")

    await cpo.register(hub, invited.token, roles=[a_role("NL/XTR", name="Extra"), a_role("NL/ENE", name="Energy BV")])
    first = (await hub.show(invited.platform_id))["platform"]["name"]
    await cpo.register(hub, cpo.inbound, "PUT", roles=[a_role("NL/ENE", name="Renamed BV")])

    assert first == "Energy BV"
    assert (await hub.show(invited.platform_id))["platform"]["name"] == "Energy BV"
    assert '"Renamed BV"' in await hub.value("select business_details from party where party_id = 'ENE'")


async def test_the_name_that_an_operator_gave_stays(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE", name="Our word for it")

    await cpo.register(hub, invited.token)

    assert (await hub.show(invited.platform_id))["platform"]["name"] == "Our word for it"


async def push_a_tariff(hub: Hub, token: str, from_party: str) -> Got:
    """PUT a Tariff of this party for all."""
    country_code, party_id = from_party.split("/")
    price = {"type": "ENERGY", "price": 0.25, "step_size": 1}
    tariff = {
        "country_code": country_code,
        "party_id": party_id,
        "id": "T1",
        "currency": "EUR",
        "elements": [{"price_components": [price]}],
        "last_updated": "2026-06-01T10:00:00Z",
    }
    headers = {
        "OCPI-from-country-code": country_code,
        "OCPI-from-party-id": party_id,
        "OCPI-to-country-code": "NL",
        "OCPI-to-party-id": "HUB",
    }
    path = f"2.2.1/receiver/tariffs/{country_code}/{party_id}/T1"
    return await hub.ask("PUT", path, token, body=tariff, headers=headers)
