"""Commands and charging profiles: answered at once, their results posted later to the `response_url`.

On the asking side the same modules have the callbacks: a result that arrives is handed to whoever waits for its id.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from infra.dev.partner.calling import Errand, addressed, compose, object_path, perform
from infra.dev.partner.platform import Call, Callback, Handlers, Platform
from infra.dev.partner.serving import owns_session
from infra.dev.partner.store import Name
from infra.dev.partner.wire import Reply, accepted, encode, refused, timestamp
from infra.dev.partner.words import Interface

COMMANDS: Final = frozenset({"START_SESSION", "STOP_SESSION", "RESERVE_NOW", "CANCEL_RESERVATION", "UNLOCK_CONNECTOR"})
MOST_RESULTS: Final = 10_000


async def post_command(platform: Platform, call: Call) -> Reply:
    """Take a command: CommandResponse now, CommandResult after the set delay."""
    command, asked = "/".join(call.segments), call.json()
    if command not in COMMANDS:
        return refused(2001, f"no command {command!r}", http_status=404)
    if not isinstance(asked, dict) or not isinstance(asked.get("response_url"), str):
        return refused(2001, "$.response_url is missing")
    behaviour = platform.behaviour
    response = behaviour.command_response
    if (
        command == "STOP_SESSION"
        and behaviour.check_sessions
        and not owns_session(platform, str(asked.get("session_id")))
    ):
        response = "UNKNOWN_SESSION"
    if response == "ACCEPTED" and behaviour.command_delay_ms >= 0:
        platform.start(_finish_command(platform, call, command, asked))
    return accepted({"result": response, "timeout": behaviour.command_timeout_s})


async def ask_profile(platform: Platform, call: Call) -> Reply:
    """Take a GET, PUT or DELETE of a charging profile: ChargingProfileResponse now, the result later."""
    asked: Any = call.json() if call.method == "PUT" else call.query
    if len(call.segments) != 1 or not isinstance(asked, Mapping) or not isinstance(asked.get("response_url"), str):
        return refused(2001, "a session id in the URL and a response_url are needed")
    behaviour = platform.behaviour
    response = behaviour.profile_response
    if behaviour.check_sessions and not owns_session(platform, call.segments[0]):
        response = "UNKNOWN_SESSION"
    if response == "ACCEPTED" and behaviour.command_delay_ms >= 0:
        platform.start(_finish_profile(platform, call, asked["response_url"]))
    return accepted({"result": response, "timeout": behaviour.command_timeout_s})


async def take_result(platform: Platform, call: Call) -> Reply:
    """Take a result, whoever asked for it; repeats are accepted."""
    result = call.json()
    if call.segments:
        waiting = expected_result(platform, call.segments[-1])
        if not waiting.done():
            waiting.set_result(result)
    return accepted()


async def put_active_profile(platform: Platform, call: Call) -> Reply:
    """Note the charging profile that is active on a Session."""
    if len(call.segments) != 1 or not isinstance(call.json(), dict):
        return refused(2001, "an ActiveChargingProfile stands under a session id")
    platform.received.put(call.module, Name(call.receiver.key, call.segments), call.body)
    return accepted()


def expected_result(platform: Platform, result_id: str) -> asyncio.Future[Any]:
    """Give what a result's id will become; the oldest ids are forgotten."""
    waiting = platform.results.get(result_id)
    if waiting is None:
        waiting = platform.results[result_id] = asyncio.get_running_loop().create_future()
        while len(platform.results) > MOST_RESULTS:
            platform.results.pop(next(iter(platform.results))).cancel()
    return waiting


async def _finish_command(platform: Platform, call: Call, command: str, asked: dict[str, Any]) -> None:
    await asyncio.sleep(platform.behaviour.command_delay_ms / 1000)
    result = platform.behaviour.command_result
    await _post_result(platform, call, asked["response_url"], {"result": result})
    if command == "START_SESSION" and result == "ACCEPTED" and platform.behaviour.push_session:
        await _push_session(platform, call, asked)


async def _finish_profile(platform: Platform, call: Call, response_url: str) -> None:
    await asyncio.sleep(platform.behaviour.command_delay_ms / 1000)
    result: dict[str, Any] = {"result": platform.behaviour.profile_result}
    if call.method == "GET" and result["result"] == "ACCEPTED":
        result["profile"] = {
            "start_date_time": timestamp(),
            "charging_profile": {
                "charging_rate_unit": "W",
                "charging_profile_period": [{"start_period": 0, "limit": 11000}],
            },
        }
    await _post_result(platform, call, response_url, result)


async def _post_result(platform: Platform, call: Call, response_url: str, result: dict[str, Any]) -> None:
    errand = Errand(
        "POST",
        call.module,
        Interface.SENDER,
        from_party=call.receiver,
        to_party=call.from_party,
        body=encode(result),
    )
    outgoing = addressed(platform, errand, response_url)
    answer = await perform(platform, outgoing, call.module)
    platform.callbacks.append(
        Callback(
            at=time.time(),
            url=response_url,
            result=result["result"],
            correlation_id=outgoing.headers["X-Correlation-ID"],
            http_status=answer.http_status,
            status_code=answer.status_code,
            error=answer.error,
        )
    )


async def _push_session(platform: Platform, call: Call, asked: dict[str, Any]) -> None:
    session = new_session(call, asked)
    body = encode(session)
    name = Name("", (call.receiver.country_code, call.receiver.party_id, session["id"]))
    platform.own.put("sessions", name, body)
    path, _ = object_path(name)
    errand = Errand("PUT", "sessions", Interface.RECEIVER, path, "", call.receiver, call.from_party, body)
    try:
        outgoing = compose(platform, errand)
    except LookupError:
        return
    await perform(platform, outgoing, "sessions")


def new_session(call: Call, asked: dict[str, Any]) -> dict[str, Any]:
    """Make the Session that a START_SESSION began. What the command does not say is `#NA`, as OCPI has it."""
    token = asked.get("token") or {}
    now = timestamp()
    session = {
        "country_code": call.receiver.country_code,
        "party_id": call.receiver.party_id,
        "id": str(uuid4()),
        "start_date_time": now,
        "kwh": 0,
        "cdr_token": {
            name: token.get(name, "#NA") for name in ("country_code", "party_id", "uid", "type", "contract_id")
        },
        "auth_method": "COMMAND",
        "location_id": asked.get("location_id", "#NA"),
        "evse_uid": asked.get("evse_uid") or "#NA",
        "connector_id": asked.get("connector_id") or "#NA",
        "currency": "EUR",
        "status": "ACTIVE",
        "last_updated": now,
    }
    if asked.get("authorization_reference"):
        session["authorization_reference"] = asked["authorization_reference"]
    return session


HANDLERS: Final[Handlers] = {
    ("commands", Interface.RECEIVER): {"POST": post_command},
    ("commands", Interface.SENDER): {"POST": take_result},
    ("chargingprofiles", Interface.RECEIVER): {"GET": ask_profile, "PUT": ask_profile, "DELETE": ask_profile},
    ("chargingprofiles", Interface.SENDER): {"POST": take_result, "PUT": put_active_profile},
}
