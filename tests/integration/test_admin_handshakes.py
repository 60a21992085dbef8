"""The handshakes that an operator starts, with a real platform at the other end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.model.directory import PlatformStatus
from hub.ocpi.parties import PartyId
from tests.integration.admin_rig import AdminRig, admin_rig
from tests.integration.partner_rig import Driven, a_partner


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[AdminRig]:
    async with admin_rig(database_url, tmp_path) as made:
        yield made


@pytest.fixture
async def cpo() -> AsyncIterator[Driven]:
    async with a_partner("cpo", "NL/ENE", "NL/XTR") as made:
        yield made


def _connect(cpo: Driven, *more: str) -> tuple[str, ...]:
    words = ("platform", "connect", "--url", cpo.partner.versions_url, "--token", str(cpo.partner.token))
    return (*words, "--party", "NL/ENE", "--role", "CPO", *more)


async def _audited(rig: AdminRig) -> list[str]:
    async with rig.store.connection() as connection:
        return [row["action"] for row in await connection.fetch("select action from audit order by audit_id")]


async def test_the_hub_registers_at_a_platform_and_quarantines_what_nobody_named(rig: AdminRig, cpo: Driven) -> None:
    made = await rig.json(*_connect(cpo, "--name", "Example Energy"))

    assert (made["platform"]["name"], made["platform"]["status"]) == ("Example Energy", "connected")
    assert [(row["party"], row["is_quarantined"]) for row in made["parties"]] == [("NL/ENE", False), ("NL/XTR", True)]
    assert {row["module"] for row in made["endpoints"]} >= {"credentials", "locations"}
    assert [(row["direction"], row["kind"]) for row in made["tokens"]] == [
        ("inbound", "access"),
        ("outbound", "access"),
    ]
    assert rig.keeper.current.owns(made["platform"]["platform_id"], PartyId("NL", "ENE"))
    assert await _audited(rig) == ["platform.connecting", "platform.connected"]


async def test_a_handshake_that_fails_says_at_which_step_and_leaves_only_its_audit(rig: AdminRig, cpo: Driven) -> None:
    words = [word if word != cpo.partner.token else "wrong-token" for word in _connect(cpo)]

    result = await rig.hub(*words)

    assert result.exit_code == 1
    assert cpo.partner.versions_url in result.stderr
    assert "401" in result.stderr
    assert result.stdout == ""
    assert await rig.json("platform", "list") == []
    assert await rig.value("select count(*) from inbound_token") == 0
    assert await _audited(rig) == ["platform.connecting", "platform.not_connected"]
    assert (await rig.hub(*_connect(cpo))).exit_code == 0


async def test_an_address_that_partners_may_not_have_is_never_called(rig: AdminRig) -> None:
    words = ("platform", "connect", "--url", "http://169.254.169.254/versions", "--token", "t", "--party", "NL/ENE")

    result = await rig.hub(*words, "--role", "CPO")

    assert result.exit_code == 1
    assert "169.254.169.254" in result.stderr


async def test_a_connected_platform_is_not_connected_twice(rig: AdminRig, cpo: Driven) -> None:
    platform_id = (await rig.json(*_connect(cpo)))["platform"]["platform_id"]

    other = await rig.hub(*_connect(cpo))
    same = await rig.hub(*_connect(cpo, "--platform", platform_id))

    assert (other.exit_code, same.exit_code) == (1, 1)
    assert "NL/ENE is already CPO on platform" in other.stderr
    assert "is connected already" in same.stderr


async def test_a_suspended_platform_comes_back_connected(rig: AdminRig, cpo: Driven) -> None:
    platform_id = (await rig.json(*_connect(cpo)))["platform"]["platform_id"]
    await rig.json("platform", "suspend", platform_id)
    refused = await rig.hub("platform", "rotate-token", platform_id)

    resumed = await rig.json("platform", "resume", platform_id)

    assert refused.exit_code == 1
    assert "resume it first" in refused.stderr
    assert resumed["status"] == "connected"
    assert rig.keeper.current.platforms[platform_id].status is PlatformStatus.CONNECTED


async def test_rotating_a_registered_platforms_token_renews_both_sides(rig: AdminRig, cpo: Driven) -> None:
    platform_id = (await rig.json(*_connect(cpo)))["platform"]["platform_id"]
    before = await rig.value("select sealed from outbound_token")

    renewed = await rig.json("platform", "rotate-token", "NL/ENE")

    assert (renewed["renewed"], renewed["token"]) == ("credentials of both sides", None)
    assert await rig.value("select sealed from outbound_token") != before
    assert await rig.value("select count(*) from inbound_token where expires_at is null") == 1
    assert rig.keeper.current.platforms[platform_id].is_connected


async def test_a_rotation_that_the_partner_refuses_leaves_the_tokens(rig: AdminRig, cpo: Driven) -> None:
    await rig.json(*_connect(cpo))
    before = await rig.value("select sealed from outbound_token")
    await cpo.fault(500)

    result = await rig.hub("platform", "rotate-token", "NL/ENE")

    assert result.exit_code == 1
    assert "the tokens are as they were" in result.stderr
    assert await rig.value("select sealed from outbound_token") == before
    assert (await _audited(rig))[-2:] == ["platform.token_rotated", "platform.token_not_rotated"]


async def test_a_renewed_registration_token_replaces_the_lost_one(rig: AdminRig, cpo: Driven) -> None:
    lost = (await rig.json("party", "invite", "NL/ENE", "--role", "CPO"))["token"]
    found = await rig.json("platform", "rotate-token", "NL/ENE")

    refused = await cpo.refusal("/register", {"versions_url": found["versions_url"], "token": lost})
    await cpo.post("/register", {"versions_url": found["versions_url"], "token": found["token"]})

    assert "401" in refused[1]
    [platform] = await rig.json("platform", "list")
    assert platform["platform"]["status"] == "connected"
    assert platform["roles"] == ["NL/ENE CPO", "[NL/XTR CPO]"]


async def test_a_disconnected_platform_registers_again_with_a_new_token(rig: AdminRig, cpo: Driven) -> None:
    """CR-19, D-08."""
    platform_id = (await rig.json(*_connect(cpo)))["platform"]["platform_id"]

    done = await rig.json("platform", "disconnect", platform_id)
    again = await rig.hub("platform", "disconnect", platform_id)
    renewed = await rig.json("platform", "rotate-token", platform_id)

    assert done["status"] == "unregistered"
    assert again.exit_code == 1
    assert renewed["token"]
    assert await rig.value("select count(*) from inbound_token where kind = 'access'") == 0
    assert await rig.value("select count(*) from outbound_token") == 0
