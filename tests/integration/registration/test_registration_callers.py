"""Who may call what: tokens in their forms, what each opens, and what the configuration modules answer."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from infra.dev.partner.wire import authorization
from tests.integration.partner_rig import eventually
from tests.integration.registration_rig import (
    Hub,
    ScriptedPlatform,
    Seen,
    a_platform,
    a_role,
    forget_platforms,
    register,
    said,
)

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(loop_scope="package")
async def cpo(hub: Hub) -> AsyncIterator[ScriptedPlatform]:
    """A platform that is registered with the CPO NL/ENE."""
    async with a_platform(a_role("NL/ENE")) as made:
        await register(hub, made)
        yield made


def _encoded(token: str) -> str:
    return base64.b64encode(token.encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        lambda token: f"Token {_encoded(token)}",
        lambda token: f"Token {token}",
        lambda token: f"token {_encoded(token)}",
        lambda token: f"TOKEN   {token}  ",
        lambda token: f"Token {_encoded(token + chr(10))}",
    ],
    ids=["Base64", "raw", "scheme in lower case", "blanks", "line feed inside"],
)
async def test_a_token_opens_in_each_of_its_forms(hub: Hub, cpo: ScriptedPlatform, form: Any) -> None:
    for path in ("versions", "2.2.1", "2.2.1/credentials", "2.2.1/hubclientinfo", "2.2.1/sender/locations"):
        got = await hub.ask("GET", path, None, value=form(cpo.inbound))
        assert got.http_status == 200, path


@pytest.mark.parametrize(
    "value",
    [None, "", "Token", "Token ", "Bearer abc", "Token abc", "Token YWJj", "Basic YWJj", "Token " + "a" * 3000],
)
@pytest.mark.parametrize(
    "path", ["versions", "2.2.1", "2.2.1/credentials", "2.2.1/hubclientinfo", "2.2.1/sender/locations", "nothing", ""]
)
async def test_a_caller_without_a_known_token_gets_401_and_an_ocpi_body(hub: Hub, value: str | None, path: str) -> None:
    async def answered() -> Any:
        got = await hub.ask("GET", path, None, value=value)
        return got if got.http_status != 429 else None

    got = await eventually(answered)

    assert got.status == (401, 2000)
    assert got.headers["content-type"] == "application/json"


async def test_the_header_name_is_read_in_any_case(hub: Hub, cpo: ScriptedPlatform) -> None:
    for name in ("authorization", "AUTHORIZATION", "aUtHoRiZaTiOn"):
        got = await hub.ask("GET", "versions", None, headers={name: authorization(cpo.inbound)})
        assert got.http_status == 200


async def test_token_a_opens_versions_and_credentials_only(hub: Hub) -> None:
    invited = await hub.invite("NL/NEW")

    for path in ("versions", "2.2.1", "2.2.1/credentials"):
        assert (await hub.ask("GET", path, invited.token)).status == (200, 1000)
    for path in ("2.2.1/hubclientinfo", "2.2.1/sender/locations", "2.2.1/receiver/tokens/NL/NEW/1"):
        assert (await hub.ask("GET", path, invited.token)).status == (401, 2000)
    await forget_platforms(hub)


async def test_look_ups_of_unknown_tokens_are_bounded_and_known_tokens_do_not_wait(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    unknown = [hub.ask("GET", "versions", f"unknown-{number}") for number in range(120)]

    got = await asyncio.gather(*unknown, *(hub.ask("GET", "versions", cpo.inbound) for _ in range(20)))

    strangers, known = got[:120], got[120:]
    assert {each.http_status for each in known} == {200}
    assert {each.http_status for each in strangers} == {401, 429}
    assert 30 <= sum(each.http_status == 401 for each in strangers) <= 80
    assert all(each.headers["retry-after"] == "1" for each in strangers if each.http_status == 429)

    async def is_looked_up_again() -> bool:
        return (await hub.ask("GET", "versions", "unknown-again")).http_status == 401

    await eventually(is_looked_up_again, 3)


async def test_a_token_that_another_process_gave_is_found_before_it_was_announced(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    platform_id = await hub.value("select platform_id::text from platform")
    token_hash = hub.means.secrets.hash_inbound("given-elsewhere")
    async with hub.means.store.transaction() as connection:
        await connection.execute(
            "insert into inbound_token (token_hash, platform_id, kind) values ($1, $2, 'access')",
            token_hash,
            platform_id,
        )
        await connection.execute("update directory_version set version = version + 1")

    async def is_known() -> bool:
        return (await hub.ask("GET", "versions", "given-elsewhere")).http_status == 200

    await eventually(is_known, 2)


async def test_a_token_that_has_run_out_is_unknown(hub: Hub, cpo: ScriptedPlatform) -> None:
    async with hub.means.store.transaction() as connection:
        await connection.execute("update inbound_token set expires_at = now() - interval '1 second'")
        await connection.execute("update directory_version set version = version + 1")
    await hub.means.keeper.refresh()

    async def is_unknown() -> bool:
        return (await hub.ask("GET", "versions", cpo.inbound)).http_status == 401

    await eventually(is_unknown, 3)


async def test_a_suspended_platform_is_shut_out_everywhere_until_it_is_resumed(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await hub.value("select platform_id::text from platform")
    await hub.operate("POST", f"/platforms/{platform_id}/suspend")

    for method, path in (
        ("GET", "versions"),
        ("GET", "2.2.1/credentials"),
        ("DELETE", "2.2.1/credentials"),
        ("GET", "2.2.1/sender/locations"),
    ):
        assert (await hub.ask(method, path, cpo.inbound)).status == (403, 2000)

    await hub.operate("POST", f"/platforms/{platform_id}/resume")
    assert (await hub.ask("GET", "versions", cpo.inbound)).status == (200, 1000)


async def test_versions_and_details_are_the_same_before_and_after_the_registration(hub: Hub) -> None:
    invited = await hub.invite("NL/NEW")
    async with a_platform(a_role("NL/NEW")) as platform:
        before = [(await hub.ask("GET", path, invited.token)).data for path in ("versions", "2.2.1")]
        await platform.register(hub, invited.token)
        after = [(await hub.ask("GET", path, platform.inbound)).data for path in ("versions", "2.2.1")]

    assert before == after
    await forget_platforms(hub)


async def test_details_list_each_module_with_both_roles_and_credentials_once(hub: Hub, cpo: ScriptedPlatform) -> None:
    [version] = (await hub.ask("GET", "versions", cpo.inbound)).data

    details = (await hub.ask("GET", version["url"], cpo.inbound)).data

    assert (version["version"], details["version"]) == ("2.2.1", "2.2.1")
    listed = [(entry["identifier"], entry["role"]) for entry in details["endpoints"]]
    modules = ("cdrs", "chargingprofiles", "commands", "locations", "sessions", "tariffs", "tokens")
    assert sorted(listed) == sorted(
        [("credentials", "SENDER"), ("hubclientinfo", "SENDER")]
        + [(module, role) for module in modules for role in ("SENDER", "RECEIVER")]
    )
    urls = [entry["url"] for entry in details["endpoints"]]
    assert len(set(urls)) == len(urls)
    assert all(url.startswith(f"{hub.url}/ocpi/2.2.1/") and not url.endswith("/") for url in urls)


@pytest.mark.parametrize("path", ["versions", "2.2.1", "2.2.1/hubclientinfo"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_what_can_only_be_read_answers_405_to_the_rest(
    hub: Hub, cpo: ScriptedPlatform, path: str, method: str
) -> None:
    got = await hub.ask(method, path, cpo.inbound)

    assert got.http_status == 405
    assert got.headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["versions/", "/versions", "versions//", "2.2.1/", "2.2.1//credentials/"])
async def test_slash_forms_are_all_accepted(hub: Hub, cpo: ScriptedPlatform, path: str) -> None:
    assert (await hub.ask("GET", path, cpo.inbound)).status == (200, 1000)


@pytest.mark.parametrize("url", ["/ocpi", "/ocpi/", "/ocpi/2.1.1", "/ocpi/2.2.1/unknown", "/ocpi/versions/x"])
async def test_what_is_not_there_is_404_and_never_a_redirect(hub: Hub, cpo: ScriptedPlatform, url: str) -> None:
    assert (await hub.ask("GET", hub.url + url, cpo.inbound)).status == (404, 2000)


async def test_configuration_answers_carry_the_ids_of_the_request_and_no_routing(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    routing = {
        "OCPI-to-country-code": "DE",
        "OCPI-to-party-id": "MSP",
        "OCPI-from-country-code": "NL",
        "OCPI-from-party-id": "ENE",
    }
    for path in ("versions", "2.2.1", "2.2.1/credentials", "2.2.1/hubclientinfo", "nothing"):
        got = await hub.ask(
            "GET", path, cpo.inbound, headers={"X-Request-ID": "r-1", "X-Correlation-ID": "c-1", **routing}
        )
        assert (got.headers["x-request-id"], got.headers["x-correlation-id"]) == ("r-1", "c-1")
        assert not [name for name in got.headers if name.startswith("ocpi-")]


async def test_errors_carry_the_ids_of_the_request_too(hub: Hub) -> None:
    ids = {"X-Request-ID": "r-1", "X-Correlation-ID": "c-1"}

    got = await hub.ask("POST", "2.2.1/credentials", None, headers=ids)

    assert got.http_status in {401, 429}
    assert (got.headers["x-request-id"], got.headers["x-correlation-id"]) == ("r-1", "c-1")


async def test_ids_that_are_missing_are_made(hub: Hub, cpo: ScriptedPlatform) -> None:
    got = await hub.ask("GET", "versions", cpo.inbound)

    assert len(got.headers["x-request-id"]) == len(got.headers["x-correlation-id"]) == 36


@pytest.mark.parametrize("written", ["日本", "é", "a b", "<&>"])
async def test_ids_of_any_script_are_echoed_as_they_came(hub: Hub, cpo: ScriptedPlatform, written: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(hub.url.rpartition(":")[2]))
    head = f"GET /ocpi/versions HTTP/1.1\r\nHost: hub\r\nAuthorization: {authorization(cpo.inbound)}\r\n"
    writer.write(f"{head}X-Request-ID: {written}\r\nConnection: close\r\n\r\n".encode())

    answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 200")
    assert f"x-request-id: {written}\r\n".encode() in answer


async def test_client_info_is_paged_by_a_link_that_keeps_the_filters(hub: Hub, cpo: ScriptedPlatform) -> None:
    for number in range(5):
        await hub.invite(f"DE/MS{number}", "EMSP")
    path: str | None = "2.2.1/hubclientinfo?limit=2&date_from=2020-01-01T00:00:00Z"
    pages = []
    while path:
        got = await hub.ask("GET", path, cpo.inbound)
        assert got.headers["x-total-count"] == "5"
        pages.append([info["party_id"] for info in got.data])
        link = got.headers.get("link", "")
        assert not link or "date_from=2020" in link
        path = link.partition("<")[2].partition(">")[0] or None

    assert pages == [["MS0", "MS1"], ["MS2", "MS3"], ["MS4"]]


async def test_client_info_misses_nobody_while_parties_change_between_the_pages(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    platforms = [(await hub.invite(f"DE/MS{number}", "EMSP")).platform_id for number in range(4)]
    first = await hub.ask("GET", "2.2.1/hubclientinfo?limit=2", cpo.inbound)
    await hub.operate("POST", f"/platforms/{platforms[0]}/suspend")

    second = await hub.ask("GET", first.headers["link"].partition("<")[2].partition(">")[0], cpo.inbound)

    assert {info["party_id"] for info in first.data + second.data} == {"MS0", "MS1", "MS2", "MS3"}


async def test_no_token_stands_in_the_log_or_in_clear_in_the_database(hub: Hub) -> None:
    invited = await hub.invite("NL/NEW")
    async with a_platform(a_role("NL/NEW")) as platform:
        tokens = {invited.token}

        async def betrays(seen: Seen) -> web.Response:
            quoted = f"{seen.tokens[0]} or {_encoded(seen.tokens[0])} is wrong"
            return said(http_status=401, status_code=2001, message=quoted)

        platform.scripts["GET /ocpi/versions"] = betrays
        refused_body = platform.credentials()
        tokens.add(refused_body["token"])
        refused = await hub.ask("POST", "2.2.1/credentials", invited.token, body=refused_body)
        assert refused.status == (200, 3001)
        assert "is wrong" in refused.message
        platform.scripts.clear()
        await platform.register(hub, invited.token)
        tokens |= {platform.inbound, platform.outbound}
        await platform.register(hub, platform.inbound, "PUT")
        tokens |= {platform.inbound, platform.outbound}
        await hub.ask("GET", "2.2.1/credentials", platform.inbound)
        await hub.ask("GET", "versions", "an-unknown-token")
        await hub.ask("POST", "2.2.1/credentials", platform.inbound, content=b"{")
        tokens |= {"an-unknown-token"}
        dump, logged = await hub.dump(), "\n".join(hub.logged)

    assert len(tokens) == 7
    assert "platform.registered" in logged
    for token in tokens:
        for shown in (token, _encoded(token), token.encode().hex()):
            assert shown not in logged
            assert shown not in dump
            assert shown not in refused.message
    await forget_platforms(hub)
