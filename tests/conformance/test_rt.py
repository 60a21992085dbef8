"""RT: message routing."""

from tests.conformance.check import rule
from tests.conformance.objects import a_location, a_tariff, a_token, tail_of
from tests.conformance.party import BASE, Platform, Reply, encoded, new_id, pair, reply
from tests.conformance.world import World


async def test_a_directed_push_arrives_as_sent_and_its_answer_comes_back(world: World) -> None:
    correlation_id = new_id()
    body = b'{ "id": "L-bytes",\n "price": 1.10, "name" : "caf\\u00e9 \xc3\xa9", "x": null }'
    told = b'{"status_code":1000, "status_message":"taken",\t"timestamp":"2026-06-01T10:00:00Z","data":{"a": 1.0}}'
    world.ms1.script(correlation_id, Reply(201, told))

    answer = await world.cp1.send(
        "PUT", "RECEIVER", "locations", "/NL/CP1/L-bytes", body=body, to="NL/MS1", correlation_id=correlation_id
    )
    (arrived,) = world.ms1.got(correlation_id)

    rule("RT-07").equal(
        (arrived.party("to"), arrived.party("from")), ("NL/MS1", "NL/CP1"), "TO and FROM at the receiver"
    )
    rule("RT-08").equal((answer.party("to"), answer.party("from")), ("NL/CP1", "NL/MS1"), "TO and FROM of the answer")
    rule("RT-01").equal(
        [
            len(message.all(f"OCPI-{side}-{part}"))
            for message in (arrived, answer)
            for side in ("to", "from")
            for part in ("country-code", "party-id")
        ],
        [1] * 8,
        "how often each routing header stands",
    )
    rule("RT-15").equal((arrived.method, arrived.body), ("PUT", body), "method and body at the receiver")
    rule("RT-15").equal((answer.status, answer.body), (201, told), "status and body of the answer")
    rule("RT-14").equal(arrived.path, "/receiver/locations/NL/CP1/L-bytes", "path at the receiver")
    rule("VE-07").equal(arrived.path.split("/")[1], "receiver", "interface that a push arrives at")
    rule("RT-11").equal(world.reached(correlation_id), {"NL/MS1": 1}, "platforms reached by a directed push")
    rule("ST-04").equal(answer.status, 201, "HTTP status of a directed push that was answered 201")


async def test_headers_of_the_hop_do_not_pass(world: World) -> None:
    correlation_id = new_id()
    token = a_token(world.ms1.party)
    given = {"Cookie": "secret=1", "X-Private": "mine", "Proxy-Authorization": "Basic x", "TE": "trailers"}
    world.cp1.script(correlation_id, reply(Set_Cookie="a=b", Server="partner", X_Private="yours"))
    answer = await world.ms1.send(
        "PUT",
        "RECEIVER",
        "tokens",
        tail_of(token),
        body=token,
        to="NL/CP1",
        correlation_id=correlation_id,
        headers=given,
    )
    (arrived,) = world.cp1.got(correlation_id)

    for name in ("Cookie", "Proxy-Authorization", "TE"):
        rule("RT-23").equal(arrived.header(name), None, f"{name} at the receiver")
    rule("RT-23").equal(arrived.header("Host"), world.cp1.url.removeprefix("http://"), "Host at the receiver")
    rule("RT-23").equal(answer.header("Set-Cookie"), None, "Set-Cookie of the answer")
    rule("AU-12").equal(arrived.all("Authorization"), [encoded(world.cp1.token_b)], "Authorization at the receiver")
    rule("AU-12").holds(
        all(world.ms1.token not in value and encoded(world.ms1.token) not in value for _, value in arrived.headers),
        "the caller's token stands in the forwarded request",
    )


async def test_a_list_keeps_totals_and_gets_a_link_of_the_hub(world: World) -> None:
    correlation_id = new_id()
    url = f"{world.cp1.url}{BASE}/sender/tariffs?offset=2&limit=2"
    world.cp1.script(
        correlation_id, reply(data=[{"id": 1}], X_Total_Count="7", X_Limit="2", Link=f'<{url}>; rel="next"')
    )
    answer = await world.ms1.send("GET", "SENDER", "tariffs", "?limit=2", to="NL/CP1", correlation_id=correlation_id)
    (arrived,) = world.cp1.got(correlation_id)

    rule("RT-23").equal((answer.header("X-Total-Count"), answer.header("X-Limit")), ("7", "2"), "totals of the answer")
    rule("RT-12").equal(arrived.target, f"{BASE}/sender/tariffs?limit=2", "target at the receiver")
    rule("VE-07").equal(arrived.path, "/sender/tariffs", "path of a forwarded list GET")
    rule("TP-02").absent(world.cp1.url, answer.header("Link") or "", "the receiver's host")
    rule("GA-11").equal(
        (answer.data, world.reached(correlation_id)), ([{"id": 1}], {"NL/CP1": 1}), "list and platforms asked"
    )


async def test_path_and_query_arrive_byte_for_byte(world: World) -> None:
    tails = (
        "/NL/CP1/a%2Fb%20c?x=1&y=%20z+w&&k",
        "/NL/CP1/%7Etilde~?b=2&a=1",
        "/NL/CP1/L%c3%a9?empty=",
        "/NL/CP1/trail/",
    )
    for tail in tails:
        correlation_id = new_id()
        await world.cp1.send(
            "PUT", "RECEIVER", "locations", tail, body={"id": "x"}, to="NL/MS1", correlation_id=correlation_id
        )
        got = [entry.target for entry in world.ms1.got(correlation_id)]
        rule("RT-12").equal(got, [f"{BASE}/receiver/locations{tail}"], "target at the receiver")
        rule("D-22").equal(got, [f"{BASE}/receiver/locations{tail}"], "path tail and query at the receiver")


async def test_half_a_pair_or_an_impossible_id_is_refused(world: World) -> None:
    url = world.cp1.hub_endpoints["locations", "RECEIVER"] + "/NL/CP1/L1"
    good = pair("from", "NL/CP1") | pair("to", "NL/MS1")
    broken = {
        name: {key: value for key, value in good.items() if key != name} | {"X-Correlation-ID": new_id()}
        for name in good
    }
    for name, headers in broken.items():
        answer = await world.cp1.ask("PUT", url, body={}, headers=headers)
        rule("RT-22").equal(answer.pair, (200, 2001), f"answer without {name}")
        rule("D-15").equal(answer.pair, (200, 2001), f"answer without {name}")
        rule("RT-22").equal(world.reached(headers["X-Correlation-ID"]), {}, "platforms reached by half a pair")
    for side in ("to", "from"):
        answer = await world.cp1.ask("PUT", url, body={}, headers=good | {f"OCPI-{side}-party-id": "LONG"})
        rule("RT-02").equal(answer.pair, (200, 2001), f"answer to a {side} party id of four characters")


async def test_routing_headers_in_any_case_of_name_and_value(world: World) -> None:
    correlation_id = new_id()
    location = a_location("nl/cp1")
    headers = {
        "ocpi-TO-country-CODE": "nl",
        "OCPI-TO-PARTY-ID": "ms1",
        "ocpi-from-country-code": "nL",
        "Ocpi-From-Party-Id": "Cp1",
        "x-correlation-id": correlation_id,
    }
    url = world.cp1.hub_endpoints["locations", "RECEIVER"] + tail_of(location)
    answer = await world.cp1.ask("PUT", url, body=location, headers=headers)
    got = world.ms1.got(correlation_id)

    rule("RT-05").equal((answer.code, len(got)), (1000, 1), "code of the answer and requests at the receiver")
    rule("FM-12").equal(len(got), 1, "requests that reached TO in another case")
    rule("RT-06").equal((got[0].party("to"), got[0].party("from")), ("nl/ms1", "nL/Cp1"), "TO and FROM as forwarded")
    rule("RT-14").equal(got[0].path, f"/receiver/locations/nl/cp1/{location['id']}", "path at the receiver")


async def test_to_tells_parties_of_one_platform_apart(world: World) -> None:
    for party in ("DE/MS2", "BE/MS3"):
        correlation_id = new_id()
        answer = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L9", body={}, to=party, correlation_id=correlation_id
        )
        rule("RT-09").equal(
            [entry.party("to") for entry in world.ms2.got(correlation_id)], [party], "TO at the shared platform"
        )
        rule("RT-09").equal(answer.party("from"), party, "FROM of the answer")


async def test_a_party_reaches_another_of_its_own_platform(world: World) -> None:
    correlation_id = new_id()
    answer = await world.both.send(
        "PUT", "RECEIVER", "locations", "/FR/BTH/L1", body={}, to="FR/BTH", correlation_id=correlation_id
    )
    rule("RT-20").equal(
        (answer.code, len(world.both.got(correlation_id))), (1000, 1), "code and requests at the own platform"
    )


async def test_what_a_receiver_refuses_reaches_the_caller(world: World) -> None:
    for code in (2001, 2002, 2003, 2004, 3001):
        correlation_id = new_id()
        told = reply(code, message=f"because of {code}")
        world.ms1.script(correlation_id, told)
        answer = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to="NL/MS1", correlation_id=correlation_id
        )
        rule("RT-16").equal((answer.status, answer.body), (200, told.body), "answer to a refused push")
        rule("ST-10").equal(answer.code, code, "code of a refused push")
        if code < 3000:
            rule("ST-11").equal(answer.code, code, "code of a refused push")


async def test_configuration_requests_are_the_hubs_own_whatever_to_says(world: World) -> None:
    targets = {
        "versions": world.operator.versions_url,
        "details": world.version_url,
        "credentials": world.cp1.hub_endpoints["credentials", "SENDER"],
        "hubclientinfo": world.cp1.hub_endpoints["hubclientinfo", "SENDER"],
    }
    for name, url in targets.items():
        correlation_id = new_id()
        headers = pair("to", "NL/MS1") | pair("from", "NL/CP1") | {"X-Correlation-ID": correlation_id}
        answer = await world.cp1.ask("GET", url, headers=headers)
        rule("RT-03").equal((answer.code, world.reached(correlation_id)), (1000, {}), f"answer and platforms of {name}")
        if name in {"versions", "details"}:
            rule("VE-13").equal((answer.party("to"), answer.party("from")), (None, None), f"routing headers of {name}")
        if name == "credentials":
            rule("CR-28").equal((answer.party("to"), answer.party("from")), (None, None), f"routing headers of {name}")


async def test_the_hubs_own_requests_have_no_routing_headers(world: World) -> None:
    own = [
        entry
        for platform in world.everyone
        for entry in platform.received
        if "/hubclientinfo/" in entry.path or entry.target in {"/ocpi/versions", BASE}
    ]
    rule("RT-04").holds(len(own) > len(world.everyone), "fewer requests of the hub's own than expected")
    rule("RT-04").equal(
        [entry.target for entry in own if entry.party("to") or entry.party("from")],
        [],
        "own requests with routing headers",
    )


async def test_without_from_it_is_completed_or_refused(world: World) -> None:
    correlation_id, doubtful = new_id(), new_id()
    token = a_token("NL/MS1")
    answer = await world.ms1.send(
        "PUT", "RECEIVER", "tokens", tail_of(token), body=token, to="NL/CP1", sender=None, correlation_id=correlation_id
    )
    refused = await world.ms2.send(
        "PUT",
        "RECEIVER",
        "tokens",
        "/DE/MS2/T1",
        body=a_token("DE/MS2", uid="T1"),
        to="NL/CP1",
        sender=None,
        correlation_id=doubtful,
    )
    completed = [entry.party("from") for entry in world.cp1.got(correlation_id)]

    rule("RT-10").equal((answer.code, completed), (1000, ["NL/MS1"]), "code and completed FROM")
    rule("AM-05").equal((answer.code, completed), (1000, ["NL/MS1"]), "code and completed FROM")
    rule("AM-05").equal((refused.pair, world.reached(doubtful)), ((200, 2001), {}), "answer where two parties fit")


async def test_a_directed_push_is_in_nobodys_list(world: World) -> None:
    location, tariff = a_location(world.cp1.party), a_tariff(world.cp1.party)
    for module, thing in (("locations", location), ("tariffs", tariff)):
        correlation_id, _ = await world.push(world.cp1, module, thing, to="NL/MS1")
        rule("RT-18").equal(world.reached(correlation_id), {"NL/MS1": 1}, "platforms reached by a directed push")
    for platform in (world.ms1, world.ms2, world.both):
        for module, thing in (("locations", location), ("tariffs", tariff)):
            ids = await all_ids(world, platform, module)
            rule("RT-18").absent(thing["id"], ids, f"a directed object in the list of {platform.party}")
            if module == "tariffs":
                rule("GA-10").absent(thing["id"], ids, f"a directed Tariff in the list of {platform.party}")


async def all_ids(world: World, platform: Platform, module: str) -> list[str]:
    """Every id in a party's GET All of a module."""
    return [entry.get("id") or entry["uid"] for entry in await world.get_all(platform, module)]
