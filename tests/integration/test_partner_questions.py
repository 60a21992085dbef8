"""Authorizations, commands with callbacks, charging profiles and charging preferences between two partners."""

from typing import Any

import pytest

from tests.integration.partner_rig import Driven, a_pair, a_partner, a_session, a_token, connect, eventually


def start_session(**fields: Any) -> dict[str, Any]:
    return {"token": a_token(), "location_id": "L1", "evse_uid": "E1", **fields}


async def authorize(cpo: Driven, uid: str, to: str = "NL/MSP", **order: Any) -> Any:
    return await cpo.send("POST", "tokens", f"{uid}/authorize", interface="sender", to=to, **order)


async def test_authorize_tells_what_the_own_token_says() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.post("/own", [a_token("GOOD"), a_token("BAD", valid=False), a_token("LATE")])
        await emsp.post("/behaviour", {"allowed": {"LATE": "EXPIRED"}})
        answers = {uid: (await authorize(cpo, uid))["body"]["data"] for uid in ("GOOD", "BAD", "LATE")}
        assert {uid: answer["allowed"] for uid, answer in answers.items()} == {
            "GOOD": "ALLOWED",
            "BAD": "BLOCKED",
            "LATE": "EXPIRED",
        }
        assert answers["GOOD"]["token"] == a_token("GOOD")
        assert answers["GOOD"]["authorization_reference"]


async def test_authorize_gives_the_location_back_and_minds_the_type() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.post("/own", a_token("A1", type="APP_USER"))
        place = {"location_id": "L1", "evse_uids": ["E1"]}
        known = await authorize(cpo, "a1", query="type=APP_USER", body=place)
        assert known["body"]["data"]["location"] == place
        unknown = await authorize(cpo, "A1")
        assert (unknown["status"], unknown["status_code"], "data" in unknown["body"]) == (404, 2004, False)


async def test_authorize_asks_the_addressed_party_only() -> None:
    async with a_partner("cpo", "NL/CPO") as cpo, a_partner("emsp", "NL/MSP", "BE/TWO") as emsp:
        await connect(cpo, emsp)
        await emsp.post("/own", a_token("GOOD"))
        assert (await authorize(cpo, "GOOD"))["status"] == 200
        other = await authorize(cpo, "GOOD", to="BE/TWO")
        assert (other["status"], other["headers"]["ocpi-from-party-id"]) == (404, "TWO")


async def test_command_is_accepted_at_once_and_its_result_comes_to_the_response_url() -> None:
    async with a_pair() as (cpo, emsp):
        order = {"command": "START_SESSION", "body": start_session(), "to": "NL/CPO", "wait_s": 5}
        given = await emsp.post("/command", order)
        assert given["body"]["data"] == {"result": "ACCEPTED", "timeout": 30}
        assert given["result"] == {"result": "ACCEPTED"}
        (callback,) = await emsp.received(module="commands")
        assert callback["path"] in given["response_url"]
        assert callback["headers"]["ocpi-to-party-id"] == "MSP"
        assert callback["headers"]["ocpi-from-party-id"] == "CPO"
        assert callback["at"] - given["at"] > 0.2
        (posted,) = await cpo.get("/callbacks")
        assert (posted["http_status"], posted["status_code"]) == (200, 1000)
        assert await emsp.get("/deviations") == []


async def test_command_result_is_as_told() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.post("/behaviour", {"command_result": "EVSE_OCCUPIED", "command_delay_ms": 1})
        order = {"command": "UNLOCK_CONNECTOR", "to": "NL/CPO", "wait_s": 5}
        order["body"] = {"location_id": "L1", "evse_uid": "E1", "connector_id": "1"}
        assert (await emsp.post("/command", order))["result"] == {"result": "EVSE_OCCUPIED"}


async def test_command_that_is_not_accepted_has_no_result() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.post("/behaviour", {"command_response": "REJECTED", "command_delay_ms": 0})
        given = await emsp.post("/command", {"command": "START_SESSION", "body": start_session(), "to": "NL/CPO"})
        assert given["body"]["data"]["result"] == "REJECTED"
        assert await cpo.get("/callbacks") == []


async def test_unknown_session_is_told_where_sessions_are_checked() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.post("/behaviour", {"check_sessions": True, "command_delay_ms": 1})
        await cpo.post("/own", a_session("S1"))
        order = {"command": "STOP_SESSION", "to": "NL/CPO", "wait_s": 5}
        unknown = await emsp.post("/command", {**order, "wait_s": 0, "body": {"session_id": "S9"}})
        assert unknown["body"]["data"]["result"] == "UNKNOWN_SESSION"
        known = await emsp.post("/command", {**order, "body": {"session_id": "S1"}})
        assert known["result"] == {"result": "ACCEPTED"}


async def test_started_session_is_pushed_when_told_to() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.post("/behaviour", {"push_session": True, "command_delay_ms": 1})
        order = {"command": "START_SESSION", "body": start_session(), "to": "NL/CPO", "wait_s": 5}
        await emsp.post("/command", order)
        held = await eventually(lambda: emsp.get("/store/sessions"))
        assert held[0]["object"]["cdr_token"]["uid"] == "012345678"
        assert held[0]["object"]["location_id"] == "L1"
        assert await emsp.get("/deviations") == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_charging_profile_is_answered_and_its_result_posted(method: str) -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.post("/behaviour", {"command_delay_ms": 1})
        url = emsp.partner.versions_url.replace("versions", "2.2.1/sender/chargingprofiles/R1")
        profile = {"charging_rate_unit": "A", "charging_profile_period": [{"start_period": 0, "limit": 16}]}
        order: dict[str, Any] = {"query": {"duration": "60", "response_url": url}}
        if method == "PUT":
            order = {"body": {"charging_profile": profile, "response_url": url}}
        given = await emsp.send(method, "chargingprofiles", "S1", to="NL/CPO", **order)
        assert given["body"]["data"]["result"] == "ACCEPTED"
        result = (await emsp.get("/results/R1", wait_s=5))["result"]
        assert (result["result"], "profile" in result) == ("ACCEPTED", method == "GET")
        assert await emsp.get("/deviations") == []
        assert await cpo.get("/deviations") == []


async def test_active_profile_is_taken() -> None:
    async with a_pair() as (cpo, emsp):
        profile = {"charging_rate_unit": "W", "charging_profile_period": [{"start_period": 0, "limit": 16}]}
        body = {"start_date_time": "2026-06-01T10:00:00Z", "charging_profile": profile}
        sent = await cpo.send("PUT", "chargingprofiles", "S1", interface="sender", to="NL/MSP", body=body)
        assert sent["status_code"] == 1000
        assert (await emsp.get("/store/chargingprofiles"))[0]["object"] == body


async def test_charging_preferences_are_accepted() -> None:
    async with a_pair() as (_, emsp):
        sent = await emsp.send(
            "PUT",
            "sessions",
            "S1/charging_preferences",
            interface="sender",
            to="NL/CPO",
            body={"profile_type": "GREEN"},
        )
        assert (sent["status_code"], sent["body"]["data"]) == (1000, "ACCEPTED")


async def test_unknown_behaviour_is_refused() -> None:
    async with a_partner("cpo", "NL/CPO") as cpo:
        assert (await cpo.refusal("/behaviour", {"command_mood": "good"}))[0] == 400
