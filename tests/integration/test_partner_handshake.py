"""Two simulated partners register at each other, renew and end it, and refuse what OCPI refuses."""

from typing import Any

import pytest

from infra.dev.partner.wire import authorization
from tests.integration.partner_rig import Driven, a_pair, a_partner, connect


async def get(driven: Driven, url: str, header: str | None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": header} if header else {}
    async with driven.session.get(url, headers=headers) as response:
        return response.status, await response.json()


def invited(driven: Driven) -> str:
    assert driven.partner.token is not None
    return driven.partner.token


async def test_handshake_leaves_both_sides_registered_and_the_invitation_dead() -> None:
    async with a_partner("cpo", "NL/CPO") as cpo, a_partner("emsp", "NL/MSP") as emsp:
        invitation = invited(emsp)
        assert (await get(emsp, emsp.partner.versions_url, None))[0] == 401
        assert (await get(emsp, emsp.partner.versions_url, authorization(invitation)))[0] == 200
        await connect(cpo, emsp)
        assert (await get(emsp, emsp.partner.versions_url, authorization(invitation)))[0] == 401
        ours, theirs = await cpo.get("/state"), await emsp.get("/state")
        assert ours["registered"]
        assert theirs["registered"]
        assert theirs["peer"]["roles"][0]["role"] == "CPO"
        assert ours["peer"]["roles"][0]["party_id"] == "MSP"


async def test_sender_calls_versions_and_details_then_credentials_and_is_called_back_within_it() -> None:
    async with a_pair() as (cpo, emsp):
        asked = [(record["method"], record["path"]) for record in await emsp.received()]
        assert asked == [("GET", "/ocpi/versions"), ("GET", "/ocpi/2.2.1"), ("POST", "/ocpi/2.2.1/credentials")]
        back = await cpo.received()
        assert [record["path"] for record in back] == ["/ocpi/versions", "/ocpi/2.2.1"]
        post = (await emsp.received(method="POST"))[0]
        assert post["at"] < back[0]["at"] <= back[1]["answer"]["at"] < post["answer"]["at"]


async def test_handshake_has_no_deviation_on_either_side() -> None:
    async with a_pair() as (cpo, emsp):
        assert await cpo.get("/deviations") == []
        assert await emsp.get("/deviations") == []


async def test_details_list_the_interfaces_of_the_role() -> None:
    async with a_pair() as (cpo, emsp):
        of_emsp = {(e["module"], e["interface"]) for e in (await cpo.get("/state"))["endpoints"]}
        of_cpo = {(e["module"], e["interface"]) for e in (await emsp.get("/state"))["endpoints"]}
        assert ("tokens", "SENDER") in of_emsp
        assert ("locations", "RECEIVER") in of_emsp
        assert ("tokens", "RECEIVER") in of_cpo
        assert ("locations", "SENDER") in of_cpo
        assert ("hubclientinfo", "RECEIVER") in of_emsp & of_cpo
        assert ("locations", "SENDER") not in of_emsp


async def test_credentials_list_every_party_with_every_role() -> None:
    async with a_partner("both", "NL/ONE", "BE/TWO") as many, a_partner("emsp", "NL/MSP") as emsp:
        await connect(many, emsp)
        roles = (await emsp.get("/state"))["peer"]["roles"]
        assert {(r["country_code"], r["party_id"], r["role"]) for r in roles} == {
            ("NL", "ONE", "CPO"),
            ("NL", "ONE", "EMSP"),
            ("BE", "TWO", "CPO"),
            ("BE", "TWO", "EMSP"),
        }
        assert all(r["business_details"]["name"] for r in roles)


async def test_invitation_opens_no_functional_module() -> None:
    async with a_partner("emsp", "NL/MSP") as emsp:
        url = emsp.partner.versions_url.replace("versions", "2.2.1/sender/tokens")
        assert (await get(emsp, url, authorization(invited(emsp))))[0] == 401


async def test_raw_token_is_accepted_and_noted() -> None:
    async with a_partner("emsp", "NL/MSP") as emsp:
        assert (await get(emsp, emsp.partner.versions_url, f"Token {invited(emsp)}"))[0] == 200
        assert "authorization" in [found["rule"] for found in await emsp.get("/deviations")]


async def test_rotation_renews_both_tokens_and_traffic_goes_on() -> None:
    async with a_pair() as (cpo, emsp):
        before = await emsp.get("/state")
        await cpo.post("/rotate")
        after = await emsp.get("/state")
        assert after["registered"]
        assert after["peer"]["versions_url"] == before["peer"]["versions_url"]
        answer = await cpo.send("GET", "versions")
        assert answer["status"] == 200
        answer = await emsp.send("GET", "versions")
        assert answer["status"] == 200
        assert [r["method"] for r in await emsp.received(module="credentials")] == ["POST", "PUT"]


async def test_receiver_can_rotate_too() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.post("/rotate")
        assert (await cpo.send("GET", "versions"))["status"] == 200
        assert (await emsp.send("GET", "versions"))["status"] == 200


async def test_unregistering_ends_both_sides_and_a_new_invitation_starts_again() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.post("/unregister")
        assert not (await cpo.get("/state"))["registered"]
        assert not (await emsp.get("/state"))["registered"]
        assert (await cpo.refusal("/send", {"method": "GET", "module": "versions"}))[0] == 409
        await cpo.post("/register", await emsp.post("/invite"))
        assert (await cpo.get("/state"))["registered"]


@pytest.mark.parametrize(("method", "registered"), [("POST", True), ("PUT", False), ("DELETE", False)])
async def test_credentials_method_out_of_place_is_405(method: str, registered: bool) -> None:
    async with a_pair() as (cpo, emsp):
        headers = {}
        if registered:
            answer = await cpo.send(method, "credentials", body={"token": "x", "url": "http://127.0.0.1:1/"})
            status, headers = answer["status"], answer["headers"]
        else:
            await emsp.post("/unregister")
            invitation = await emsp.post("/invite")
            url = invitation["versions_url"].replace("versions", "2.2.1/credentials")
            header = {"Authorization": authorization(invitation["token"])}
            async with cpo.session.request(method, url, headers=header) as response:
                status, headers = response.status, {k.lower(): v for k, v in response.headers.items()}
        assert status == 405
        assert "GET" in headers["allow"]


async def test_caller_that_cannot_be_called_back_gets_3001_and_may_try_again() -> None:
    async with a_partner("emsp", "NL/MSP") as emsp:
        invitation = invited(emsp)
        url = emsp.partner.versions_url.replace("versions", "2.2.1/credentials")
        posted = {"token": "nobody", "url": "http://127.0.0.1:1/versions", "roles": []}
        headers = {"Authorization": authorization(invitation)}
        async with emsp.session.post(url, json=posted, headers=headers) as response:
            assert (response.status, (await response.json())["status_code"]) == (200, 3001)
        assert (await get(emsp, emsp.partner.versions_url, authorization(invitation)))[0] == 200


async def test_wrong_token_is_a_refused_order_that_changes_nothing() -> None:
    async with a_partner("cpo", "NL/CPO") as cpo, a_partner("emsp", "NL/MSP") as emsp:
        order = {"versions_url": emsp.partner.versions_url, "token": "wrong"}
        status, error = await cpo.refusal("/register", order)
        assert status == 502
        assert "401" in error
        assert not (await cpo.get("/state"))["registered"]


async def test_control_answers_no_web_page_and_no_other_host_name() -> None:
    async with a_partner("cpo", "NL/CPO") as cpo:
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            async with cpo.session.get(cpo.partner.control_url + "/state", headers=headers) as response:
                assert response.status == 403


async def test_tokens_are_nowhere_shown_in_full() -> None:
    async with a_pair() as (cpo, _):
        shown = str(await cpo.get("/state")) + str(await cpo.received(bodies="false"))
        assert "sim~" not in shown
        assert "sim…" in shown


async def test_port_that_is_taken_is_an_error() -> None:
    async with a_partner("cpo", "NL/CPO") as cpo:
        port = int(cpo.partner.versions_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError):
            async with a_partner("emsp", "NL/MSP", port=port):
                pass


async def test_answers_of_configuration_modules_have_ids_and_no_routing_headers() -> None:
    async with a_pair() as (cpo, _):
        answer = await cpo.send("GET", "versions")
        assert answer["headers"]["x-request-id"] == answer["request_id"]
        assert answer["headers"]["x-correlation-id"] == answer["correlation_id"]
        assert not [name for name in answer["headers"] if name.startswith("ocpi-")]
