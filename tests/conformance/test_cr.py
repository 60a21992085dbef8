"""CR: credentials and registration."""

import asyncio

from tests.conformance.check import rule
from tests.conformance.objects import a_location, an_evse
from tests.conformance.party import BASE, Answer, Platform, Role, encoded, new_id, new_token, reply
from tests.conformance.world import CREDENTIALS, World

CREDENTIALS_PATH = f"{BASE}/credentials"


def calls_of(platform: Platform, token: str = "") -> list[tuple[str, str]]:
    """Method and path of the configuration requests that it got, in order; those with this token, if one is given."""
    paths = ("/ocpi/versions", BASE, CREDENTIALS_PATH)
    entries = [entry for entry in platform.received if entry.target in paths]
    return [(e.method, e.target) for e in entries if not token or e.header("Authorization") == encoded(token)]


async def put(world: World, platform: Platform, **changes: object) -> Answer:
    """PUT credentials; its new token of the hub is kept if it succeeds."""
    token = new_token(platform.party)
    before, platform.token_b = platform.token_b, token
    answer = await platform.ask("PUT", platform.hub_endpoints[CREDENTIALS], body=platform.credentials(**changes))
    if answer.code == 1000:
        platform.token = answer.data["token"]
    else:
        platform.token_b = before
    return answer


async def status_of(world: World, viewer: Platform, party: str) -> set[str]:
    """What the hub's list tells a viewer of a party."""
    answer = await viewer.ask("GET", viewer.hub_endpoints["hubclientinfo", "SENDER"])
    return {entry["status"] for entry in answer.data if f"{entry['country_code']}/{entry['party_id']}" == party}


async def works(world: World, platform: Platform, token: str = "") -> int | None:
    """The code of GET versions with a token, None for HTTP errors."""
    answer = await platform.ask("GET", world.operator.versions_url, token=token)
    return answer.code if answer.status == 200 else None


async def test_a_partner_registers_and_its_token_a_is_used_up(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as guest:
        token_a = await world.invite(guest)
        answer = await world.handshake(guest, token_a)
        seen = [(*call, e.header("Authorization")) for call, e in zip(calls_of(guest), guest.received, strict=False)]
        token_c = answer.data["token"]
        url = guest.hub_endpoints[CREDENTIALS]
        old = await guest.ask("GET", url, token=token_a)
        new = await guest.ask("GET", url)

        rule("CR-01").equal(answer.pair, (200, 1000), "answer to POST credentials")
        rule("AM-22").equal(answer.status, 200, "HTTP status of POST credentials")
        shown = encoded(guest.token_b)
        rule("CR-06").equal(seen[:2], [("GET", "/ocpi/versions", shown), ("GET", BASE, shown)], "what the hub fetched")
        rule("CR-07").absent(token_c, (token_a, guest.token_b), "token C")
        rule("CR-08").equal((old.status, new.pair), (401, (200, 1000)), "tokens A and C afterwards")
        rule("CR-16").equal(
            (new.data["token"], new.data["url"], [role["role"] for role in new.data["roles"]]),
            (guest.token, world.operator.versions_url, ["HUB"]),
            "token, url and roles of GET credentials",
        )
        rule("AM-07").equal(new.data["token"], guest.token, "token of GET credentials")


async def test_the_hubs_credentials_are_one_hub_role(world: World) -> None:
    answer = await world.cp1.ask("GET", world.cp1.hub_endpoints[CREDENTIALS])
    roles = answer.data["roles"]
    rule("CR-22").equal([role["role"] for role in roles], ["HUB"], "roles")
    rule("HC-18").equal([f"{r['country_code']}/{r['party_id']}" for r in roles], [world.hub], "parties in its roles")
    listed = await world.cp1.ask("GET", world.cp1.hub_endpoints["hubclientinfo", "SENDER"])
    known = {f"{entry['country_code']}/{entry['party_id']}" for entry in listed.data}
    rule("HC-18").holds({"NL/MS1", "DE/MS2", "BE/MS3"} <= known, f"parties in hubclientinfo: {sorted(known)}")
    lengths = [(len(r["country_code"]), len(r["party_id"]), len(r["business_details"]["name"]) <= 100) for r in roles]
    rule("CR-20").equal(lengths, [(2, 3, True)], "lengths in roles")
    rule("CR-20").holds(len(answer.data["token"]) <= 64 and len(answer.data["url"]) <= 255, "token or url is too long")


async def test_the_hub_registers_at_a_partner(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as guest:
        here = f"{guest.url}{BASE}"
        guest.versions = [
            {"version": v, "url": here if v == "2.2.1" else f"{guest.url}/{v}"} for v in ("2.1.1", "2.2.1")
        ]
        token_a, token_c = new_token("A"), guest.token_b
        guest.paths["POST", CREDENTIALS_PATH] = reply(data=guest.credentials(), status=201)
        guest.platform_id = await world.operator.connect(guest.versions_url, token_a, guest.party, ["CPO"])
        posts = [entry for entry in guest.received if entry.method == "POST"]
        order = calls_of(guest)
        guest.token = posts[0].json["token"]

        rule("CR-01").holds(guest.platform_id, "the hub did not register")
        rule("AM-22").holds(guest.platform_id, "the hub does not take 201 as an answer to POST credentials")
        rule("CR-03").equal(
            order[:3], [("GET", "/ocpi/versions"), ("GET", BASE), ("POST", CREDENTIALS_PATH)], "calls of the hub"
        )
        rule("CR-03").equal({e.header("Authorization") for e in guest.received[:3]}, {encoded(token_a)}, "tokens shown")
        rule("CR-04").equal([entry.target for entry in posts], [CREDENTIALS_PATH], "where credentials were POSTed")
        rule("CR-05").equal(posts[0].json["url"], world.operator.versions_url, "url in the hub's credentials")
        rule("CR-05").absent(guest.token, (token_a, token_c), "token in the hub's credentials")
        rule("CR-01").equal(await works(world, guest), 1000, "code of versions with the token that the hub gave")
        rule("ID-06").holds(posts[0].header("X-Request-ID") and posts[0].header("X-Correlation-ID"), "POST without ids")
        rule("RT-04").equal((posts[0].party("to"), posts[0].party("from")), (None, None), "routing headers of POST")


async def test_token_b_works_while_the_hubs_post_is_open(world: World) -> None:
    async with world.guest("EMSP", is_registered=False) as guest:
        told = reply(data=guest.credentials())
        guest.paths["POST", CREDENTIALS_PATH] = type(told)(told.status, told.body, delay_seconds=1.5)
        connecting = asyncio.create_task(
            world.operator.connect(guest.versions_url, new_token("A"), guest.party, ["EMSP"])
        )
        await guest.until(lambda: any(entry.method == "POST" for entry in guest.received))
        token_b = next(entry for entry in guest.received if entry.method == "POST").json["token"]
        versions, details = await works(world, guest, token_b), await guest.ask("GET", world.version_url, token=token_b)
        was_open = not connecting.done()
        guest.platform_id = await connecting
        guest.token = token_b

        rule("CR-32").equal((was_open, versions, details.code), (True, 1000, 1000), "versions and details with token B")


async def test_a_partner_that_cannot_be_called_back_stays_outside(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as guest:
        token_a = await world.invite(guest)
        guest.paths["GET", "/ocpi/versions"] = reply(2000, status=401)
        failed = await world.handshake(guest, token_a)
        guest.paths.clear()
        guest.versions = [{"version": "2.1.1", "url": f"{guest.url}/ocpi/2.1.1"}]
        lacking = await world.handshake(guest, token_a)
        closed = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party)
        guest.versions = None
        again = await world.handshake(guest, token_a)

        rule("CR-09").equal(failed.pair, (200, 3001), "answer when versions answered 401")
        rule("CR-10").equal(lacking.pair, (200, 3002), "answer when the called version is not listed")
        rule("CR-09").differs(closed.code, 1000, "code of a request to a party that failed to register")
        rule("CR-09").equal(again.pair, (200, 1000), "answer with the same token A afterwards")


async def test_a_partner_without_a_credentials_endpoint_is_3003_and_is_posted_nothing(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as asking, world.guest("CPO", is_registered=False) as asked:
        for guest in (asking, asked):
            tokens = {"identifier": "tokens", "role": "RECEIVER", "url": f"{guest.url}{BASE}/receiver/tokens"}
            guest.details = {"version": "2.2.1", "endpoints": [tokens]}
        token_a = await world.invite(asking)
        answer = await world.handshake(asking, token_a)
        connected = await world.operator.connect(asked.versions_url, new_token("A"), asked.party, ["CPO"])
        asking.details = None
        again = await world.handshake(asking, token_a)

        rule("CR-11").equal(answer.pair, (200, 3003), "answer to credentials")
        rule("CR-11").equal(connected, "", "the platform at which the hub registered")
        rule("CR-11").equal(calls_of(asked), [("GET", "/ocpi/versions"), ("GET", BASE)], "calls of the hub")
        rule("CR-11").equal(again.pair, (200, 1000), "answer with the endpoint, and the same token A")


async def test_methods_that_the_state_does_not_allow_are_405(world: World) -> None:
    url = world.cp1.hub_endpoints[CREDENTIALS]
    posted = await world.cp1.ask("POST", url, body=world.cp1.credentials())
    patched = await world.cp1.ask("PATCH", url, body=world.cp1.credentials())
    async with world.guest("CPO", is_registered=False) as guest:
        token_a = await world.invite(guest)
        early = await guest.ask("PUT", url, body=guest.credentials(), token=token_a)
        ended = await guest.ask("DELETE", url, token=token_a)
        nobody = [await guest.ask(method, url, body={}, token="unknown~") for method in ("PUT", "DELETE")]
    rule("CR-12").equal(posted.status, 405, "HTTP status of POST when registered")
    rule("CR-15").equal(patched.status, 405, "HTTP status of PATCH")
    rule("CR-13").equal(early.status, 405, "HTTP status of PUT with token A")
    rule("CR-14").equal(ended.status, 405, "HTTP status of DELETE with token A")
    rule("AM-03").equal((early.status, ended.status), (405, 405), "HTTP status of PUT and DELETE with token A")
    rule("AM-03").equal([entry.status for entry in nobody], [401, 401], "HTTP status with an unknown token")
    rule("CR-12").equal(await works(world, world.cp1), 1000, "code of versions after the refused POST")


async def test_put_renews_both_tokens(world: World) -> None:
    async with world.guest("EMSP") as guest:
        old = guest.token
        guest.received.clear()
        answer = await put(world, guest)
        fetched = calls_of(guest, guest.token_b)
        before_use = await works(world, guest, old)
        new = await works(world, guest)
        after_use: int | None = 1000
        for _ in range(100):
            after_use = await works(world, guest, old)
            if after_use is None:
                break
            await asyncio.sleep(0.1)
        correlation_id = new_id()
        await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
        )
        shown = [entry.header("Authorization") for entry in guest.got(correlation_id)]

        rule("CR-17").equal((answer.pair, guest.token != old), ((200, 1000), True), "answer to PUT, and a new token")
        rule("CR-17").equal(fetched[:2], [("GET", "/ocpi/versions"), ("GET", BASE)], "what the hub fetched again")
        rule("CR-17").equal((new, after_use), (1000, None), "versions with the new token, then with the old")
        rule("AM-21").equal((before_use, new, after_use), (1000, 1000, None), "old, new, old token")
        rule("CR-17").equal(shown, [encoded(guest.token_b)], "token that the hub shows afterwards")


async def test_a_failed_put_changes_nothing(world: World) -> None:
    async with world.guest("EMSP") as guest:
        old, shown_before = guest.token, guest.token_b
        guest.paths["GET", BASE] = reply(2000, status=500)
        answer = await put(world, guest)
        guest.paths.clear()
        correlation_id = new_id()
        await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
        )
        shown = [entry.header("Authorization") for entry in guest.got(correlation_id)]
        rule("CR-29").equal((answer.pair, await works(world, guest, old)), ((200, 3001), 1000), "answer, old token")
        rule("CR-29").equal(shown, [encoded(shown_before)], "token that the hub shows afterwards")
        rule("AM-21").equal(await works(world, guest, old), 1000, "code with the old token")


async def test_an_operator_renews_tokens_at_once(world: World) -> None:
    async with world.guest("EMSP") as guest:
        old_b = guest.token_b
        await world.operator.rotate(guest.platform_id)
        puts = [entry for entry in guest.received if entry.method == "PUT" and entry.target == CREDENTIALS_PATH]
        correlation_id = new_id()
        await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
        )
        shown = [entry.header("Authorization") for entry in guest.got(correlation_id)]
        rule("CR-18").equal(len(puts), 1, "number of PUT credentials")
        rule("CR-18").equal((await works(world, guest), shown), (1000, [encoded(guest.token_b)]), "both new tokens")
        rule("CR-18").differs(guest.token_b, old_b, "the partner's token")
        rule("ID-06").holds(puts[0].header("X-Request-ID") and puts[0].header("X-Correlation-ID"), "PUT without ids")


async def test_delete_ends_the_connection_and_a_new_token_a_resumes_it(world: World) -> None:
    async with world.guest("EMSP") as guest:
        answer = await guest.ask("DELETE", guest.hub_endpoints[CREDENTIALS])
        token_after = await works(world, guest)
        status = await status_of(world, world.cp1, guest.party)
        refused = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party)
        await world.a_broadcast_location()
        count = len(guest.received)
        await world.a_broadcast_location()
        told = guest.received[count:]

        rule("AM-23").equal((answer.pair, token_after), ((200, 1000), None), "answer to DELETE, token afterwards")
        rule("CR-19").equal((token_after, status, refused.code), (None, {"OFFLINE"}, 4003), "token, status, requests")
        rule("CR-19").equal([entry.target for entry in told], [], "what the hub sent after DELETE")
        rule("D-08").equal(status, {"OFFLINE"}, "status after DELETE")
        rule("HC-07").equal(status, {"OFFLINE"}, "status after DELETE")
        again = await world.handshake(guest, await world.operator.rotate(guest.platform_id))
        correlation_id = new_id()
        direct = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
        )
        rule("AM-23").equal(again.code, 1000, "code with a new token A")
        rule("D-08").equal((again.code, direct.code), (1000, 1000), "code of the new handshake, and of a request then")


async def test_a_repeated_role_is_refused(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as guest:
        role = guest.roles[0].json
        answer = await world.handshake(guest, await world.invite(guest), roles=[role, role])
        rule("CR-21").equal(answer.pair, (200, 2001), "answer to credentials that repeat a role")


async def test_a_party_beyond_the_invitation_is_quarantined(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as guest:
        extra = Role("ZZ/EXT", "EMSP")
        answer = await world.handshake(guest, await world.invite(guest), roles=[guest.roles[0].json, extra.json])
        correlation_id = new_id()
        spoken = await guest.send(
            "PUT",
            "RECEIVER",
            "tokens",
            "/ZZ/EXT/T1",
            body={},
            to="NL/CP1",
            sender="ZZ/EXT",
            correlation_id=correlation_id,
        )
        addressed = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to="ZZ/EXT")
        shown = await status_of(world, world.cp1, "ZZ/EXT")

        rule("CR-27").equal((answer.code, shown, addressed.code), (1000, set(), 4001), "handshake, list, request to it")
        rule("D-09").equal((answer.code, shown), (1000, set()), "handshake, and what others are shown")
        rule("D-09").equal((spoken.pair, world.reached(correlation_id)), ((200, 2001), {}), "a request FROM it")


async def test_a_renewal_takes_roles_away_and_adds_those_that_are_invited(world: World) -> None:
    async with world.guest("EMSP") as guest:
        kept, changing, extra = guest.roles[0], Role("XB/CHG", "EMSP"), Role("XB/EXT", "EMSP")

        async def seen() -> list[tuple[set[str], int | None]]:
            found = []
            for role in (kept, changing, extra):
                answer = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=role.party)
                found.append((await status_of(world, world.cp1, role.party), answer.code))
            return found

        await world.operator.invite(changing.party, ["EMSP"], guest.platform_id)
        await put(world, guest, roles=[kept.json, changing.json, extra.json])
        added = await seen()
        await put(world, guest, roles=[kept.json])
        dropped = await seen()
        await put(world, guest, roles=[changing.json, kept.json])
        again = await seen()

        here, away, unknown = ({"CONNECTED"}, 1000), ({"OFFLINE"}, 4003), (set[str](), 4001)
        rule("CR-30").equal(
            added, [here, here, unknown], "kept, invited and uninvited role after the PUT that adds two"
        )
        rule("CR-30").equal(dropped, [here, away, unknown], "the same after the PUT that drops both")
        rule("CR-30").equal(again, [here, here, unknown], "the same after the PUT that lists the invited one again")


async def test_a_role_claimed_again_is_quarantined_and_the_first_stands(world: World) -> None:
    async with world.guest("EMSP", is_registered=False) as guest:
        claimed = Role("NL/MS1", "EMSP")
        await world.handshake(guest, await world.invite(guest), roles=[guest.roles[0].json, claimed.json])
        correlation_id = new_id()
        await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to="NL/MS1", correlation_id=correlation_id
        )
        rule("AM-19").equal(
            (world.reached(correlation_id), guest.got(correlation_id)), ({"NL/MS1": 1}, []), "who was reached"
        )


async def test_foreign_prefixes_pass(world: World) -> None:
    location = a_location("NL/CP1", evses=[an_evse(evse_id="BE*XYZ*E1")])
    correlation_id, answer = await world.push(world.cp1, "locations", location)
    (arrived,) = await world.ms1.await_got(correlation_id)
    rule("CR-26").equal((answer.code, arrived.json), (1000, location), "code, and the Location delivered")
