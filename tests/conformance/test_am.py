"""AM, FM and D: what no other family holds."""

from tests.conformance.check import rule
from tests.conformance.objects import a_location, a_tariff, a_token, tail_of
from tests.conformance.party import Platform, Reply, Role, is_uuid, new_id, pair, reply
from tests.conformance.world import World


async def test_a_receiver_without_headers_changes_nothing_for_the_caller(world: World) -> None:
    wrong = {"OCPI-to-country-code": "ZZ", "OCPI-to-party-id": "ZZZ", "X-Request-ID": "r", "X-Correlation-ID": "c"}
    for headers in ({}, wrong):
        request_id, correlation_id = new_id(), new_id()
        world.ms1.script(correlation_id, Reply(200, reply().body, headers, is_bare=True))
        answer = await world.cp1.send(
            "PUT",
            "RECEIVER",
            "locations",
            "/NL/CP1/L1",
            body={},
            to="NL/MS1",
            request_id=request_id,
            correlation_id=correlation_id,
        )
        got = (answer.all("X-Request-ID"), answer.all("X-Correlation-ID"), answer.party("to"), answer.party("from"))
        rule("AM-08").equal(got, ([request_id], [correlation_id], "NL/CP1", "NL/MS1"), "ids and routing headers")


async def test_missing_ids_are_made(world: World) -> None:
    url = world.cp1.hub_endpoints["locations", "RECEIVER"] + "/NL/CP1/no-ids"
    answer = await world.cp1.ask("PUT", url, body={}, headers=pair("from", "NL/CP1") | pair("to", "NL/MS1"))
    correlation_id = answer.header("X-Correlation-ID") or ""
    rule("AM-10").holds(is_uuid(answer.header("X-Request-ID")) and is_uuid(correlation_id), "ids that the hub made")
    rule("AM-10").equal(len(world.ms1.got(correlation_id)), 1, "requests with the correlation id of the answer")
    request_id, first, second = new_id(), new_id(), new_id()
    for correlation_id in (first, second):
        await world.cp1.send(
            "PUT",
            "RECEIVER",
            "locations",
            "/NL/CP1/L1",
            body={"n": correlation_id},
            to="NL/MS1",
            request_id=request_id,
            correlation_id=correlation_id,
        )
    counts = (len(world.ms1.got(first)), len(world.ms1.got(second)))
    rule("AM-10").equal(counts, (1, 1), "requests forwarded of two bodies under one id")


async def test_every_method_and_content_type(world: World) -> None:
    tariff = a_tariff("NL/CP1")
    tail = tail_of(tariff)
    calls = (
        ("PUT", world.cp1, "RECEIVER", "tariffs", tail, tariff),
        ("GET", world.cp1, "RECEIVER", "tariffs", tail, None),
        ("DELETE", world.cp1, "RECEIVER", "tariffs", tail, None),
        ("PATCH", world.cp1, "RECEIVER", "locations", "/NL/CP1/L1", {"name": "x"}),
        ("POST", world.cp1, "RECEIVER", "cdrs", "", {"id": "x"}),
    )
    for method, sender, interface, module, where, body in calls:
        correlation_id = new_id()
        answer = await sender.send(
            method, interface, module, where, body=body, to="NL/MS1", correlation_id=correlation_id
        )
        (arrived,) = world.ms1.got(correlation_id)
        rule("FM-01").equal((answer.code, arrived.method), (1000, method), f"code of a {method}, and what arrived")
        if body is not None:
            rule("FM-02").equal(arrived.header("Content-Type"), "application/json", f"Content-Type of a {method}")
    answer = await world.cp1.send(
        "PUT",
        "RECEIVER",
        "locations",
        "/NL/CP1/L1",
        body={},
        to="NL/MS1",
        headers={"Content-Type": "application/json; charset=utf-8"},
    )
    rule("FM-02").equal(answer.code, 1000, "code of a body with a charset")


async def test_odd_requests_still_get_an_ocpi_answer(world: World) -> None:
    base = world.version_url
    for path in (
        "/",
        "/nothing",
        "/receiver",
        "/receiver/nothing/x",
        "/sender/locations/%00",
        "/receiver/locations/../x",
    ):
        for method in ("GET", "PUT", "OPTIONS"):
            answer = await world.cp1.ask(method, base + path, body=b"{}" if method == "PUT" else None)
            rule("ST-05").holds(isinstance(answer.code, int), f"{method} {path}: {answer.status} {answer.body[:80]!r}")
            rule("D-22").holds(not 300 <= answer.status < 400, f"{method} {path} is redirected")


async def test_one_id_on_two_platforms_is_routed_by_module(world: World) -> None:
    cpo, emsp = Platform(Role("XD/DUO", "CPO")), Platform(Role("XD/DUO", "EMSP"))
    for platform in (cpo, emsp):
        platform.offers = tuple(entry for entry in platform.offers if belongs(entry, platform.roles[0].role))
    try:
        for platform in (cpo, emsp):
            await platform.start()
            await world.register(platform)
        calls = (
            (world.cp1, "POST", "RECEIVER", "cdrs", "", emsp),
            (world.ms1, "POST", "RECEIVER", "commands", "/STOP_SESSION", cpo),
            (world.cp1, "POST", "SENDER", "tokens", "/U1/authorize", emsp),
            (world.ms1, "GET", "SENDER", "tariffs", "", cpo),
        )
        for sender, method, interface, module, tail, expected in calls:
            correlation_id = new_id()
            body = {"session_id": "S"} if method == "POST" else None
            await sender.send(method, interface, module, tail, body=body, to="XD/DUO", correlation_id=correlation_id)
            found = (len(expected.got(correlation_id)), len((cpo if expected is emsp else emsp).got(correlation_id)))
            rule("RT-13").equal(found, (1, 0), f"requests at the fitting and the other platform for {module}")
            rule("AM-19").equal(found, (1, 0), f"requests at the fitting and the other platform for {module}")
            rule("D-27").equal(found, (1, 0), f"requests at the fitting and the other platform for {module}")
    finally:
        for platform in (cpo, emsp):
            if platform.platform_id:
                await world.operator.suspend(platform.platform_id)
            await platform.close()


def belongs(endpoint: tuple[str, str], role: str) -> bool:
    """Whether a party of this role offers an endpoint."""
    module, interface = endpoint
    is_owner = (module == "tokens") == (role == "EMSP")
    if module in {"commands", "chargingprofiles"}:
        return (interface == "RECEIVER") == (role == "CPO")
    return module == "hubclientinfo" or (interface == "SENDER") == is_owner


async def test_a_nap_gets_locations_and_tariffs_and_an_scsp_nothing(world: World) -> None:
    async with world.guest("NAP") as nap, world.guest("SCSP") as scsp:
        location, tariff, token = a_location("NL/CP1"), a_tariff("NL/CP1"), a_token("NL/MS1")
        one, _ = await world.push(world.cp1, "locations", location)
        two, _ = await world.push(world.cp1, "tariffs", tariff)
        three, _ = await world.push(world.ms1, "tokens", token)
        await nap.await_got(one)
        await nap.await_got(two)
        await world.cp1.await_got(three)
        found = [[len(platform.got(entry)) for entry in (one, two, three)] for platform in (nap, scsp)]
        rule("AM-16").equal(found, [[1, 1, 0], [0, 0, 0]], "Locations, Tariffs and Tokens at a NAP and an SCSP")
