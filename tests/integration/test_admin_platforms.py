"""Operators invite, suspend and renew; every change is audited and in force when the command returns."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from hub.model.directory import PlatformStatus, TokenKind
from hub.ocpi.parties import PartyId, Role
from tests.integration.admin_rig import OPERATOR_TOKEN, AdminRig, admin_rig


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[AdminRig]:
    async with admin_rig(database_url, tmp_path) as made:
        yield made


async def test_an_invited_party_gets_the_versions_url_and_a_token_that_opens_registration_only(rig: AdminRig) -> None:
    made = await rig.json("party", "invite", "nl/ene", "--role", "CPO", "--role", "EMSP", "--name", "Example Energy")

    assert made["versions_url"] == f"{rig.url}/ocpi/versions"
    assert (made["party"], made["roles"], made["platform_name"]) == ("NL/ENE", ["CPO", "EMSP"], "Example Energy")
    await rig.keeper.refresh()
    token = rig.keeper.current.tokens[rig.secrets.hash_inbound(made["token"])]
    assert (token.platform_id, token.kind) == (made["platform_id"], TokenKind.REGISTRATION)
    assert rig.keeper.current.platforms[made["platform_id"]].party_roles(PartyId("NL", "ENE")) == (Role.CPO, Role.EMSP)


async def test_the_token_is_printed_once_and_rests_nowhere_in_clear(rig: AdminRig) -> None:
    token = (await rig.json("party", "invite", "NL/ENE", "--role", "CPO"))["token"]

    shown = await rig.hub("platform", "show", "NL/ENE", "-o", "json")
    audited = await rig.value("select string_agg(audit::text, ' ') from audit")
    rests = await rig.value("select count(*) from inbound_token where token_hash = $1::bytea", token.encode())

    assert shown.exit_code == 0
    assert token not in shown.output
    assert token not in audited
    assert rests == 0


async def test_a_role_that_another_platform_holds_is_refused_and_leaves_no_trace(rig: AdminRig) -> None:
    await rig.json("party", "invite", "NL/ENE", "--role", "CPO", "--name", "First")
    before = await rig.value("select version from directory_version")

    result = await rig.hub("party", "invite", "NL/ENE", "--role", "CPO", "--name", "Second")

    assert result.exit_code == 1
    assert "NL/ENE is already CPO on platform First" in result.stderr
    assert result.stdout == ""
    assert [entry["platform"]["name"] for entry in await rig.json("platform", "list")] == ["First"]
    assert await rig.value("select version from directory_version") == before
    assert await rig.value("select count(*) from audit") == 1


async def test_of_two_invitations_at_once_one_takes_the_role(rig: AdminRig) -> None:
    body = json.dumps({"party": "NL/ENE", "roles": ["CPO"]}).encode()
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        calls = [session.post(f"{rig.url}/admin/v1/invitations", data=body) for _ in range(8)]
        answers = await asyncio.gather(*calls)

    assert sorted(answer.status for answer in answers) == [201, *([409] * 7)]
    assert await rig.value("select count(*) from platform") == 1


async def test_the_same_party_may_have_another_role_on_another_platform(rig: AdminRig) -> None:
    await rig.json("party", "invite", "NL/ENE", "--role", "CPO")
    await rig.json("party", "invite", "NL/ENE", "--role", "EMSP")

    ambiguous = await rig.hub("platform", "show", "NL/ENE")

    assert ambiguous.exit_code == 2
    assert "2 platforms host NL/ENE" in ambiguous.stderr


async def test_a_second_party_joins_a_platform_without_a_new_token(rig: AdminRig) -> None:
    platform_id = (await rig.json("party", "invite", "NL/ENE", "--role", "CPO"))["platform_id"]

    made = await rig.json("party", "invite", "NL/LNT", "--role", "CPO", "--platform", platform_id)

    assert (made["platform_id"], made["token"]) == (platform_id, None)
    assert [entry["roles"] for entry in await rig.json("platform", "list")] == [["NL/ENE CPO", "NL/LNT CPO"]]
    assert await rig.value("select count(*) from inbound_token") == 1


async def test_an_invitation_lifts_the_quarantine_of_a_role(rig: AdminRig) -> None:
    platform_id = (await rig.json("party", "invite", "NL/ENE", "--role", "CPO"))["platform_id"]
    async with rig.store.connection() as connection:
        await connection.execute(
            "insert into party (platform_id, country_code, party_id, role, is_quarantined)"
            " values ($1, 'NL', 'XTR', 'EMSP', true)",
            platform_id,
        )
    [listed] = [row for row in await rig.json("party", "list") if row["party"] == "NL/XTR"]
    assert listed["is_quarantined"]

    await rig.json("party", "invite", "NL/XTR", "--role", "EMSP", "--platform", platform_id)

    await rig.keeper.refresh()
    assert rig.keeper.current.owns(platform_id, PartyId("NL", "XTR"))


@pytest.mark.parametrize(
    ("party", "role", "reason"),
    [("NL/ENE", "HUB", "role HUB is this hub's own"), ("NL/HUB", "CPO", "NL/HUB is this hub's own party")],
)
async def test_nobody_is_invited_as_the_hub_itself(rig: AdminRig, party: str, role: str, reason: str) -> None:
    result = await rig.hub("party", "invite", party, "--role", role)

    assert result.exit_code == 2
    assert reason in result.stderr


async def test_suspending_returns_when_every_process_acts_on_it(rig: AdminRig) -> None:
    platform_id = (await rig.json("party", "invite", "NL/ENE", "--role", "CPO"))["platform_id"]

    changed = await rig.json("platform", "suspend", "NL/ENE")

    assert (changed["status"], changed["is_in_force"]) == ("suspended", True)
    assert rig.keeper.current.platforms[platform_id].status is PlatformStatus.SUSPENDED


async def test_suspending_waits_for_the_lease_of_a_process_that_hangs(rig: AdminRig) -> None:
    await rig.json("party", "invite", "NL/ENE", "--role", "CPO")
    async with rig.store.connection() as connection:
        await connection.execute(
            "insert into directory_holder values ('hung', 'relay', 1, now() + interval '1.5 seconds')"
        )
    began = time.monotonic()

    changed = await rig.json("platform", "suspend", "NL/ENE")

    assert changed["is_in_force"]
    assert time.monotonic() - began >= 1.0


async def test_a_suspended_platform_comes_back_as_it_was(rig: AdminRig) -> None:
    await rig.json("party", "invite", "NL/ENE", "--role", "CPO")
    await rig.json("platform", "suspend", "NL/ENE")

    assert (await rig.json("platform", "resume", "NL/ENE"))["status"] == "invited"
    again = await rig.hub("platform", "resume", "NL/ENE")

    assert again.exit_code == 1
    assert "is invited, not suspended" in again.stderr


async def test_every_change_is_audited_with_its_subject(rig: AdminRig) -> None:
    platform_id = (await rig.json("party", "invite", "NL/ENE", "--role", "CPO"))["platform_id"]
    await rig.json("platform", "suspend", platform_id)
    await rig.json("platform", "resume", platform_id)

    async with rig.store.connection() as connection:
        rows = await connection.fetch("select operator, action, subject from audit order by audit_id")

    assert [tuple(row) for row in rows] == [
        ("operator", action, f"platform/{platform_id}")
        for action in ("party.invited", "platform.suspended", "platform.resumed")
    ]


async def test_an_unknown_platform_is_not_found(rig: AdminRig) -> None:
    for words in (("show",), ("suspend",), ("resume",)):
        result = await rig.hub("platform", *words, str(uuid.uuid4()))
        assert result.exit_code == 4
        assert "there is no platform" in result.stderr
