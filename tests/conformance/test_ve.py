"""VE: versions, and what the hub offers (with TP, FM)."""

from tests.conformance.check import rule
from tests.conformance.objects import a_location, tail_of
from tests.conformance.party import BASE, MODULES, Platform, new_id, pair
from tests.conformance.world import World


async def details_of(world: World, platform: Platform, token: str = "") -> dict[str, object]:
    """The hub's details as this platform sees them."""
    answer = await platform.ask("GET", world.version_url, token=token)
    found: dict[str, object] = answer.data
    return found


async def test_the_hub_lists_its_versions_and_each_answers(world: World) -> None:
    listed = await world.cp1.ask("GET", world.operator.versions_url)
    versions = listed.data
    rule("TP-01").equal((listed.pair, isinstance(versions, list)), ((200, 1000), True), "answer of versions")
    rule("VE-01").holds(versions, "no version is listed")
    rule("VE-12").equal([v for v in versions if v["version"] in {"2.1", "2.2"}], [], "versions 2.1 and 2.2")
    for entry in versions:
        rule("VE-01").holds(entry["url"].startswith(("http://", "https://")), f"{entry['url']} is not absolute")
        details = await world.cp1.ask("GET", entry["url"])
        rule("VE-01").equal(details.pair, (200, 1000), f"answer of {entry['url']}")
        rule("VE-03").equal(details.data["version"], entry["version"], "version in the details")
        rule("VE-03").holds(isinstance(details.data["endpoints"], list), "endpoints is no array")


async def test_each_module_is_offered_on_both_sides(world: World) -> None:
    details = await world.cp1.ask("GET", world.version_url)
    endpoints = details.data["endpoints"]
    for module in MODULES:
        found = [entry for entry in endpoints if entry["identifier"] == module]
        roles = sorted(entry["role"] for entry in found)
        rule("TP-04").equal(roles, ["RECEIVER", "SENDER"], f"roles of {module}")
        rule("VE-04").equal((roles, len({e["url"] for e in found})), (["RECEIVER", "SENDER"], 2), f"roles of {module}")
    own = [(entry["identifier"], entry["role"]) for entry in endpoints if entry["identifier"] not in MODULES]
    rule("VE-05").equal(own.count(("credentials", "SENDER")), 1, "credentials as SENDER")
    rule("VE-05").absent(("credentials", "RECEIVER"), own, "credentials as RECEIVER")
    rule("HC-02").within(("hubclientinfo", "SENDER"), own, "hubclientinfo")
    rule("FM-08").equal([e["url"] for e in endpoints if "2.2.1" not in e["url"]], [], "URLs without the version")
    rule("AM-44").equal([e["url"] for e in endpoints if e["url"].endswith("/")], [], "URLs that end in a slash")


async def test_partners_of_every_role_use_one_versions_url(world: World) -> None:
    for platform in world.everyone:
        answer = await platform.ask("GET", world.operator.versions_url)
        rule("VE-06").equal(answer.code, 1000, f"code for {platform.roles[0].role}")
    invitations = [
        await world.operator.invite(f"XV/{name}", [role]) for name, role in (("ONE", "CPO"), ("TWO", "EMSP"))
    ]
    rule("VE-06").equal({entry.versions_url for entry in invitations}, {world.operator.versions_url}, "versions URLs")
    rule("VE-08").holds(all(e.token and e.versions_url for e in invitations), "an invitation lacks URL or token")
    rule("CR-02").equal(len({entry.token for entry in invitations}), 2, "number of different tokens A")


async def test_details_are_the_same_before_and_after_registration(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as guest:
        token_a = await world.invite(guest)
        before = await details_of(world, guest, token_a)
        await world.handshake(guest, token_a)
        rule("VE-18").equal(await details_of(world, guest), before, "details with token C")


async def test_a_peer_may_offer_little_and_list_strange_versions(world: World) -> None:
    async with world.guest("EMSP", is_registered=False, offers=(("tokens", "SENDER"),)) as guest:
        here = f"{guest.url}{BASE}"
        guest.versions = [
            {"version": "2.1.1", "url": f"{guest.url}/ocpi/2.1.1"},
            {"version": "2.2.1", "url": here},
            {"version": "3.0-beta", "url": f"{guest.url}/ocpi/3"},
        ]
        answer = await world.register(guest)
        rule("VE-12").equal(answer.code, 1000, "code of a handshake with unknown version strings")
        rule("VE-09").equal(answer.code, 1000, "code of a handshake with one module")
        rule("FM-09").equal(answer.code, 1000, "code of a handshake without RECEIVER endpoints")
        location = await world.a_broadcast_location()
        ids = [entry["id"] for entry in await world.get_all(guest, "locations")]
        rule("FM-09").within(location["id"], ids, "a Location that was pulled")


async def test_a_peer_may_list_its_credentials_as_receiver(world: World) -> None:
    async with world.guest("EMSP", is_registered=False) as guest:
        base = f"{guest.url}{BASE}"
        listed = [("credentials", "RECEIVER"), ("locations", "RECEIVER"), ("tokens", "SENDER")]
        guest.details = {
            "version": "2.2.1",
            "endpoints": [{"identifier": m, "role": r, "url": f"{base}/{r.lower()}/{m}"} for m, r in listed],
        }
        answer = await world.register(guest)
        rule("VE-05").equal(answer.code, 1000, "code of its handshake")


async def test_odd_endpoint_urls_are_called_as_published(world: World) -> None:
    async with world.guest("EMSP", is_registered=False) as guest:
        odd = {"locations": "/x/7f//Loc%20s/", "tariffs": "/t;v=1?tenant=a%2Fb", "cdrs": "/c"}
        listed = [("credentials", "SENDER", "/creds"), *((module, "RECEIVER", path) for module, path in odd.items())]
        guest.details = {
            "version": "2.2.1",
            "endpoints": [{"identifier": m, "role": r, "url": f"{guest.url}{path}"} for m, r, path in listed],
        }
        await world.register(guest)
        expected = {"locations": "/x/7f//Loc%20s/NL/CP1/L1", "tariffs": "/t;v=1/NL/CP1/L1?tenant=a%2Fb"}
        for module, target in expected.items():
            correlation_id = new_id()
            await world.cp1.send(
                "PUT", "RECEIVER", module, "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
            )
            got = [entry.target for entry in guest.got(correlation_id)]
            rule("FM-07").equal(got, [target], f"target of {module}")
            rule("RT-12").equal(got, [target], f"target of {module}")


async def test_one_url_serves_every_way_of_routing(world: World) -> None:
    location = a_location("NL/CP1")
    for to, expected in (("NL/MS1", "NL/CP1"), (world.hub, world.hub), (None, world.hub)):
        correlation_id, _ = await world.push(world.cp1, "locations", location, to=to)
        (arrived,) = await world.ms1.await_got(correlation_id)
        rule("VE-14").equal(arrived.party("from"), expected, f"FROM with TO = {to}")
        location = location | {"last_updated": f"2026-06-02T14:00:0{len(expected)}Z", "name": str(to)}
    for to, asked in (("NL/CP1", {"NL/CP1": 1}), (world.hub, {}), (None, {})):
        correlation_id = new_id()
        await world.ms1.send("GET", "SENDER", "locations", to=to, correlation_id=correlation_id)
        rule("VE-14").equal(world.reached(correlation_id), asked, f"platforms asked with TO = {to}")


async def test_reading_versions_changes_nothing(world: World) -> None:
    before = [len(platform.received) for platform in world.everyone]
    details = [await details_of(world, world.cp1) for _ in range(20)]
    for _ in range(20):
        await world.cp1.ask("GET", world.operator.versions_url)
    pushed, _ = await world.push(world.cp1, "locations", a_location("NL/CP1"), to="NL/MS1")
    news = [
        entry
        for platform, count in zip(world.everyone, before, strict=True)
        for entry in platform.received[count:]
        if "/hubclientinfo/" in entry.path and "/NL/CP1" in entry.path
    ]
    rule("VE-15").equal((details[0], news), (details[-1], []), "details, and what others were told of the reader")
    assert pushed


async def test_slashes_are_taken_in_every_form_without_redirect(world: World) -> None:
    versions = await world.cp1.ask("GET", f"{world.operator.versions_url}/")
    details = await world.cp1.ask("GET", f"{world.version_url}/")
    location = await world.a_broadcast_location()
    url = world.cp1.hub_endpoints["locations", "RECEIVER"]
    forms = (f"{url}{tail_of(location)}/", f"{url}/{tail_of(location)}", f"{url}{tail_of(location)}")
    headers = pair("from", "NL/CP1") | pair("to", world.hub)
    answers = [await world.cp1.ask("GET", form, headers=headers) for form in forms]
    lists = world.ms1.hub_endpoints["locations", "SENDER"]
    answers += [await world.ms1.ask("GET", f"{lists}/", headers=pair("from", "NL/MS1") | pair("to", world.hub))]
    rule("AM-44").equal({entry.pair for entry in (versions, details, *answers)}, {(200, 1000)}, "answers")
    rule("D-22").equal({entry.pair for entry in (versions, details, *answers)}, {(200, 1000)}, "answers")
