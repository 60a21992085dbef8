"""The hub registers at platforms and renews the tokens of both sides: the hub as Sender (CR-01 … CR-05, CR-18, CR-32, AM-21)."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from hub.model.directory import OutboundToken
from hub.ocpi.status import Refusal
from hub.registration.driver import drive
from hub.registration.handshake import learn
from hub.registration.identity import Identity
from hub.registration.register import Connected, Registrar
from hub.store.directory import DirectoryKeeper
from hub.store.pool import Store
from tests.integration.conftest import url_of
from tests.integration.partner_rig import a_partner, eventually
from tests.integration.registration_rig import (
    Hub,
    ScriptedPlatform,
    Seen,
    a_platform,
    a_role,
    answering,
    said,
    takes,
)

pytestmark = pytest.mark.asyncio(loop_scope="package")

TOKEN_A = "a~0123456789"
CREDENTIALS = "/ocpi/2.2.1/credentials"


@pytest_asyncio.fixture(loop_scope="package")
async def cpo(hub: Hub) -> AsyncIterator[ScriptedPlatform]:
    """A platform with NL/ENE at which the hub may register with TOKEN_A; it calls back as Receivers do."""
    async with a_platform(a_role("NL/ENE")) as made:
        made.accepted.add(TOKEN_A)
        made.scripts[f"POST {CREDENTIALS}"] = made.scripts[f"PUT {CREDENTIALS}"] = takes(hub, made)
        yield made


async def connect(hub: Hub, platform: ScriptedPlatform, *, expected: tuple[int, ...] = (201,), **more: Any) -> Any:
    """Register the hub there, as an operator does."""
    return await hub.operate(
        "POST",
        "/platforms",
        expected=expected,
        **{"url": platform.versions_url, "token": TOKEN_A, "party": "NL/ENE", "roles": ["CPO"], **more},
    )


async def rotate(hub: Hub, platform_id: str, *, expected: tuple[int, ...] = (200,)) -> Any:
    """Renew the tokens, as an operator does."""
    return await hub.operate("POST", f"/platforms/{platform_id}/rotate-token", expected=expected)


async def opens(hub: Hub, token: str) -> bool:
    """Whether a token opens the hub."""
    return (await hub.ask("GET", "versions", token)).http_status == 200


def outbound(hub: Hub, platform_id: str) -> str:
    """The token that the hub shows to a platform."""
    token = hub.means.keeper.current.platforms[platform_id].token
    assert token is not None
    return token.value


async def test_both_sides_of_the_handshake_with_a_real_platform(hub: Hub) -> None:
    async with a_partner("cpo", "NL/ENE") as partner:
        made = await hub.operate(
            "POST",
            "/platforms",
            url=partner.partner.versions_url,
            token=partner.partner.token,
            party="NL/ENE",
            roles=["CPO"],
        )
        await rotate(hub, made["platform"]["platform_id"])
        await partner.post("/rotate")

        assert (await hub.show(made["platform"]["platform_id"]))["platform"]["status"] == "connected"
        assert await partner.get("/deviations") == []


async def test_versions_and_details_are_read_before_the_post(hub: Hub, cpo: ScriptedPlatform) -> None:
    await connect(hub, cpo)

    assert cpo.calls == ["GET /ocpi/versions", "GET /ocpi/2.2.1", f"POST {CREDENTIALS}"]
    assert [seen.tokens[0] for seen in cpo.seen] == [TOKEN_A] * 3


async def test_the_post_holds_a_new_token_the_versions_url_and_the_hub_alone(hub: Hub, cpo: ScriptedPlatform) -> None:
    await connect(hub, cpo)

    given = cpo.seen[-1].body
    assert given["url"] == hub.versions_url
    assert given["token"] != TOKEN_A
    assert [(role["role"], role["country_code"], role["party_id"]) for role in given["roles"]] == [("HUB", "NL", "HUB")]
    assert cpo.seen[-1].headers["content-type"] == "application/json"
    assert not [name for seen in cpo.seen for name in seen.headers if name.startswith("ocpi-")]


async def test_afterwards_the_hub_uses_the_tokens_of_the_answer_and_of_the_post(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]

    assert outbound(hub, platform_id) == cpo.outbound
    assert await opens(hub, cpo.inbound)
    assert (await hub.ask("GET", "2.2.1/sender/locations", cpo.inbound)).status == (200, 1000)
    assert (await hub.ask("POST", "2.2.1/credentials", cpo.inbound, body=cpo.credentials())).status == (405, 2000)


async def test_a_token_that_the_platform_takes_raw_only_is_shown_raw_ever_after(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    async def refuses_encoded(seen: Seen) -> web.Response:
        if "~" not in seen.headers["authorization"]:
            return said(http_status=401, status_code=2000)
        return cpo.usual(seen)

    cpo.scripts["GET /ocpi/versions"] = refuses_encoded
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    await rotate(hub, platform_id)

    assert [seen.headers["authorization"] for seen in cpo.seen[1:4]] == [f"Token {TOKEN_A}"] * 3
    assert cpo.calls.count("GET /ocpi/versions") == 3
    assert await hub.value("select encoding from outbound_token") == "raw"


@pytest.mark.parametrize(
    ("path", "response"),
    [
        ("GET /ocpi/versions", lambda: said([{"version": "2.1.1", "url": "http://127.0.0.1:1/"}])),
        ("GET /ocpi/2.2.1", lambda: said({"version": "2.2.1", "endpoints": []})),
        ("GET /ocpi/2.2.1", lambda: said(http_status=500, status_code=3000)),
    ],
    ids=["no common version", "no credentials", "fault"],
)
async def test_without_what_the_hub_needs_nothing_is_posted_and_nothing_stays(
    hub: Hub, cpo: ScriptedPlatform, path: str, response: Any
) -> None:
    cpo.scripts[path] = answering(response)

    await connect(hub, cpo, expected=(502,))

    assert f"POST {CREDENTIALS}" not in cpo.calls
    assert await hub.value("select count(*) from platform") == 0


@pytest.mark.parametrize(
    "response",
    [
        lambda: said(http_status=405, status_code=2000),
        lambda: said(status_code=3001),
        lambda: said(http_status=500, status_code=3000),
        lambda: said({"token": "with a blank", "url": "http://127.0.0.1:1/", "roles": [a_role("NL/ENE")]}),
        lambda: web.Response(text="OK"),
    ],
    ids=["405", "3001", "500", "unusable credentials", "no JSON"],
)
async def test_a_platform_that_does_not_take_the_hub_leaves_no_platform_and_no_token(
    hub: Hub, cpo: ScriptedPlatform, response: Any
) -> None:
    offered = []
    say = answering(response)

    async def refuse(seen: Seen) -> web.Response:
        offered.append(seen.body["token"])
        assert await opens(hub, seen.body["token"])
        return await say(seen)

    cpo.scripts[f"POST {CREDENTIALS}"] = refuse

    await connect(hub, cpo, expected=(502,))

    assert await hub.value("select count(*) from platform") == 0
    assert await hub.value("select count(*) from inbound_token") == 0
    assert not await opens(hub, offered[0])


async def test_a_platform_that_unregistered_can_be_connected_by_the_hub_again(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    await hub.ask("DELETE", "2.2.1/credentials", cpo.inbound)
    cpo.accepted.add(TOKEN_A)

    again = await connect(hub, cpo, platform_id=platform_id)

    assert (again["platform"]["platform_id"], again["platform"]["status"]) == (platform_id, "connected")
    assert await opens(hub, cpo.inbound)


async def test_renewing_puts_a_new_token_and_uses_the_one_that_comes_back(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    first, shown = cpo.inbound, cpo.outbound
    cpo.seen.clear()

    await rotate(hub, platform_id)

    assert cpo.calls == ["GET /ocpi/versions", "GET /ocpi/2.2.1", f"PUT {CREDENTIALS}"]
    assert {seen.tokens[0] for seen in cpo.seen} == {shown}
    assert outbound(hub, platform_id) == cpo.outbound != shown
    assert cpo.inbound != first


async def test_the_old_inbound_token_works_until_the_platform_uses_the_new_one(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    first = cpo.inbound
    await rotate(hub, platform_id)

    assert await opens(hub, first)
    assert await opens(hub, cpo.inbound)

    async def is_dead() -> bool:
        return not await opens(hub, first)

    await eventually(is_dead, 3)
    assert await opens(hub, cpo.inbound)


async def test_the_call_back_within_the_renewal_does_not_end_the_old_token(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    first = cpo.inbound
    usual = cpo.scripts[f"PUT {CREDENTIALS}"]
    still_open = []

    async def take(seen: Seen) -> web.Response:
        answer = await usual(seen)
        still_open.append(await opens(hub, first))
        return answer

    cpo.scripts[f"PUT {CREDENTIALS}"] = take
    await rotate(hub, platform_id)

    assert still_open == [True]


@pytest.mark.parametrize("http_status", [200, 400, 405])
async def test_a_renewal_that_the_platform_refuses_leaves_the_old_tokens_alone(
    hub: Hub, cpo: ScriptedPlatform, http_status: int
) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    before, offered = await hub.state(platform_id), []

    async def refuse(seen: Seen) -> web.Response:
        offered.append(seen.body["token"])
        return said(http_status=http_status, status_code=2001)

    cpo.scripts[f"PUT {CREDENTIALS}"] = refuse
    await rotate(hub, platform_id, expected=(502,))

    assert await hub.state(platform_id) == before
    assert await opens(hub, cpo.inbound)
    assert not await opens(hub, offered[0])


@pytest.mark.parametrize("ending", ["drop", "500", "no JSON"])
async def test_after_a_renewal_of_unknown_end_both_inbound_tokens_work_until_the_next(
    hub: Hub, cpo: ScriptedPlatform, ending: str
) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    first = cpo.inbound
    usual = cpo.scripts[f"PUT {CREDENTIALS}"]

    async def take_and_fail(seen: Seen) -> web.Response:
        shown = set(seen.tokens)
        await usual(seen)
        cpo.accepted |= shown
        if ending == "drop":
            raise ConnectionResetError
        return web.Response(status=500 if ending == "500" else 200, text="oh")

    cpo.scripts[f"PUT {CREDENTIALS}"] = take_and_fail
    await rotate(hub, platform_id, expected=(502,))
    second = cpo.inbound

    assert second != first
    assert [await opens(hub, token) for token in (second, first, second, first)] == [True] * 4

    cpo.scripts[f"PUT {CREDENTIALS}"] = usual
    await rotate(hub, platform_id)

    async def only_the_newest_opens() -> bool:
        return [await opens(hub, token) for token in (cpo.inbound, second, first)] == [True, False, False]

    await eventually(only_the_newest_opens, 3)
    assert await hub.value("select count(*) from inbound_token") == 1


async def test_renewals_of_unknown_end_leave_two_inbound_tokens_however_many_there_are(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    """A platform that answers every PUT with 500 would gather a token with each, all of them open for good."""
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    first, offered = cpo.inbound, []

    async def fail(seen: Seen) -> web.Response:
        offered.append(seen.body["token"])
        return web.Response(status=500)

    cpo.scripts[f"PUT {CREDENTIALS}"] = fail
    for _ in range(3):
        declined = await rotate(hub, platform_id, expected=(502,))
        assert "the old one both work" in declined["error"]["message"]

    assert [await opens(hub, token) for token in (first, *offered)] == [True, False, False, True]
    assert await hub.value("select count(*) from inbound_token") == 2


async def test_a_registration_waits_for_its_own_version_though_its_process_cannot_load_it(
    hub: Hub, cpo: ScriptedPlatform, postgres_url: str
) -> None:
    """What it says of the other processes must not be true of the version before."""
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    party, name = hub.means.settings.hub_party, uuid.uuid4().hex
    lost = await Store.open(url_of(postgres_url, hub.database), size=1)
    keeper = DirectoryKeeper(lost, hub.means.secrets, hub_party=party, agreements="open", process_id=name, name="serve")
    await keeper.refresh()
    await lost.close()
    hub.logged.clear()

    assert isinstance(await a_registrar(hub, keeper).rotate(platform_id), Connected)

    assert await was_logged(hub, "registration.not_everywhere_yet")
    await hub.value("delete from directory_holder where process_id = $1", name)


async def test_a_platform_that_unregisters_while_the_hub_renews_stays_unregistered(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    first = cpo.inbound
    usual = cpo.scripts[f"PUT {CREDENTIALS}"]

    async def take_and_leave(seen: Seen) -> web.Response:
        answer = await usual(seen)
        assert (await hub.ask("DELETE", "2.2.1/credentials", first)).status == (200, 1000)
        return answer

    cpo.scripts[f"PUT {CREDENTIALS}"] = take_and_leave
    await rotate(hub, platform_id, expected=(502,))

    shown = await hub.show(platform_id)
    assert (shown["platform"]["status"], shown["tokens"]) == ("unregistered", [])
    assert not await opens(hub, cpo.inbound)


async def test_what_a_renewal_gave_is_stored_though_postgres_is_away_for_a_moment(
    hub: Hub, cpo: ScriptedPlatform, postgres_url: str
) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    usual = cpo.scripts[f"PUT {CREDENTIALS}"]
    postgres = await asyncpg.connect(postgres_url)

    async def take_and_shut(seen: Seen) -> web.Response:
        answer = await usual(seen)
        await shut(postgres, hub.database)
        return answer

    cpo.scripts[f"PUT {CREDENTIALS}"] = take_and_shut
    try:
        renewing = asyncio.create_task(rotate(hub, platform_id))
        await eventually(lambda: was_logged(hub, "credentials.not_stored_yet"))
        await postgres.execute(f"alter database {hub.database} allow_connections true")
        await renewing
    finally:
        await postgres.execute(f"alter database {hub.database} allow_connections true")
        await postgres.close()

    assert outbound(hub, platform_id) == cpo.outbound
    assert await opens(hub, cpo.inbound)


async def test_the_hub_ends_a_connection_at_the_platform_and_here(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]
    shown = cpo.outbound
    cpo.scripts[f"DELETE {CREDENTIALS}"] = answering(said)

    refusal = await a_registrar(hub).unregister(platform_id)

    assert refusal is None
    assert (cpo.calls[-1], cpo.seen[-1].tokens[0]) == (f"DELETE {CREDENTIALS}", shown)
    assert not await opens(hub, cpo.inbound)
    assert (await hub.show(platform_id))["tokens"] == []


async def test_the_hub_ends_a_connection_also_when_the_platform_does_not_hear_of_it(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    platform_id = (await connect(hub, cpo))["platform"]["platform_id"]

    assert await a_registrar(hub).unregister(platform_id) is None
    assert isinstance(await a_registrar(hub).unregister(platform_id), Refusal)

    assert not await opens(hub, cpo.inbound)
    assert await was_logged(hub, "platform.not_told")


async def test_a_handshake_ends_in_its_time_however_slow_the_platform_is(hub: Hub, cpo: ScriptedPlatform) -> None:
    async def is_slow(seen: Seen) -> web.Response:
        await asyncio.wait_for(asyncio.Event().wait(), 10)
        return cpo.usual(seen)

    cpo.scripts["GET /ocpi/2.2.1"] = is_slow
    flow = learn(cpo.versions_url, OutboundToken(TOKEN_A), wanted="2.2.1", roles=())
    started = time.monotonic()

    result = await drive(hub.means.partners, flow, seconds=0.3)

    assert isinstance(result, Refusal)
    assert time.monotonic() - started < 3
    assert cpo.calls == ["GET /ocpi/versions", "GET /ocpi/2.2.1"]


async def test_no_call_begins_after_the_time_of_a_handshake(hub: Hub, cpo: ScriptedPlatform) -> None:
    flow = learn(cpo.versions_url, OutboundToken(TOKEN_A), wanted="2.2.1", roles=())

    result = await drive(hub.means.partners, flow, seconds=0)

    assert isinstance(result, Refusal)
    assert "took too long" in result.message
    assert cpo.calls == []


def a_registrar(hub: Hub, keeper: DirectoryKeeper | None = None) -> Registrar:
    """The use case itself, on the means of the running hub, if need be with a directory of its own."""
    means = hub.means
    identity = Identity(means.settings.hub_party, "A hub", hub.url)
    keeper = keeper or means.keeper
    return Registrar(
        store=means.store, secrets=means.secrets, keeper=keeper, partners=means.partners, identity=identity
    )


async def was_logged(hub: Hub, event: str) -> bool:
    """Whether the hub has logged this event."""
    return any(event in line for line in hub.logged)


async def shut(postgres: asyncpg.Connection, database: str) -> None:
    """Take the database away: no new connections, none of the old ones."""
    await postgres.execute(f"alter database {database} allow_connections false")
    await postgres.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", database)


async def test_an_odd_token_a_of_the_longest_kind_is_shown_as_it_is(hub: Hub, cpo: ScriptedPlatform) -> None:
    token = ("!" + uuid.uuid4().hex + "~" * 64)[:64]
    cpo.accepted.add(token)

    await connect(hub, cpo, token=token)

    assert cpo.seen[0].tokens[0] == token
