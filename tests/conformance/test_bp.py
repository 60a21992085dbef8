"""BP: broadcast push."""

from tests.conformance.check import rule
from tests.conformance.objects import LATER, a_location, a_tariff, a_token, tail_of
from tests.conformance.party import BASE, EVERYTHING, MUTE, Role, new_id, pair, reply
from tests.conformance.world import World

TO_EMSPS = {"NL/MS1": 1, "DE/MS2": 2, "FR/BTH": 1, "BE/NS1": 1, "LU/OT1": 1}
TO_CPOS = {"NL/CP1": 1, "DE/CP2": 1, "FR/BTH": 1}


async def all_arrived(world: World, correlation_id: str, expected: dict[str, int]) -> dict[str, int]:
    """What each platform got, once everyone expected has got something."""
    for platform in world.everyone:
        if platform.party in expected:
            await platform.await_got(correlation_id, expected[platform.party])
    return world.reached(correlation_id)


async def test_a_cpos_push_reaches_every_opposite_party_as_it_was_sent(world: World) -> None:
    for module, thing in (("locations", a_location("NL/CP1")), ("tariffs", a_tariff("NL/CP1"))):
        correlation_id, answer = await world.push(world.cp1, module, thing)
        reached = await all_arrived(world, correlation_id, TO_EMSPS)
        await world.barrier(world.cp1, module, thing | {"last_updated": LATER}, world.ms1, world.ms2)
        reached = world.reached(correlation_id)

        rule("BP-01").equal(reached, TO_EMSPS, f"requests by platform for {module}")
        rule("BP-02").equal(
            {p: n for p, n in reached.items() if p != "LU/OT1"},
            {p: n for p, n in TO_EMSPS.items() if p != "LU/OT1"},
            f"requests by platform for {module}",
        )
        rule("BP-03").equal(reached.get("LU/OT1"), 1, f"requests at the party with role OTHER for {module}")
        rule("BP-14").equal((reached.get("DE/MS2"), reached.get("NL/CP1")), (2, None), "two eMSPs, and the pusher")
        rule("AM-16").equal((reached.get("DE/MS2"), reached.get("NL/CP1")), (2, None), "two eMSPs, and the pusher")
        arrived = [(p, entry) for p in world.everyone for entry in p.got(correlation_id)]
        rule("BP-05").equal({entry.party("from") for _, entry in arrived}, {world.hub}, "FROM of the deliveries")
        rule("BP-05").equal(
            sorted(entry.party("to") or "" for _, entry in arrived),
            ["BE/MS3", "BE/NS1", "DE/MS2", "FR/BTH", "LU/OT1", "NL/MS1"],
            "TO of the deliveries",
        )
        rule("BP-06").equal(
            (answer.party("to"), answer.party("from")), ("NL/CP1", world.hub), "TO and FROM of the answer"
        )
        rule("RT-01").equal(
            (answer.party("to"), answer.party("from")), ("NL/CP1", world.hub), "TO and FROM of the answer"
        )
        rule("BP-12").equal({e.path for _, e in arrived}, {f"/receiver/{module}{tail_of(thing)}"}, "paths delivered")
        rule("BP-17").equal(
            {e.json["last_updated"] for _, e in arrived}, {thing["last_updated"]}, "last_updated delivered"
        )
        rule("OB-01").equal(
            {e.json["last_updated"] for _, e in arrived}, {thing["last_updated"]}, "last_updated delivered"
        )
        rule("D-31").equal((answer.pair, answer.data), ((200, 1000), None), "answer to a broadcast")
        rule("BP-13").equal({e.header("X-Correlation-ID") for _, e in arrived}, {correlation_id}, "correlation ids")


async def test_a_hub_among_a_partners_roles_gets_nothing_and_speaks_to_nobody(world: World) -> None:
    async with world.guest("EMSP", is_registered=False) as guest:
        peer = Role("XC/PER", "HUB")
        registered = await world.handshake(guest, await world.invite(guest), roles=[peer.json, guest.roles[0].json])
        location = a_location("NL/CP1")
        pushed, _ = await world.push(world.cp1, "locations", location)
        await guest.await_got(pushed)
        await world.barrier(world.cp1, "locations", location | {"last_updated": LATER}, guest)
        named = [entry.party("to") for entry in guest.got(pushed)]
        addressed = new_id()
        refused = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=peer.party, correlation_id=addressed
        )
        said, answer = await world.push(guest, "tokens", a_token(peer.party), sender=peer.party)
        reached = world.reached(addressed) | world.reached(said)

        rule("AM-29").equal(
            (registered.code, named), (1000, [guest.party]), "handshake, and TO of a broadcast's requests"
        )
        rule("AM-29").equal(
            (refused.code, answer.pair), (4001, (200, 2001)), "a request to the HUB, a broadcast from it"
        )
        rule("AM-29").equal((reached, guest.got(addressed)), ({}, []), "platforms reached by either")


async def test_a_platform_gets_back_only_what_names_its_own_party(world: World) -> None:
    location, addressed = a_location("FR/BTH"), new_id()
    pushed, _ = await world.push(world.both, "locations", location)
    await world.ms1.await_got(pushed)
    await world.barrier(world.both, "locations", location | {"last_updated": LATER}, world.ms1, world.ms2)
    answer = await world.both.send(
        "PUT", "RECEIVER", "locations", "/FR/BTH/L1", body={}, to="FR/BTH", correlation_id=addressed
    )
    rule("AM-29").absent("FR/BTH", world.reached(pushed), "platforms that a broadcast reached")
    rule("AM-29").equal((answer.code, world.reached(addressed)), (1000, {"FR/BTH": 1}), "a request TO its own party")


async def test_an_emsps_push_reaches_the_cpos(world: World) -> None:
    token = a_token("NL/MS1")
    correlation_id, answer = await world.push(world.ms1, "tokens", token)
    await all_arrived(world, correlation_id, TO_CPOS)
    await world.barrier(world.ms1, "tokens", token | {"last_updated": LATER}, world.cp1, world.cp2)
    reached = world.reached(correlation_id)

    rule("BP-01").equal((answer.code, reached), (1000, TO_CPOS), "code, and requests by platform")
    rule("BP-02").equal(reached, TO_CPOS, "requests by platform")
    rule("RT-11").equal(reached, TO_CPOS, "platforms reached with TO = hub")


async def test_the_bytes_of_a_push_arrive(world: World) -> None:
    location = a_location("NL/CP1")
    text = (
        b'{ "country_code":"NL","party_id":"CP1",\n"id":"%b","publish":true,"address":"Caf\\u00e9 1","city":"Wijchen",'
        b'"country":"NLD","coordinates":{"latitude":"51.808340","longitude":"5.723800"},"time_zone":"Europe/Amsterdam",'
        b'"last_updated":"2026-06-02T12:00:00.120Z","name":null,"related_locations":null,"our_field":1.10,"evses":[]}'
    ) % location["id"].encode()
    correlation_id = new_id()
    answer = await world.cp1.send(
        "PUT", "RECEIVER", "locations", tail_of(location), body=text, to=world.hub, correlation_id=correlation_id
    )
    (arrived,) = await world.ms1.await_got(correlation_id)

    rule("TP-09").equal((answer.code, arrived.body), (1000, text), "code of the answer, bytes delivered")
    rule("OB-01").equal(arrived.json["last_updated"], "2026-06-02T12:00:00.120Z", "last_updated delivered")
    rule("FM-02").equal(arrived.header("Content-Type"), "application/json", "Content-Type delivered")


async def test_slow_and_unwilling_receivers_change_nothing_for_the_pusher(world: World) -> None:
    location = a_location("NL/CP1")
    correlation_id = new_id()
    async with world.guest("EMSP") as slow, world.guest("EMSP") as unwilling:
        slow.script(correlation_id, MUTE)
        unwilling.script(correlation_id, reply(2001, message="not this one"))
        _, answer = await world.push(world.cp1, "locations", location, correlation_id=correlation_id)
        await slow.await_got(correlation_id)
        await unwilling.await_got(correlation_id)
        (arrived,) = await world.ms1.await_got(correlation_id)

        rule("BP-08").equal((answer.code, len(slow.got(correlation_id))), (1000, 1), "code while a receiver hangs")
        rule("BP-09").equal(answer.pair, (200, 1000), "answer although a receiver refuses")
        rule("BP-07").holds(b"not this one" not in answer.body, "a receiver's words reached the pusher")
        rule("ST-10").equal(answer.code, 1000, "code although a receiver refuses a broadcast")
        rule("BP-20").equal(arrived.party("from"), world.hub, "FROM that the platforms accept")


async def test_without_receivers_a_push_is_still_accepted(world: World) -> None:
    token = a_token("LU/OT1")
    async with world.guest("EMSP") as guest:
        location = a_location("NL/CP1")
        answer = await guest.send(
            "PUT", "RECEIVER", "tokens", f"/{guest.party}/T1", body=a_token(guest.party, uid="T1"), to=world.hub
        )
        rule("BP-19").equal(answer.code, 1000, "code of a push")
        assert location
    assert token


async def test_only_who_offers_the_module_gets_its_pushes(world: World) -> None:
    offers = tuple(entry for entry in EVERYTHING if entry != ("locations", "RECEIVER"))
    async with world.guest("EMSP", offers=offers) as guest:
        tariff, location = a_tariff("NL/CP1"), a_location("NL/CP1")
        pushed, answer = await world.push(world.cp1, "locations", location)
        await world.ms1.await_got(pushed)
        wanted, _ = await world.push(world.cp1, "tariffs", tariff)
        await guest.await_got(wanted)

        rule("BP-04").equal((answer.code, guest.got(pushed)), (1000, []), "code, and what came without an endpoint")
        rule("BP-04").equal(len(guest.got(wanted)), 1, "pushes of the module that it offers")


async def test_nobody_is_asked_for_what_the_hub_holds(world: World) -> None:
    location = await world.a_broadcast_location()
    url = world.cp1.hub_endpoints["locations", "RECEIVER"] + tail_of(location)
    correlation_id, foreign = new_id(), new_id()
    own = await world.cp1.ask(
        "GET", url, headers=pair("to", world.hub) | pair("from", "NL/CP1") | {"X-Correlation-ID": correlation_id}
    )
    other = await world.ms1.ask(
        "GET", url, headers=pair("to", world.hub) | pair("from", "NL/MS1") | {"X-Correlation-ID": foreign}
    )
    for rule_id in (rule("BP-10"), rule("D-29"), rule("AM-13")):
        rule_id.equal((own.pair, own.data), ((200, 1000), location), "what its owner is shown")
        rule_id.equal((other.pair, world.reached(foreign)), ((200, 2001), {}), "what somebody else is shown")
    rule("BP-10").equal(world.reached(correlation_id), {}, "platforms asked")
    missing = await world.cp1.send("GET", "RECEIVER", "locations", "/NL/CP1/never-seen", to=world.hub)
    rule("ST-03").equal((missing.status, isinstance(missing.code, int)), (404, True), "answer for what the hub has not")


async def test_what_was_broadcast_is_in_the_lists_of_all_who_may_see_it(world: World) -> None:
    location = await world.a_broadcast_location()
    for platform in (world.ms1, world.ms2, world.both, world.nsp, world.other):
        found = [entry for entry in await world.get_all(platform, "locations") if entry["id"] == location["id"]]
        rule("BP-15").equal(found, [location], f"what {platform.party} finds")


async def test_a_deleted_tariff_goes_to_all_and_leaves_the_lists(world: World) -> None:
    tariff = a_tariff("NL/CP1")
    pushed, _ = await world.push(world.cp1, "tariffs", tariff)
    await world.ms1.await_got(pushed)
    correlation_id = new_id()
    answer = await world.cp1.send(
        "DELETE", "RECEIVER", "tariffs", tail_of(tariff), to=world.hub, correlation_id=correlation_id
    )
    reached = await all_arrived(world, correlation_id, TO_EMSPS)
    rule("AM-14").equal((answer.code, reached), (1000, TO_EMSPS), "code, and deliveries")
    (arrived,) = world.ms1.got(correlation_id)
    rule("AM-14").equal(
        (arrived.method, arrived.target), ("DELETE", f"{BASE}/receiver/tariffs{tail_of(tariff)}"), "delivery"
    )
    ids = [entry["id"] for entry in await world.get_all(world.ms1, "tariffs")]
    rule("AM-14").absent(tariff["id"], ids, "the deleted Tariff")
