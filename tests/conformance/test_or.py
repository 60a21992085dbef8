"""OR: open routing."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from tests.conformance.check import rule
from tests.conformance.objects import (
    LATER,
    Json,
    a_cdr,
    a_cdr_token,
    a_location,
    a_session,
    a_tariff,
    a_token,
    fresh,
    tail_of,
)
from tests.conformance.party import MUTE, Answer, Platform, Reply, new_id, reply
from tests.conformance.world import World


def command(response_to: Platform, **fields: object) -> dict[str, object]:
    """A command's body with a response_url of this platform."""
    return {"response_url": f"{response_to.url}/results/{fresh('R')}"} | fields


async def test_a_cdr_goes_to_the_party_that_its_token_names(world: World) -> None:
    for to in (None, world.hub):
        cdr = a_cdr("NL/CP1", "BE/MS3")
        correlation_id = new_id()
        answer = await world.cp1.send("POST", "RECEIVER", "cdrs", body=cdr, to=to, correlation_id=correlation_id)
        arrived = world.ms2.got(correlation_id)
        reached = world.reached(correlation_id)

        rule("OR-01").equal((answer.code, reached), (1000, {"DE/MS2": 1}), f"code and platforms with TO = {to}")
        if to is None:
            rule("OR-02").equal((answer.code, reached), (1000, {"DE/MS2": 1}), "code and platforms")
        else:
            rule("BP-11").equal((answer.code, reached), (1000, {"DE/MS2": 1}), "code and platforms of a CDR")
            rule("AM-15").equal((answer.code, reached), (1000, {"DE/MS2": 1}), "code and platforms of a CDR")
            rule("D-01").equal((answer.party("from"), reached), ("BE/MS3", {"DE/MS2": 1}), "FROM and platforms")
        rule("OR-03").equal((arrived[0].party("to"), arrived[0].party("from")), ("BE/MS3", "NL/CP1"), "TO and FROM")
        rule("OR-04").equal(
            (answer.party("to"), answer.party("from")), ("NL/CP1", "BE/MS3"), "TO and FROM of the answer"
        )
        rule("RT-01").equal(
            (answer.party("to"), answer.party("from")), ("NL/CP1", "BE/MS3"), "TO and FROM of the answer"
        )


async def test_a_session_finds_its_party_by_token_and_later_by_the_session(world: World) -> None:
    session = a_session("NL/CP1", "NL/MS1")
    correlation_id, answer = await world.push(world.cp1, "sessions", session, to=None)
    rule("OR-08").equal((answer.code, world.reached(correlation_id)), (1000, {"NL/MS1": 1}), "PUT by cdr_token")
    rule("OR-05").equal(answer.code, 1000, "code of a PUT without TO")
    tail = tail_of(session)
    for method, body in (("PATCH", {"kwh": 2.0, "last_updated": LATER}), ("GET", None)):
        correlation_id = new_id()
        answer = await world.cp1.send(method, "RECEIVER", "sessions", tail, body=body, correlation_id=correlation_id)
        reached = world.reached(correlation_id)
        rule("OR-08").equal((answer.code, reached), (1000, {"NL/MS1": 1}), f"{method} by the session")
        rule("OR-05").equal(answer.code, 1000, f"code of a {method} without TO")
    preferences = {"profile_type": "GREEN", "departure_time": LATER}
    correlation_id = new_id()
    answer = await world.ms1.send(
        "PUT",
        "SENDER",
        "sessions",
        f"/{session['id']}/charging_preferences",
        body=preferences,
        correlation_id=correlation_id,
    )
    reached = world.reached(correlation_id)
    rule("OR-08").equal((answer.code, reached), (1000, {"NL/CP1": 1}), "charging_preferences by the session")
    rule("RT-24").equal((answer.code, reached), (1000, {"NL/CP1": 1}), "charging_preferences without TO")
    for module, method, tail, body in (
        ("commands", "POST", "/STOP_SESSION", command(world.ms1, session_id=session["id"])),
        (
            "chargingprofiles",
            "PUT",
            f"/{session['id']}",
            command(world.ms1, charging_profile={"charging_rate_unit": "W", "min_charging_rate": 1.0}),
        ),
    ):
        correlation_id = new_id()
        answer = await world.ms1.send(method, "RECEIVER", module, tail, body=body, correlation_id=correlation_id)
        reached = world.reached(correlation_id)
        rule("OR-08").equal((answer.code, reached), (1000, {"NL/CP1": 1}), f"{module} by the session")
        rule("RT-24").equal((answer.code, reached), (1000, {"NL/CP1": 1}), f"{module} without TO")
        rule("D-01").equal((answer.party("from"), reached), ("NL/CP1", {"NL/CP1": 1}), f"FROM of {module}")


async def test_a_session_for_the_hub_reaches_its_party_only(world: World) -> None:
    correlation_id, answer = await world.push(world.cp1, "sessions", a_session("NL/CP1", "NL/MS1"))
    got = (answer.code, answer.party("from"), world.reached(correlation_id))
    rule("BP-11").equal(got, (1000, "NL/MS1", {"NL/MS1": 1}), "code, FROM and platforms")


async def test_a_session_with_to_the_hub_is_accepted(world: World) -> None:
    correlation_id, answer = await world.push(world.cp1, "sessions", a_session("NL/CP1", "BE/MS3"))
    rule("AM-15").equal((answer.code, world.reached(correlation_id)), (1000, {"DE/MS2": 1}), "code and platforms")


async def test_authorize_goes_to_the_owner_of_the_token(world: World) -> None:
    token = a_token("NL/MS1")
    arrived, _ = await world.push(world.ms1, "tokens", token)
    await world.cp1.await_got(arrived)
    for to in (None, world.hub, "NL/MS1"):
        correlation_id = new_id()
        answer = await world.cp1.send(
            "POST", "SENDER", "tokens", f"/{token['uid']}/authorize", to=to, correlation_id=correlation_id
        )
        reached = world.reached(correlation_id)
        rule("RT-24").equal((answer.code, reached), (1000, {"NL/MS1": 1}), f"authorize with TO = {to}")
        if to is None:
            rule("OR-08").equal((answer.code, reached), (1000, {"NL/MS1": 1}), "authorize by the token")
            rule("OR-05").equal(answer.code, 1000, "code of a POST without TO")
        if to == world.hub:
            rule("D-01").equal((answer.party("from"), reached), ("NL/MS1", {"NL/MS1": 1}), "FROM of authorize")


async def test_a_token_that_nobody_pushed_is_asked_of_all_emsps(world: World) -> None:
    unknown = reply(2004, status=404)
    blocked, expired, allowed = (reply(data={"allowed": word}) for word in ("BLOCKED", "EXPIRED", "ALLOWED"))
    late = replace(allowed, delay_seconds=0.5)
    cases = (
        ("all unknown", unknown, unknown, ((404, 2004), None, world.hub)),
        ("one knows it", blocked, unknown, ((200, 1000), "BLOCKED", "NL/MS1")),
        ("one allows it later", blocked, late, ((200, 1000), "ALLOWED", "FR/BTH")),
        ("one allows it, one is silent", MUTE, allowed, ((200, 1000), "ALLOWED", "FR/BTH")),
        ("one knows it, one is silent", expired, MUTE, ((200, 1000), "EXPIRED", "NL/MS1")),
        ("none knows it, one is silent", unknown, MUTE, ((200, 4002), None, world.hub)),
    )

    async def play(one: Reply, other: Reply) -> tuple[tuple[Any, ...], float, dict[str, int]]:
        correlation_id, began = new_id(), time.monotonic()
        for platform, told in ((world.ms1, one), (world.ms2, unknown), (world.both, other)):
            platform.script(correlation_id, told)
        path = f"/{fresh('LOST')}/authorize"
        answer = await world.cp1.send("POST", "SENDER", "tokens", path, correlation_id=correlation_id)
        took = time.monotonic() - began
        for platform, count in ((world.ms1, 1), (world.ms2, 2), (world.both, 1)):
            await platform.await_got(correlation_id, count)
        said = answer.data["allowed"] if answer.data else None
        return (answer.pair, said, answer.party("from")), took, world.reached(correlation_id)

    played = await asyncio.gather(*(play(one, other) for _, one, other, _ in cases))
    for (what, _, _, expected), (found, took, reached) in zip(cases, played, strict=True):
        rule("AM-17").equal(reached, {"NL/MS1": 1, "DE/MS2": 2, "FR/BTH": 1}, f"who was asked: {what}")
        rule("AM-17").equal(found, expected, what)
        rule("D-06").equal(found, expected, what)
        if found[1] == "ALLOWED":
            rule("D-06").holds(took < 3, f"ALLOWED took {took:.1f} s: {what}")


async def test_a_token_that_need_not_be_asked_about_is_answered_by_the_hub(world: World) -> None:
    async with world.guest("EMSP") as guest:
        always, usual = a_token(guest.party, whitelist="ALWAYS"), a_token(guest.party)
        for token in (always, usual):
            arrived, _ = await world.push(guest, "tokens", token)
            await world.cp1.await_got(arrived)

        async def ask(token: Json, *replies: Reply) -> tuple[Answer, int]:
            correlation_id = new_id()
            guest.script(correlation_id, *replies)
            path = f"/{token['uid']}/authorize"
            answer = await world.cp1.send("POST", "SENDER", "tokens", path, correlation_id=correlation_id)
            rule("D-05").equal(world.reached(correlation_id), {}, "others that were asked")
            return answer, len(guest.got(correlation_id))

        answer, count = await ask(always)
        rule("D-05").equal(
            (answer.pair, answer.data, answer.party("from"), count),
            ((200, 1000), {"allowed": "ALLOWED", "token": always}, world.hub, 0),
            "answer and calls for whitelist ALWAYS",
        )
        answer, count = await ask(usual)
        rule("D-05").equal((answer.code, answer.party("from"), count), (1000, guest.party, 1), "another whitelist")
        answer, count = await ask(usual, MUTE)
        rule("D-05").equal((answer.pair, count), ((200, 4002), 1), "a silent owner")
        await guest.stop()
        answer, _ = await ask(usual)
        rule("D-05").equal(answer.pair, (200, 4003), "an owner that is away")


async def test_one_uid_with_two_types_is_two_tokens(world: World) -> None:
    uid = fresh("TWO")
    for sender, kind in ((world.ms1, "RFID"), (world.ms2, "APP_USER")):
        token = a_token(sender.party, uid=uid, type=kind)
        tail = tail_of(token) + ("" if kind == "RFID" else f"?type={kind}")
        correlation_id, answer = await world.push(sender, "tokens", token, tail=tail)
        rule("OB-13").equal(answer.code, 1000, f"code of a Token of type {kind}")
        await world.cp1.await_got(correlation_id)
    for query, party in (("", "NL/MS1"), ("?type=RFID", "NL/MS1"), ("?type=APP_USER", "DE/MS2")):
        correlation_id = new_id()
        await world.cp1.send("POST", "SENDER", "tokens", f"/{uid}/authorize{query}", correlation_id=correlation_id)
        rule("OB-13").equal(world.reached(correlation_id), {party: 1}, f"platforms asked about {query}")


async def test_a_location_leads_to_its_cpo(world: World) -> None:
    location = await world.a_broadcast_location()
    for to in (None, world.hub):
        for more in ("", "/E1", "/E1/1"):
            correlation_id = new_id()
            answer = await world.ms1.send(
                "GET", "SENDER", "locations", f"/{location['id']}{more}", to=to, correlation_id=correlation_id
            )
            reached = world.reached(correlation_id)
            if to is None:
                rule("OR-07").equal((answer.code, reached), (1000, {"NL/CP1": 1}), f"GET of {more}")
            else:
                rule("AM-13").equal((answer.code, reached), (1000, {"NL/CP1": 1}), f"GET of {more} with TO = hub")
            rule("OR-04").equal(answer.party("from"), "NL/CP1", "FROM of the answer")
    start = command(world.ms1, token=a_cdr_token("NL/MS1"), location_id=location["id"])
    reservation = {"expiry_date": LATER, "reservation_id": fresh("RES")}
    calls = (
        ("START_SESSION", start),
        ("UNLOCK_CONNECTOR", command(world.ms1, location_id=location["id"], evse_uid="E1", connector_id="1")),
        ("RESERVE_NOW", start | reservation),
        ("CANCEL_RESERVATION", command(world.ms1, reservation_id=reservation["reservation_id"])),
    )
    for name, body in calls:
        correlation_id = new_id()
        answer = await world.ms1.send(
            "POST", "RECEIVER", "commands", f"/{name}", body=body, correlation_id=correlation_id
        )
        reached = world.reached(correlation_id)
        rule("OR-08").equal((answer.code, reached), (1000, {"NL/CP1": 1}), f"{name} by its content")
        rule("RT-24").equal((answer.code, reached), (1000, {"NL/CP1": 1}), f"{name} without TO")


async def test_a_list_without_to_asks_nobody(world: World) -> None:
    location = await world.a_broadcast_location()
    for module in ("locations", "tariffs"):
        correlation_id = new_id()
        answer = await world.ms1.send("GET", "SENDER", module, correlation_id=correlation_id)
        rule("OR-06").equal((answer.code, world.reached(correlation_id)), (1000, {}), f"list of {module}")
        rule("D-15").equal((answer.code, world.reached(correlation_id)), (1000, {}), f"list of {module}")
        rule("AM-13").equal((answer.code, answer.party("from")), (1000, world.hub), f"list of {module}")
    ids = [entry["id"] for entry in await world.get_all(world.ms1, "locations")]
    rule("GA-01").within(location["id"], ids, "id of a broadcast Location")


async def test_delete_without_to_is_accepted(world: World) -> None:
    tariff = a_tariff("NL/CP1")
    await world.push(world.cp1, "tariffs", tariff, to=None)
    correlation_id = new_id()
    answer = await world.cp1.send("DELETE", "RECEIVER", "tariffs", tail_of(tariff), correlation_id=correlation_id)
    arrived = await world.ms1.await_got(correlation_id)
    rule("OR-05").equal((answer.code, len(arrived)), (1000, 1), "code of a DELETE without TO, requests at an eMSP")


async def test_what_leads_nowhere_is_4001(world: World) -> None:
    calls = (
        ("PATCH", "RECEIVER", "sessions", "/NL/CP1/unheard-of", {"kwh": 1.0, "last_updated": LATER}, world.cp1),
        ("PUT", "SENDER", "sessions", "/unheard-of/charging_preferences", {"profile_type": "FAST"}, world.ms1),
        ("POST", "RECEIVER", "commands", "/STOP_SESSION", command(world.ms1, session_id="unheard-of"), world.ms1),
    )
    for method, interface, module, tail, body, sender in calls:
        correlation_id = new_id()
        answer = await sender.send(method, interface, module, tail, body=body, correlation_id=correlation_id)
        rule("OR-09").equal((answer.pair, world.reached(correlation_id)), ((200, 4001), {}), f"{method} {module}{tail}")


async def test_without_to_what_is_for_all_is_broadcast(world: World) -> None:
    location = a_location("NL/CP1")
    correlation_id, answer = await world.push(world.cp1, "locations", location, to=None)
    (arrived,) = await world.ms1.await_got(correlation_id)
    rule("AM-45").equal((answer.pair, answer.party("from")), ((200, 1000), world.hub), "answer and its FROM")
    rule("AM-45").equal((arrived.party("to"), arrived.party("from")), ("NL/MS1", world.hub), "TO and FROM delivered")
    rule("RT-11").equal(arrived.party("from"), world.hub, "FROM of a Location without TO")


async def test_what_the_found_party_refuses_reaches_the_caller(world: World) -> None:
    correlation_id = new_id()
    world.ms1.script(correlation_id, told := reply(2001, message="no such tariff"))
    answer = await world.cp1.send(
        "POST", "RECEIVER", "cdrs", body=a_cdr("NL/CP1", "NL/MS1"), correlation_id=correlation_id
    )
    rule("ST-10").equal(answer.body, told.body, "answer after open routing")
