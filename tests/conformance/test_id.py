"""ID: unique message ids."""

from tests.conformance.check import rule
from tests.conformance.objects import a_location, a_token, tail_of
from tests.conformance.party import encoded, is_uuid, new_id, pair
from tests.conformance.world import World


async def test_ids_of_a_directed_request_on_all_four_messages(world: World) -> None:
    location = a_location(world.cp1.party)
    request_id, correlation_id = new_id(), new_id()

    answer = await world.cp1.send(
        "PUT",
        "RECEIVER",
        "locations",
        tail_of(location),
        body=location,
        to="NL/MS1",
        request_id=request_id,
        correlation_id=correlation_id,
    )
    (arrived,) = [entry for entry in world.ms1.received if entry.path == f"/receiver/locations{tail_of(location)}"]

    rule("ID-01").equal(answer.all("X-Request-ID"), [request_id], "X-Request-ID of the answer")
    rule("ID-02").equal(answer.all("X-Correlation-ID"), [correlation_id], "X-Correlation-ID of the answer")
    rule("ID-03").differs(arrived.header("X-Request-ID"), request_id, "the forwarded X-Request-ID")
    rule("ID-03").equal(len(arrived.all("X-Request-ID")), 1, "number of X-Request-ID headers forwarded")
    rule("ID-04").equal(arrived.all("X-Correlation-ID"), [correlation_id], "the forwarded X-Correlation-ID")
    rule("ID-05").equal(
        (answer.header("X-Request-ID"), answer.header("X-Correlation-ID"), arrived.header("X-Correlation-ID")),
        (request_id, correlation_id, correlation_id),
        "ids that the caller and the receiver see",
    )
    rule("ID-07").holds(is_uuid(arrived.header("X-Request-ID")), "the hub's own request id is no UUID")


async def test_ids_stand_on_every_error(world: World) -> None:
    request_id, correlation_id = new_id(), new_id()
    ids = {"X-Request-ID": request_id, "X-Correlation-ID": correlation_id}
    unknown = world.cp1.hub_endpoints["locations", "RECEIVER"]
    errors = {
        "401": await world.cp1.ask("GET", unknown, headers=ids | {"Authorization": encoded("nobody's")}),
        "404": await world.cp1.ask("GET", f"{unknown}/a/b/c/d/e/f/g", headers=ids),
        "405": await world.cp1.ask("DELETE", f"{unknown}/NL/CP1/L1", headers=ids | pair("from", "NL/CP1")),
        "400": await world.cp1.ask("PUT", f"{unknown}/NL/CP1/L1", body=b"{", headers=ids | pair("from", "NL/CP1")),
        "2001": await world.cp1.ask("PUT", f"{unknown}/NL/CP1/L1", body={}, headers=ids | pair("from", "NL/XXXX")),
        "4001": await world.cp1.ask(
            "PUT", f"{unknown}/NL/CP1/L1", body={}, headers=ids | pair("from", "NL/CP1") | pair("to", "NL/ZZZ")
        ),
        "versions": await world.cp1.ask("GET", world.operator.versions_url, headers=ids),
        "credentials": await world.cp1.ask("PATCH", world.cp1.hub_endpoints["credentials", "SENDER"], headers=ids),
    }
    for name, answer in errors.items():
        rule("ID-01").equal(answer.all("X-Request-ID"), [request_id], f"X-Request-ID of {name}")
        rule("ID-02").equal(answer.all("X-Correlation-ID"), [correlation_id], f"X-Correlation-ID of {name}")


async def test_any_text_serves_as_an_id(world: World) -> None:
    token = a_token(world.ms1.party)
    correlation_id = "not a uuid / 42; ü".encode().decode("latin-1")
    answer = await world.ms1.send(
        "PUT",
        "RECEIVER",
        "tokens",
        tail_of(token),
        body=token,
        to="NL/CP1",
        request_id="r#1",
        correlation_id="order 7 & more",
    )
    rule("ID-07").equal(answer.header("X-Request-ID"), "r#1", "X-Request-ID of the answer")
    rule("ID-07").equal(len(world.cp1.got("order 7 & more")), 1, "requests with an id that is no UUID")
    assert correlation_id


async def test_a_broadcast_has_an_id_for_each_delivery(world: World) -> None:
    correlation_id, answer = await world.push(world.cp1, "locations", a_location(world.cp1.party))
    receivers = (world.ms1, world.both, world.nsp, world.other)
    arrived = [entry for receiver in receivers for entry in await receiver.await_got(correlation_id)]
    arrived += await world.ms2.await_got(correlation_id, 2)
    request_ids = {entry.header("X-Request-ID") for entry in arrived}

    rule("BP-13").equal(len(request_ids), len(arrived), "number of different request ids")
    rule("BP-13").absent(answer.header("X-Request-ID"), request_ids, "the push's own request id")
    rule("ID-07").holds(all(is_uuid(entry) for entry in request_ids), "a delivery's request id is no UUID")


async def test_the_hubs_own_requests_carry_ids(world: World) -> None:
    own = [
        entry
        for platform in world.everyone
        for entry in platform.received
        if "/hubclientinfo/" in entry.path or entry.target.startswith("/ocpi/versions")
    ]
    pushes = [entry for entry in own if "/hubclientinfo/" in entry.path]

    rule("ID-06").holds(pushes, "no hubclientinfo push was seen")
    rule("ID-06").equal(
        [entry.target for entry in own if not entry.header("X-Request-ID") or not entry.header("X-Correlation-ID")],
        [],
        "own requests that lack an id",
    )
    rule("HC-01").equal(
        [entry.target for entry in pushes if entry.party("to") or entry.party("from")],
        [],
        "pushes with routing headers",
    )
