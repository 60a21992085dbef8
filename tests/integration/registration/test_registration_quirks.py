"""Habits of a platform that an operator lets the hub serve, each changing what the hub does (D-02, D-14, D-15)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.registration_rig import (
    Hub,
    ScriptedPlatform,
    a_hub,
    a_platform,
    a_role,
    register,
)

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def hub(postgres_url: str, migrated_template: str, kafka_bootstrap: str) -> AsyncIterator[Hub]:
    """No relay runs, so that whoever asks for another party's object hears that it is silent."""
    async with a_hub(postgres_url, migrated_template, kafka_bootstrap, list_seconds=0.2) as made:
        yield made


async def serve(hub: Hub, platform_id: str, *quirks: str) -> None:
    """Let the hub serve these habits, as an operator does."""
    await hub.operate("POST", f"/platforms/{platform_id}/quirks", quirks=list(quirks))
    await hub.means.keeper.refresh()


async def test_a_raw_token_is_shown_raw_from_the_first_call_on(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")
    await serve(hub, invited.platform_id, "raw-token")

    assert (await cpo.register(hub, invited.token)).status == (200, 1000)

    assert {seen.headers["authorization"] for seen in cpo.seen} == {f"Token {cpo.outbound}"}


async def test_a_raw_token_is_shown_raw_to_a_platform_that_took_the_other_form(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)

    def encoding() -> str | None:
        token = hub.means.keeper.current.platforms[platform_id].token
        return token.encoding if token else None

    assert encoding() == "base64"
    await serve(hub, platform_id, "raw-token")
    assert encoding() == "raw"
    await serve(hub, platform_id)
    assert encoding() == "base64"


async def test_half_a_routing_pair_is_2001_or_none_where_the_platform_has_the_habit(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    platform_id = await register(hub, cpo)
    half = {"OCPI-to-country-code": "NL"}

    usual = await hub.ask("GET", "2.2.1/sender/tokens", cpo.inbound, headers=half)
    await serve(hub, platform_id, "half-headers")
    served = await hub.ask("GET", "2.2.1/sender/tokens", cpo.inbound, headers=half)
    own = {"OCPI-from-country-code": "NL", "OCPI-from-party-id": "ENE"}
    refused = await hub.ask("GET", "2.2.1/sender/pizzas", cpo.inbound, headers=half | own)

    assert usual.status == (200, 2001)
    assert "OCPI-to-party-id" in usual.message
    assert served.status == (200, 1000)
    assert refused.headers["ocpi-to-party-id"] == "ENE", "a refusal is addressed to who asked all the same"


async def test_a_silent_receiver_is_504_where_the_platform_looks_at_http_only(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)
    async with a_platform(a_role("DE/MSP", "EMSP")) as emsp:
        await register(hub, emsp, "DE/MSP", "EMSP")
        to = {"OCPI-to-country-code": "DE", "OCPI-to-party-id": "MSP"}
        path = "2.2.1/sender/tokens"

        usual = await hub.ask("GET", path, cpo.inbound, headers=to)
        await serve(hub, platform_id, "http-status")
        served = await hub.ask("GET", path, cpo.inbound, headers=to)

    assert usual.status == (200, 4002)
    assert served.status == (504, 4002)
    noted = [line for line in hub.logged if "request.refused" in line and "4002" in line]
    assert ["'http_status': 504" in line for line in noted] == [False, True], "the ledger has what each was told"
