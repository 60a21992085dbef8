"""Platforms register at the hub, renew and end their registration: the hub as Receiver (CR-06 … CR-31)."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from hub.ocpi.parties import PartyId
from hub.registration import register as registering
from hub.store.directory import DirectoryKeeper
from infra.dev.ports import choose
from tests.integration.partner_rig import a_partner, eventually
from tests.integration.registration_rig import (
    Hub,
    ScriptedPlatform,
    Seen,
    a_platform,
    a_role,
    answering,
    client_infos,
    register,
    said,
)

pytestmark = pytest.mark.asyncio(loop_scope="package")


@contextlib.asynccontextmanager
async def a_keeper_beside(hub: Hub) -> AsyncIterator[DirectoryKeeper]:
    """The directory of another process of this hub, which looks for changes twice a second and hears no notice."""
    means = hub.means
    keeper = DirectoryKeeper(
        means.store,
        means.secrets,
        hub_party=means.settings.hub_party,
        agreements="open",
        process_id=f"beside-{uuid.uuid4()}",
        name="relay",
    )
    await keeper.refresh()

    async def look() -> None:
        while True:
            await asyncio.sleep(0.5)
            await keeper.refresh()

    looking = asyncio.create_task(look())
    try:
        yield keeper
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await keeper.stop()


async def test_a_real_platform_registers_renews_and_ends_its_registration(hub: Hub) -> None:
    invited = await hub.invite("NL/ENE")
    async with a_partner("cpo", "NL/ENE") as partner:
        await partner.post("/register", {"versions_url": hub.versions_url, "token": invited.token})
        await partner.post("/rotate")
        connected = (await hub.show(invited.platform_id))["platform"]
        await partner.post("/unregister")

        assert await partner.get("/deviations") == []

    assert connected["status"] == "connected"
    assert (await hub.show(invited.platform_id))["platform"]["status"] == "unregistered"


async def test_the_hub_connects_back_with_token_b_while_the_post_is_open(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")
    answered = asyncio.Event()
    answered_too_soon = []

    async def versions(seen: Seen) -> web.Response:
        answered_too_soon.append(answered.is_set())
        return cpo.usual(seen)

    cpo.scripts["GET /ocpi/versions"] = cpo.scripts["GET /ocpi/2.2.1"] = versions

    await cpo.register(hub, invited.token)
    answered.set()

    assert cpo.calls == ["GET /ocpi/versions", "GET /ocpi/2.2.1"]
    assert answered_too_soon == [False, False]
    assert all(seen.tokens[0] == cpo.outbound for seen in cpo.seen)


async def test_the_hubs_calls_carry_new_message_ids_and_no_routing(hub: Hub, cpo: ScriptedPlatform) -> None:
    await register(hub, cpo)

    ids = [seen.headers[name] for seen in cpo.seen for name in ("x-request-id", "x-correlation-id")]
    assert len(set(ids)) == 4
    assert not [name for seen in cpo.seen for name in seen.headers if name.startswith("ocpi-")]


async def test_registering_gives_a_new_token_and_the_hub_alone_as_role(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")

    got = await cpo.register(hub, invited.token)

    assert got.status == (200, 1000)
    assert got.data["token"] not in {invited.token, cpo.outbound}
    assert got.data["url"] == hub.versions_url
    [role] = got.data["roles"]
    assert (role["role"], role["country_code"], role["party_id"]) == ("HUB", "NL", "HUB")


async def test_token_a_is_dead_after_the_registration_and_token_c_lives(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")
    assert (await hub.ask("GET", "versions", invited.token)).status == (200, 1000)

    await cpo.register(hub, invited.token)

    assert (await hub.ask("GET", "versions", invited.token)).status == (401, 2000)
    assert (await hub.ask("GET", "versions", cpo.inbound)).status == (200, 1000)


@pytest.mark.parametrize(
    ("method", "registered", "allow"),
    [
        ("POST", True, "GET, PUT, DELETE"),
        ("PATCH", True, "GET, PUT, DELETE"),
        ("OPTIONS", True, "GET, PUT, DELETE"),
        ("PUT", False, "GET, POST"),
        ("DELETE", False, "GET, POST"),
        ("PATCH", False, "GET, POST"),
    ],
)
async def test_a_method_that_the_registration_does_not_allow_is_405(
    hub: Hub, cpo: ScriptedPlatform, method: str, registered: bool, allow: str
) -> None:
    invited = await hub.invite("NL/ENE")
    if registered:
        await cpo.register(hub, invited.token)
    token = cpo.inbound if registered else invited.token
    before = await hub.state(invited.platform_id)

    got = await hub.ask(method, "2.2.1/credentials", token, body=cpo.credentials() if method != "DELETE" else None)

    assert got.status == (405, 2000)
    assert got.headers["allow"] == allow
    assert await hub.state(invited.platform_id) == before


async def test_get_credentials_gives_the_token_that_was_shown(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")
    with_a = await hub.ask("GET", "2.2.1/credentials", invited.token)
    await cpo.register(hub, invited.token)

    with_c = await hub.ask("GET", "2.2.1/credentials", cpo.inbound)
    with_raw_c = await hub.ask("GET", "2.2.1/credentials", None, value=f"Token {cpo.inbound}")

    assert [got.data["token"] for got in (with_a, with_c, with_raw_c)] == [invited.token, cpo.inbound, cpo.inbound]
    assert [len(got.data["roles"]) for got in (with_a, with_c)] == [1, 1]


def _nobody_listens() -> str:
    (port,) = choose("127.0.0.1", 1)
    return f"http://127.0.0.1:{port}/versions"


@pytest.mark.parametrize(
    ("url", "said_of_it"),
    [
        (_nobody_listens(), "no connection"),
        ("http://169.254.169.254/latest", "may not call this URL"),
        ("http://[::1]:1/versions", "may not call this URL"),
        ("https://user:password@partner.example/", "may not call this URL"),
        ("http://no-such-host.invalid/versions", "host name"),
    ],
    ids=["nobody listens", "metadata", "this machine", "with credentials", "no such host"],
)
async def test_a_versions_url_that_cannot_be_called_is_3001(
    hub: Hub, cpo: ScriptedPlatform, url: str, said_of_it: str
) -> None:
    invited = await hub.invite("NL/ENE")
    before = await hub.state(invited.platform_id)

    got = await cpo.register(hub, invited.token, url=url)

    assert got.status == (200, 3001)
    assert said_of_it in got.message
    assert await hub.state(invited.platform_id) == before


@pytest.mark.parametrize("path", ["/ocpi/versions", "/ocpi/2.2.1"])
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (lambda: said(http_status=500, status_code=3000), 3001),
        (lambda: said(http_status=401, status_code=2000), 3001),
        (lambda: web.Response(text="<html>"), 3001),
        (lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), 3001),
        (lambda: said(status_code=2001), 3001),
        (lambda: web.Response(body=b"[" * 2**20), 3001),
        (lambda: web.Response(body=b" " * (17 * 2**20)), 3001),
    ],
    ids=["500", "401", "no JSON", "redirect", "2001", "nested", "huge"],
)
async def test_a_platform_whose_api_the_hub_cannot_use_is_3001_and_nothing_changes(
    hub: Hub, cpo: ScriptedPlatform, path: str, response: Any, expected: int
) -> None:
    invited = await hub.invite("NL/ENE")
    before = await hub.state(invited.platform_id)
    cpo.scripts[f"GET {path}"] = answering(response)

    got = await cpo.register(hub, invited.token)

    assert got.status == (200, expected)
    assert await hub.state(invited.platform_id) == before
    assert (await hub.ask("GET", "versions", invited.token)).http_status == 200
    del cpo.scripts[f"GET {path}"]
    assert (await cpo.register(hub, invited.token)).status == (200, 1000)


async def test_a_platform_without_the_version_is_3002(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")
    cpo.scripts["GET /ocpi/versions"] = answering(lambda: said([{"version": "2.1.1", "url": f"{cpo.url}/ocpi/2.1.1"}]))

    assert (await cpo.register(hub, invited.token)).status == (200, 3002)


async def test_a_platform_without_a_credentials_endpoint_is_3003(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")
    cpo.scripts["GET /ocpi/2.2.1"] = answering(lambda: said({"version": "2.2.1", "endpoints": []}))

    assert (await cpo.register(hub, invited.token)).status == (200, 3003)


async def test_a_platform_with_nothing_but_credentials_registers(hub: Hub, cpo: ScriptedPlatform) -> None:
    cpo.modules = ()

    platform_id = await register(hub, cpo)

    assert [row["module"] for row in (await hub.show(platform_id))["endpoints"]] == ["credentials"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (400, 2001)),
        (b"{", (400, 2001)),
        (b"\xff\xfe", (400, 2001)),
        (b'{"token": "\xe9"}', (400, 2001)),
        (b'{"token": "\\ud800"}', (400, 2001)),
        (b"[" * 200_000, (400, 2001)),
        (b" " * 300_000, (413, 2001)),
        (b"[]", (200, 2001)),
        (b"null", (200, 2001)),
        (b"{}", (200, 2001)),
    ],
    ids=["empty", "half", "no UTF-8", "Latin-1", "surrogate", "nested", "too large", "list", "null", "no fields"],
)
async def test_a_body_that_is_no_credentials_object_is_refused(
    hub: Hub, content: bytes, expected: tuple[int, int]
) -> None:
    invited = await hub.invite("NL/ENE")

    assert (await hub.ask("POST", "2.2.1/credentials", invited.token, content=content)).status == expected
    assert (await hub.ask("GET", "versions", invited.token)).status == (200, 1000)


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "with a blank"},
        {"token": "x" * 65},
        {"token": ""},
        {"roles": []},
        {"roles": [a_role("NL/ENE"), a_role("nl/ene")]},
        {"roles": [a_role("NL/ENE", "DRIVER")]},
        {"roles": [a_role("NLD/ENE")]},
        {"url": "versions"},
        {"url": None},
    ],
)
async def test_credentials_that_cannot_be_used_are_2001_and_nobody_is_called(
    hub: Hub, cpo: ScriptedPlatform, changes: dict[str, Any]
) -> None:
    invited = await hub.invite("NL/ENE")

    assert (await cpo.register(hub, invited.token, **changes)).status == (200, 2001)
    assert cpo.calls == []


async def test_of_two_registrations_with_one_token_a_only_the_first_succeeds(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")
    both_are_open = asyncio.Barrier(2)

    async def meet(seen: Seen) -> web.Response:
        await both_are_open.wait()
        return cpo.usual(seen)

    cpo.scripts["GET /ocpi/versions"] = meet
    bodies = [cpo.credentials(), cpo.credentials()]

    got = await asyncio.gather(*(hub.ask("POST", "2.2.1/credentials", invited.token, body=body) for body in bodies))

    won, lost = sorted(got, key=lambda each: each.http_status)
    assert (won.status, lost.status) == ((200, 1000), (405, 2000))
    assert (await hub.ask("GET", "versions", won.data["token"])).status == (200, 1000)
    kept = hub.means.keeper.current.platforms[invited.platform_id].token
    assert kept is not None
    assert kept.value == bodies[got.index(won)]["token"]
    assert await hub.value("select count(*) from inbound_token") == 1


async def test_a_platform_that_is_suspended_while_it_registers_is_not_connected(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    invited = await hub.invite("NL/ENE")

    async def suspend(seen: Seen) -> web.Response:
        await hub.operate("POST", f"/platforms/{invited.platform_id}/suspend")
        return cpo.usual(seen)

    cpo.scripts["GET /ocpi/2.2.1"] = suspend

    got = await cpo.register(hub, invited.token)

    assert got.status == (403, 2000)
    assert (await hub.show(invited.platform_id))["platform"]["status"] == "suspended"
    assert await hub.value("select count(*) from outbound_token") == 0


async def test_a_platform_that_unregisters_while_it_renews_stays_unregistered(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)
    token = cpo.inbound

    async def unregister(seen: Seen) -> web.Response:
        assert (await hub.ask("DELETE", "2.2.1/credentials", token)).status == (200, 1000)
        return cpo.usual(seen)

    cpo.scripts["GET /ocpi/2.2.1"] = unregister

    got = await cpo.register(hub, token, "PUT")

    assert got.status == (405, 2000)
    assert (await hub.show(platform_id))["platform"]["status"] == "unregistered"
    assert (await hub.show(platform_id))["tokens"] == []


async def test_renewing_gives_new_tokens_and_reads_the_endpoints_again(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)
    first = cpo.inbound
    cpo.seen.clear()
    cpo.modules = (("cdrs", "SENDER"),)

    got = await cpo.register(hub, first, "PUT")

    assert got.status == (200, 1000)
    assert got.data["token"] != first
    assert cpo.calls == ["GET /ocpi/versions", "GET /ocpi/2.2.1"]
    known = hub.means.keeper.current.platforms[platform_id]
    assert known.token is not None
    assert known.token.value == cpo.outbound
    assert {module for module, _ in known.endpoints} == {"credentials", "cdrs"}


async def test_the_replaced_token_works_until_the_new_one_is_used(hub: Hub, cpo: ScriptedPlatform) -> None:
    await register(hub, cpo)
    first = cpo.inbound
    await cpo.register(hub, first, "PUT")
    second = cpo.inbound

    for _ in range(3):
        assert (await hub.ask("GET", "versions", first)).status == (200, 1000)
    assert (await hub.ask("GET", "versions", second)).status == (200, 1000)

    async def is_dead() -> bool:
        return (await hub.ask("GET", "versions", first)).status == (401, 2000)

    await eventually(is_dead, 3)
    assert (await hub.ask("GET", "versions", second)).status == (200, 1000)
    assert await hub.value("select count(*) from inbound_token") == 1


async def test_a_renewal_whose_answer_was_lost_can_be_repeated_with_the_old_token(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    await register(hub, cpo)
    first = cpo.inbound
    await cpo.register(hub, first, "PUT")
    lost = cpo.inbound

    got = await cpo.register(hub, first, "PUT")

    assert got.status == (200, 1000)
    assert (await hub.ask("GET", "versions", cpo.inbound)).status == (200, 1000)

    async def are_dead() -> bool:
        return [(await hub.ask("GET", "versions", token)).http_status for token in (first, lost)] == [401, 401]

    await eventually(are_dead, 3)


async def test_a_renewal_that_fails_leaves_everything_as_it_was(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)
    token, before = cpo.inbound, await hub.state(platform_id)
    cpo.modules = (("cdrs", "SENDER"),)
    cpo.scripts["GET /ocpi/2.2.1"] = answering(lambda: said(status_code=3000))

    got = await cpo.register(hub, token, "PUT", roles=[a_role("NL/NEW")])

    assert got.status == (200, 3001)
    assert await hub.state(platform_id) == before
    assert (await hub.ask("GET", "versions", token)).status == (200, 1000)


async def test_unregistering_ends_both_tokens_and_keeps_the_rest(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)
    async with a_platform(a_role("DE/MSP", "EMSP")) as emsp:
        await register(hub, emsp, "DE/MSP", "EMSP")

        got = await hub.ask("DELETE", "2.2.1/credentials", cpo.inbound)

        assert got.status == (200, 1000)
        assert "data" not in got.body
        assert await client_infos(hub, emsp) == {"NL/ENE": "OFFLINE"}
    assert (await hub.ask("GET", "versions", cpo.inbound)).status == (401, 2000)
    shown = await hub.show(platform_id)
    assert (shown["platform"]["status"], shown["tokens"]) == ("unregistered", [])
    assert [row["party"] for row in shown["parties"]] == ["NL/ENE"]
    assert shown["endpoints"]
    assert not hub.means.keeper.current.platforms[platform_id].is_connected


async def test_a_new_registration_needs_a_new_token_a_and_resumes(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)
    await hub.ask("DELETE", "2.2.1/credentials", cpo.inbound)
    assert (await cpo.register(hub, cpo.inbound)).status == (401, 2000)

    renewed = await hub.operate("POST", f"/platforms/{platform_id}/rotate-token")
    got = await cpo.register(hub, renewed["token"])

    assert got.status == (200, 1000)
    assert hub.means.keeper.current.owns(platform_id, PartyId("NL", "ENE"))
    assert hub.means.keeper.current.platforms[platform_id].is_connected


@pytest.mark.parametrize("path", ["/ocpi/versions", "/ocpi/2.2.1", "/", ""])
async def test_a_platform_that_gives_a_url_of_the_hub_itself_is_3001(
    hub: Hub, cpo: ScriptedPlatform, path: str
) -> None:
    invited = await hub.invite("NL/ENE")

    got = await cpo.register(hub, invited.token, url=hub.url + path)

    assert got.status == (200, 3001)
    assert "one of this hub's own" in got.message
    assert (await cpo.register(hub, invited.token)).status == (200, 1000)


async def test_a_platform_whose_endpoint_is_the_hub_itself_is_3001(hub: Hub, cpo: ScriptedPlatform) -> None:
    invited = await hub.invite("NL/ENE")
    own = {"identifier": "tokens", "role": "RECEIVER", "url": f"{hub.url}/ocpi/2.2.1/receiver/tokens"}
    cpo.modules = ()
    details = {"version": "2.2.1", "endpoints": [*cpo.endpoints(), own]}
    cpo.scripts["GET /ocpi/2.2.1"] = answering(lambda: said(details))

    got = await cpo.register(hub, invited.token)

    assert got.status == (200, 3001)
    assert "tokens RECEIVER" in got.message


async def test_a_renewal_is_answered_once_every_process_shows_the_new_token(hub: Hub, cpo: ScriptedPlatform) -> None:
    """The other process hears of it by looking twice a second only; without the wait it would show the old token meanwhile."""
    platform_id = await register(hub, cpo)
    async with a_keeper_beside(hub) as other:
        got = await cpo.register(hub, cpo.inbound, "PUT")
        shown = other.current.platforms[platform_id].token

    assert got.status == (200, 1000)
    assert shown is not None
    assert shown.value == cpo.outbound


async def test_a_process_that_hangs_delays_a_renewal_for_a_moment_only(
    hub: Hub, cpo: ScriptedPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "HOLDERS_SECONDS", 0.2)
    await register(hub, cpo)
    async with hub.means.store.connection() as connection:
        await connection.execute(
            "insert into directory_holder (process_id, name, version, expires_at)"
            " values ('hangs', 'relay', 0, now() + interval '60 seconds')"
        )
    try:
        assert (await cpo.register(hub, cpo.inbound, "PUT")).status == (200, 1000)
    finally:
        async with hub.means.store.connection() as connection:
            await connection.execute("delete from directory_holder where process_id = 'hangs'")
