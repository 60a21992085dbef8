"""OB: objects, their owners and their clocks (with AM-36, D-11, D-12, D-28, D-30)."""

from typing import Any

from tests.conformance.check import rule
from tests.conformance.objects import (
    LATER,
    Json,
    a_cdr_token,
    a_connector,
    a_location,
    a_tariff,
    a_token,
    an_evse,
    fresh,
    tail_of,
)
from tests.conformance.party import Platform, new_id, reply
from tests.conformance.world import World

EVEN_LATER = "2026-06-02T14:00:00Z"


async def held(world: World, thing: Json) -> Any:
    """The hub's copy of a Location of the first CPO, as its owner is shown it."""
    answer = await world.cp1.send("GET", "RECEIVER", "locations", tail_of(thing), to=world.hub)
    return answer.data


async def patch(world: World, tail: str, body: Json, to: str | None = None) -> tuple[str, Any]:
    """PATCH a Location of the first CPO; correlation id and answer."""
    correlation_id = new_id()
    answer = await world.cp1.send(
        "PATCH", "RECEIVER", "locations", tail, body=body, to=to or world.hub, correlation_id=correlation_id
    )
    return correlation_id, answer


async def test_a_patch_changes_the_named_fields_only(world: World) -> None:
    location = await world.a_broadcast_location(name="before", operator={"name": "Op"})
    change = {"name": "after", "last_updated": LATER}
    correlation_id, answer = await patch(world, tail_of(location), change)
    (arrived,) = await world.ms1.await_got(correlation_id)

    rule("OB-02").equal((arrived.method, arrived.json), ("PATCH", change), "what was delivered")
    rule("OB-04").equal((answer.code, await held(world, location)), (1000, location | change), "code, the hub's copy")
    shorter = {name: value for name, value in location.items() if name not in {"name", "operator"}}
    shorter["last_updated"] = EVEN_LATER
    correlation_id, _ = await world.push(world.cp1, "locations", shorter)
    await world.ms1.await_got(correlation_id)
    rule("OB-04").equal(await held(world, location), shorter, "the hub's copy after a PUT")
    directed, _ = await patch(world, tail_of(location), change, to="NL/MS1")
    rule("OB-02").equal([entry.json for entry in world.ms1.got(directed)], [change], "what a directed PATCH holds")


async def test_a_patch_of_an_evse_shows_on_the_location(world: World) -> None:
    location = await world.a_broadcast_location()
    correlation_id, _ = await patch(world, tail_of(location, "E1"), {"status": "CHARGING", "last_updated": LATER})
    await world.ms1.await_got(correlation_id)
    (found,) = [e for e in await world.get_all(world.ms1, "locations") if e["id"] == location["id"]]
    rule("OB-05").equal(
        (found["last_updated"], found["evses"][0]["last_updated"], found["evses"][0]["status"]),
        (LATER, LATER, "CHARGING"),
        "clocks of the Location and its EVSE, and status",
    )


async def test_a_patch_without_last_updated(world: World) -> None:
    location = await world.a_broadcast_location()
    correlation_id, answer = await patch(world, tail_of(location), {"name": "x"})
    directed, relayed = await patch(world, tail_of(location), {"name": "x"}, to="NL/MS1")
    await world.barrier(world.cp1, "locations", location | {"last_updated": LATER}, world.ms1)
    rule("OB-03").equal((answer.pair, world.reached(correlation_id)), ((200, 2001), {}), "a broadcast without it")
    rule("OB-03").equal((relayed.code, world.reached(directed)), (1000, {"NL/MS1": 1}), "a directed one without it")


async def test_contradictions_in_a_broadcast_are_refused(world: World) -> None:
    location = a_location("NL/CP1")
    tail = tail_of(location)
    pushes = {
        "another owner in the body": (world.cp1, "locations", tail, location | {"party_id": "CP9"}, "NL/CP1"),
        "another id in the body": (world.cp1, "locations", tail, location | {"id": "OTHER"}, "NL/CP1"),
        "a foreign owner": (world.cp1, "locations", "/DE/CP2/L1", a_location("DE/CP2", id="L1"), "NL/CP1"),
        "the wrong role": (world.ms1, "locations", "/NL/MS1/L1", a_location("NL/MS1", id="L1"), "NL/MS1"),
        "a token of a CPO": (world.cp1, "tokens", "/NL/CP1/T1", a_token("NL/CP1", uid="T1"), "NL/CP1"),
    }
    answers, ids = {}, {}
    for name, (sender, module, where, body, party) in pushes.items():
        ids[name] = new_id()
        answers[name] = await sender.send(
            "PUT", "RECEIVER", module, where, body=body, to=world.hub, sender=party, correlation_id=ids[name]
        )
    await world.barrier(world.cp1, "locations", location, world.ms1, world.ms2)
    found = {name: (answer.pair, world.reached(ids[name])) for name, answer in answers.items()}
    rule("OB-07").equal(found["another owner in the body"], ((200, 2001), {}), "answer and platforms")
    rule("OB-08").equal(found["another id in the body"], ((200, 2001), {}), "answer and platforms")
    rule("OB-09").equal(found["a foreign owner"], ((200, 2001), {}), "answer and platforms")
    rule("OB-16").equal(found["the wrong role"], ((200, 2001), {}), "answer and platforms")
    rule("OB-16").equal(found["a token of a CPO"], ((200, 2001), {}), "answer and platforms")
    rule("AM-06").equal(found["another owner in the body"], ((200, 2001), {}), "answer and platforms")
    rule("D-30").equal(found["another id in the body"], ((200, 2001), {}), "answer and platforms")
    directed = new_id()
    relayed = await world.cp1.send(
        "PUT", "RECEIVER", "locations", tail, body=location | {"id": "O"}, to="NL/MS1", correlation_id=directed
    )
    rule("OB-08").equal((relayed.code, world.reached(directed)), (1000, {"NL/MS1": 1}), "a directed push")


async def test_what_breaks_the_content_rules_is_refused_with_its_path(world: World) -> None:
    location = a_location("NL/CP1")
    broken: dict[str, Json] = {
        "time_zone": {name: value for name, value in location.items() if name != "time_zone"},
        "publish": location | {"publish": None},
        "evses[0].connectors[0].max_voltage": location
        | {"evses": [an_evse(connectors=[a_connector(max_voltage="230")])]},
        "name": location | {"name": "a\u0000b"},
    }
    ids = []
    for path, body in broken.items():
        correlation_id, answer = await world.push(world.cp1, "locations", body, tail=tail_of(location))
        ids.append(correlation_id)
        message = (answer.json or {}).get("status_message", "")
        for one in (rule("D-30"), rule("AM-42")):
            one.equal(answer.pair, (200, 2001), f"answer when {path} is wrong")
            one.within(f"$.{path}", message, "JSON path in the message")
    odd = location | {
        "city": "x" * 200,
        "country": "Nederland",
        "our_field": {"a": [1.50]},
        "parking_type": "ON_THE_MOON",
        "coordinates": {"latitude": "51,8", "longitude": "5"},
        "name": "#NA",
    }
    correlation_id, answer = await world.push(world.cp1, "locations", odd)
    (arrived,) = await world.ms1.await_got(correlation_id)
    rule("D-30").equal((answer.code, arrived.json), (1000, odd), "code and delivery of what is odd only")
    rule("FM-17").equal((answer.code, arrived.json["name"]), (1000, "#NA"), "code, and a name of #NA")
    rule("AM-42").equal(
        [world.reached(entry) for entry in ids], [{}] * len(ids), "platforms reached by what was refused"
    )
    (found,) = [entry for entry in await world.get_all(world.ms1, "locations") if entry["id"] == location["id"]]
    rule("OB-14").equal(found, odd, "what GET All shows")


async def test_an_owner_looks_after_a_failed_patch(world: World) -> None:
    location = await world.a_broadcast_location()
    failed = new_id()
    world.ms1.script(failed, reply(2003, status=404))
    change = {"name": "n", "last_updated": LATER}
    answer = await world.cp1.send(
        "PATCH", "RECEIVER", "locations", tail_of(location), body=change, to="NL/MS1", correlation_id=failed
    )
    looking = new_id()
    world.ms1.script(looking, reply(2003, status=404))
    seen = await world.cp1.send("GET", "RECEIVER", "locations", tail_of(location), to="NL/MS1", correlation_id=looking)
    arrived = [(entry.method, entry.path) for entry in world.ms1.got(looking)]
    rule("OB-10").equal((answer.pair, seen.pair), ((404, 2003), (404, 2003)), "answers to PATCH and GET")
    rule("OB-10").equal(await held(world, location), location, "the hub's copy")
    rule("RT-17").equal(arrived, [("GET", f"/receiver/locations{tail_of(location)}")], "what the receiver got")


async def test_methods_that_a_module_lacks_are_405(world: World) -> None:
    def url(platform: Platform, module: str) -> str:
        return platform.hub_endpoints[module, "RECEIVER"]

    owned = {"locations": world.cp1, "sessions": world.cp1, "tariffs": world.cp1, "tokens": world.ms1}
    for module, platform in owned.items():
        where = f"{url(platform, module)}/{platform.party}/X1"
        answer = await platform.ask("POST", where, body={})
        rule("OB-11").equal((answer.status, bool(answer.header("Allow"))), (405, True), f"POST of {module}")
    lacking = [("DELETE", module) for module in ("locations", "sessions", "tokens")] + [("PATCH", "tariffs")]
    for method, module in lacking:
        platform = owned[module]
        answer = await platform.ask(method, f"{url(platform, module)}/{platform.party}/X1", body={})
        rule("OB-12").equal((answer.status, bool(answer.header("Allow"))), (405, True), f"{method} of {module}")
    for method in ("PUT", "PATCH", "DELETE"):
        answer = await world.cp1.ask(method, f"{url(world.cp1, 'cdrs')}/X1", body={})
        rule("OB-12").equal((answer.status, bool(answer.header("Allow"))), (405, True), f"{method} of cdrs")


async def test_ids_of_two_owners_and_ids_that_differ_in_case(world: World) -> None:
    one, two = a_tariff("NL/CP1"), a_tariff("DE/CP2")
    two["id"] = one["id"]
    for platform, tariff in ((world.cp1, one), (world.cp2, two)):
        correlation_id, _ = await world.push(platform, "tariffs", tariff)
        await world.ms1.await_got(correlation_id)
    again = one | {"id": one["id"].lower(), "last_updated": LATER}
    correlation_id, _ = await world.push(world.cp1, "tariffs", again)
    await world.ms1.await_got(correlation_id)
    found = [e for e in await world.get_all(world.ms1, "tariffs") if e["id"].upper() == one["id"]]
    rule("OB-13").equal(sorted(entry["party_id"] for entry in found), ["CP1", "CP2"], "owners of one id")
    rule("OB-13").equal(
        [e["last_updated"] for e in found if e["party_id"] == "CP1"], [LATER], "clock of the one object"
    )


async def test_an_old_push_has_no_effect_and_a_repetition_is_not_delivered(world: World) -> None:
    location = await world.a_broadcast_location(last_updated=LATER)
    older, answer = await world.push(
        world.cp1, "locations", location | {"last_updated": "2026-06-01T00:00:00Z", "name": "o"}
    )
    same, repeated = await world.push(world.cp1, "locations", location)
    touch, _ = await world.push(world.cp1, "locations", location | {"last_updated": EVEN_LATER})
    await world.ms1.await_got(touch)
    rule("AM-36").equal((answer.pair, world.reached(older)), ((200, 1000), {}), "an older push")
    rule("D-11").equal((answer.pair, world.reached(older)), ((200, 1000), {}), "an older push")
    rule("D-28").equal((repeated.pair, world.reached(same)), ((200, 1000), {}), "an exact repetition")
    rule("D-28").equal(len(world.ms1.got(touch)), 1, "deliveries of a change of clocks")
    rule("D-11").equal((await held(world, location)).get("name"), None, "the hub's copy")


async def test_a_command_may_use_tokens_of_its_sender_only(world: World) -> None:
    reservation = {"reservation_id": fresh("RES"), "expiry_date": LATER}
    for name, more in (("START_SESSION", {}), ("RESERVE_NOW", reservation)):
        for owner, expected in (("DE/MS2", ((200, 2001), {})), ("NL/MS1", ((200, 1000), {"NL/CP1": 1}))):
            correlation_id, url = new_id(), f"{world.ms1.url}/results/{fresh('R')}"
            body = {"response_url": url, "token": a_cdr_token(owner), "location_id": "LOC1"} | more
            answer = await world.ms1.send(
                "POST", "RECEIVER", "commands", f"/{name}", body=body, to="NL/CP1", correlation_id=correlation_id
            )
            got = answer.pair, world.reached(correlation_id)
            rule("OB-15").equal(
                got, expected, f"answer to NL/MS1, and who was reached, by {name} with a token of {owner}"
            )


async def test_a_patch_of_what_the_hub_lacks_is_forwarded_and_the_unit_fetched(world: World) -> None:
    location = a_location("NL/CP1")
    change = {"name": "new", "last_updated": LATER}
    count = len(world.cp1.received)
    correlation_id, answer = await patch(world, tail_of(location), change)
    (arrived,) = await world.ms1.await_got(correlation_id)
    path = f"/sender/locations/{location['id']}"
    await world.cp1.until(lambda: any(entry.path == path for entry in world.cp1.received[count:]))
    asked = [(entry.method, entry.path) for entry in world.cp1.received[count:] if entry.path == path]
    rule("AM-36").equal((answer.pair, arrived.json), ((200, 1000), change), "answer and delivery")
    rule("D-12").equal((answer.pair, arrived.json), ((200, 1000), change), "answer and delivery")
    rule("AM-42").equal((answer.pair, arrived.json), ((200, 1000), change), "answer and delivery")
    rule("D-12").equal(asked[:1], [("GET", path)], "what the owner was asked")
    rule("AM-36").equal(asked[:1], [("GET", path)], "what the owner was asked")


async def test_a_directed_patch_of_what_the_hub_never_saw_is_forwarded(world: World) -> None:
    correlation_id, answer = await patch(world, "/NL/CP1/never-seen-1", {"name": "x"}, to="NL/MS1")
    rule("TP-03").equal((answer.code, world.reached(correlation_id)), (1000, {"NL/MS1": 1}), "code and platforms")


async def test_one_object_for_two_parties_stays_as_each_was_sent(world: World) -> None:
    tariff = a_tariff("NL/CP1")
    for to in ("NL/MS1", "DE/MS2"):
        mine = tariff | {"currency": "EUR" if to == "NL/MS1" else "CHF"}
        correlation_id, _ = await world.push(world.cp1, "tariffs", mine, to=to)
        platform = world.ms1 if to == "NL/MS1" else world.ms2
        rule("RT-19").equal([entry.json for entry in platform.got(correlation_id)], [mine], f"what {to} got")
