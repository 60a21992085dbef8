"""HC and OF: hub client info, and receivers that are away."""

import time

from tests.conformance.check import rule
from tests.conformance.objects import LATER, a_location, tail_of
from tests.conformance.party import Platform, Received, Role, new_id, reply
from tests.conformance.world import World


def told_of(viewer: Platform, party: str) -> list[Received]:
    """What a viewer was told of a party since it registered."""
    told = [entry for entry in viewer.received if entry.path == f"/receiver/hubclientinfo/{party}"]
    return [entry for entry in told if entry.json["status"] != "PLANNED"]


def statuses(viewer: Platform, party: str) -> list[str]:
    """The statuses that it was told, one after the other."""
    return [entry.json["status"] for entry in told_of(viewer, party)]


async def listed(viewer: Platform, party: str = "") -> list[dict[str, str]]:
    """The list that a viewer is given, or the part on one party."""
    answer = await viewer.ask("GET", viewer.hub_endpoints["hubclientinfo", "SENDER"])
    infos: list[dict[str, str]] = answer.data
    return [entry for entry in infos if not party or f"{entry['country_code']}/{entry['party_id']}" == party]


async def test_a_party_that_joins_and_is_suspended_is_told_to_those_who_may_see_it(world: World) -> None:
    async with world.guest("CPO") as guest:
        await world.ms1.until(lambda: told_of(world.ms1, guest.party))
        await world.ms2.until(lambda: told_of(world.ms2, guest.party))
        first = told_of(world.ms1, guest.party)
        info = first[0].json
        rule("HC-03").equal([entry.method for entry in first], ["PUT"], "what was sent when it joined")
        rule("HC-03").equal(statuses(world.ms1, guest.party), ["CONNECTED"], "status when it joined")
        names = {"country_code", "party_id", "role", "status", "last_updated"}
        rule("HC-04").equal(set(info), names, "fields of a ClientInfo")
        rule("HC-05").equal(f"{info['country_code']}/{info['party_id']}", guest.party, "party in the body")
        rule("HC-06").holds(all(e["last_updated"].endswith("Z") for e in await listed(world.ms1)), "one lacks a date")
        rule("HC-19").equal(len(told_of(world.ms2, guest.party)), 1, "pushes to a platform with two parties")
        rule("HC-13").equal(await listed(world.ms1, guest.party), [info], "what the list says")
        await world.operator.suspend(guest.platform_id)
        await world.ms1.until(lambda: len(told_of(world.ms1, guest.party)) > 1)
        rule("HC-07").equal(statuses(world.ms1, guest.party), ["CONNECTED", "SUSPENDED"], "statuses told")
        rule("HC-04").equal(statuses(world.ms1, guest.party), ["CONNECTED", "SUSPENDED"], "statuses told")
        found = [entry["status"] for entry in await listed(world.ms1, guest.party)]
        rule("HC-11").equal(found, ["SUSPENDED"], "status in the list")
        correlation_id = new_id()
        refused = await world.ms1.send(
            "GET", "SENDER", "locations", "/L1", to=guest.party, correlation_id=correlation_id
        )
        rule("OF-06").equal((refused.pair, guest.got(correlation_id)), ((200, 4003), []), "a request to it")
        rule("HC-17").equal((refused.pair, guest.got(correlation_id)), ((200, 4003), []), "a request to it")
        rule("HC-20").equal(told_of(guest, guest.party), [], "what it was told of itself")
    methods = {entry.method for p in world.everyone for entry in p.received if "/receiver/hubclientinfo/" in entry.path}
    rule("HC-04").equal(methods, {"PUT"}, "methods of all pushes")


async def test_a_list_holds_those_that_the_viewer_may_talk_to(world: World) -> None:
    known = {f"{entry['country_code']}/{entry['party_id']}" for entry in await listed(world.cp1)}
    rule("HC-08").holds({"NL/MS1", "DE/MS2", "BE/MS3", "BE/NS1"} <= known, f"the CPO sees {sorted(known)}")
    rule("HC-08").absent("NL/CP1", known, "the viewer itself")
    rule("AM-38").absent("DE/CP2", known, "another CPO")
    roles = {(entry["party_id"], entry["role"]) for entry in await listed(world.ms1)}
    rule("AM-38").absent(("MS2", "EMSP"), roles, "another eMSP in an eMSP's list")
    rule("HC-01").equal([e.target for e in world.cp1.received if "/sender/hubclientinfo" in e.path], [], "routed lists")


async def test_a_party_with_two_roles_is_told_twice_with_one_status(world: World) -> None:
    async with world.guest("CPO", "EMSP") as guest:
        await world.both.until(lambda: len(told_of(world.both, guest.party)) > 1)
        told = told_of(world.both, guest.party)
        rule("AM-37").equal(
            sorted((entry.json["role"], entry.json["status"]) for entry in told),
            [("CPO", "CONNECTED"), ("EMSP", "CONNECTED")],
            "roles and statuses told",
        )


async def test_a_platform_that_stops_answering_is_offline_until_it_answers(world: World) -> None:
    async with world.guest("EMSP", is_registered=False) as guest:
        second = Role(f"XB/{guest.party[3:]}", "EMSP")
        guest.roles = (*guest.roles, second)
        await world.register(guest)
        parties = (guest.party, second.party)
        await world.cp1.until(lambda: all(told_of(world.cp1, party) for party in parties))
        await guest.stop()
        location = a_location("NL/CP1", name="missed")
        missed, _ = await world.push(world.cp1, "locations", location)
        unreachable = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party)
        for party in parties:
            await world.cp1.until(lambda party=party: len(told_of(world.cp1, party)) > 1)
            rule("HC-15").equal(statuses(world.cp1, party), ["CONNECTED", "OFFLINE"], f"statuses of {party}")
            rule("HC-16").equal(statuses(world.cp1, party), ["CONNECTED", "OFFLINE"], f"statuses of {party}")
        began = time.monotonic()
        refused = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party)
        took = time.monotonic() - began
        rule("OF-05").equal((unreachable.code, refused.code), (4003, 4003), "codes")
        rule("OF-06").holds(refused.code == 4003 and took < 3, f"{refused.code} after {took:.1f} s")
        spoken = await guest.send("PUT", "RECEIVER", "tokens", f"/{guest.party}/T1", body={}, to="NL/CP1")
        rule("HC-15").equal((spoken.code, len(statuses(world.cp1, guest.party))), (1000, 2), "its own requests")
        newest = location | {"name": "newest", "last_updated": LATER}
        pushed, _ = await world.push(world.cp1, "locations", newest)
        await world.ms1.await_got(pushed)
        before = len(guest.received)
        await guest.start()
        for party in parties:
            await world.cp1.until(lambda party=party: len(told_of(world.cp1, party)) > 2)
            rule("HC-15").equal(statuses(world.cp1, party)[2:], ["CONNECTED"], f"statuses of {party} afterwards")
        path = f"/receiver/locations{tail_of(location)}"

        def caught_up() -> list[Received]:
            return [entry for entry in guest.received[before:] if entry.path == path]

        await guest.until(lambda: len(caught_up()) > 1)
        direct = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party)
        rule("HC-17").equal(direct.code, 1000, "code of a request once it is connected")
        got = sorted((entry.party("to") or "", entry.json["name"]) for entry in caught_up())
        rule("BP-16").equal(
            got, [(party, "newest") for party in sorted(parties)], "what each party got of what it missed"
        )
        rule("OF-01").equal(
            got, [(party, "newest") for party in sorted(parties)], "what each party got of what it missed"
        )
        rule("OF-01").equal(guest.got(missed), [], "old messages sent again")
        since = f"?date_from={LATER}"
        ids = [entry["id"] for entry in await world.get_all(guest, "locations", since)]
        rule("OF-02").within(location["id"], ids, "a Location that changed meanwhile, by date_from")


async def test_a_quiet_platform_is_asked_and_a_401_to_that_alone_changes_nothing(world: World) -> None:
    async with world.guest("EMSP") as guest:
        guest.paths["GET", "/ocpi/versions"] = reply(2000, status=401)

        def probes() -> list[Received]:
            return [entry for entry in guest.received[count:] if entry.target == "/ocpi/versions"]

        count = len(guest.received)
        await guest.until(probes, 40.0)
        rule("HC-14").holds(probes(), "a platform that gave no sign of life was not asked for its versions")
        rule("ID-06").holds(
            all(entry.header("X-Request-ID") and entry.header("X-Correlation-ID") for entry in probes()), "no ids"
        )
        rule("AU-01").holds(all(entry.header("Authorization") for entry in probes()), "a check without Authorization")
        for number in range(3):
            answer = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party)
            found = [entry["status"] for entry in await listed(world.cp1, guest.party)]
            rule("AM-39").equal((answer.code, found), (1000, ["CONNECTED"]), f"request {number}, and its status")
            rule("D-10").equal((answer.code, found), (1000, ["CONNECTED"]), f"request {number}, and its status")
