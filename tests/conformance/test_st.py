"""ST: status codes."""

from tests.conformance.check import rule
from tests.conformance.objects import a_location, a_tariff, fresh, tail_of
from tests.conformance.party import MUTE, Reply, new_id, pair, reply
from tests.conformance.world import World


def bare(status: int, body: bytes = b"", **headers: str) -> Reply:
    """An answer that is no OCPI."""
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()}, is_bare=True)


async def test_a_body_that_is_no_json_is_400(world: World) -> None:
    for body in (b"{", b"", b"{'a': 1}", b'{"a": 1} x', b"\xff\xfe"):
        correlation_id = new_id()
        answer = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body=body, to="NL/MS1", correlation_id=correlation_id
        )
        rule("ST-01").equal((answer.status, isinstance(answer.code, int)), (400, True), f"answer to {body!r}")
        rule("FM-05").holds("timestamp" in answer.json, "an answer 400 has no timestamp")
        rule("ST-01").equal(world.reached(correlation_id), {}, "platforms reached")


async def test_wrong_content_is_200_and_2001(world: World) -> None:
    location = a_location("NL/CP1")
    broken: tuple[object, ...] = (
        {name: value for name, value in location.items() if name != "time_zone"},
        location | {"publish": "yes"},
        [],
        location | {"id": None},
    )
    for body in broken:
        answer = await world.cp1.send("PUT", "RECEIVER", "locations", tail_of(location), body=body, to=world.hub)
        rule("ST-02").equal(answer.pair, (200, 2001), "answer to wrong content")
        rule("ST-14").equal(answer.status, 200, "HTTP status of a content error")


async def test_a_receivers_errors_are_relayed_whatever_they_hold(world: World) -> None:
    for data in (b"null", b'"debug: line 7"', b'{"trace": [1.0]}', b""):
        member = b'"data":' + data + b"," if data else b""
        body = b"{" + member + b'"status_code":2000,"timestamp":"2026-06-01T10:00:00Z"}'
        for status in (200, 400, 404, 500):
            correlation_id = new_id()
            world.ms1.script(correlation_id, Reply(status, body))
            answer = await world.cp1.send(
                "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to="NL/MS1", correlation_id=correlation_id
            )
            rule("ST-06").equal((answer.status, answer.body), (status, body), "error that was relayed")
            rule("AM-12").equal((answer.status, answer.body), (status, body), "error that was relayed")
    for data in (b"null", b'""', b"{}", b"[]"):
        body = b'{"data":' + data + b',"status_code":1000,"timestamp":"2026-06-01T10:00:00Z"}'
        correlation_id = new_id()
        world.ms1.script(correlation_id, Reply(200, body))
        answer = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to="NL/MS1", correlation_id=correlation_id
        )
        rule("FM-06").equal((answer.status, answer.body), (200, body), "answer with data where none is due")
        rule("FM-04").equal(answer.json["timestamp"], "2026-06-01T10:00:00Z", "timestamp of a relayed answer")


async def test_answers_that_are_no_ocpi(world: World) -> None:
    page = b"<html>gateway</html>"
    expected = (
        (bare(404), (404, 2001)),
        (bare(200), (200, 1000)),
        (bare(204), (200, 1000)),
        (bare(200, page), (200, 4000)),
        (bare(502, page), (200, 4000)),
        (bare(407), (200, 4000)),
        (bare(302, Location="http://127.0.0.1:9/elsewhere"), (200, 4000)),
    )
    for told, pair_expected in expected:
        correlation_id = new_id()
        world.ms1.script(correlation_id, told)
        answer = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to="NL/MS1", correlation_id=correlation_id
        )
        what = f"answer when the receiver gave {told.status} {told.body!r}"
        rule("D-03").equal((answer.pair, answer.data), (pair_expected, None), what)
        rule("AM-12").equal(answer.pair, pair_expected, what)
        rule("RT-15").equal(len(world.ms1.got(correlation_id)), 1, "requests at the receiver")


async def test_authorize_of_an_unknown_token_is_404_and_2004(world: World) -> None:
    for told in (bare(404), reply(2004, status=404)):
        correlation_id = new_id()
        world.ms1.script(correlation_id, told)
        answer = await world.cp1.send(
            "POST", "SENDER", "tokens", f"/{fresh('U')}/authorize", to="NL/MS1", correlation_id=correlation_id
        )
        rule("ST-12").equal((answer.pair, answer.data), ((404, 2004), None), "answer to authorize")
        rule("D-03").equal(answer.pair, (404, 2004), "answer to authorize")


async def test_what_the_hub_itself_answers_has_its_own_codes(world: World) -> None:
    url = world.cp1.hub_endpoints["locations", "RECEIVER"]
    own = pair("from", "NL/CP1")
    calls = {
        "unknown receiver": await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L", body={}, to="ZZ/ZZZ"),
        "no such URL": await world.cp1.ask("GET", f"{url}/a/b/c/d/e/f/g", headers=own),
        "no such method": await world.cp1.ask("DELETE", f"{url}/NL/CP1/L1", headers=own),
        "no JSON": await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L", body=b"?", to="NL/MS1"),
        "wrong content": await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L", body={}, to=world.hub),
        "no token": await world.cp1.ask("GET", url, token=None),
        "success": await world.cp1.ask("GET", world.operator.versions_url),
        "nothing there": await world.cp1.send("GET", "RECEIVER", "locations", "/NL/CP1/none", to=world.hub),
    }
    known = {1000, 2000, 2001, 2002, 2003, 2004, 3000, 3001, 3002, 3003, 4000, 4001, 4002, 4003}
    for name, answer in calls.items():
        rule("ST-07").within(answer.code, known, f"code of {name}")
        rule("ST-08").holds((answer.code or 0) % 1000 < 900, f"code {answer.code} of {name} is reserved for custom use")
        body = answer.json
        rule("FM-03").holds(
            isinstance(body, dict) and set(body) <= {"data", "status_code", "status_message", "timestamp"},
            f"{name} is no answer of OCPI's form",
        )
        rule("FM-13").holds(all(key == key.lower() for key in body), f"field names of {name}")
        rule("FM-04").holds(
            isinstance(answer.code, int) and 1000 <= answer.code <= 9999, f"code of {name} has not four digits"
        )
        rule("FM-11").holds(str(body["timestamp"]).endswith("Z"), f"timestamp of {name} does not end in Z")
    for name in ("no such URL", "no such method"):
        rule("FM-05").holds(isinstance(calls[name].code, int), f"{name} has no OCPI body")
    rule("ST-09").equal(calls["unknown receiver"].pair, (200, 4001), "answer for an unknown receiver")
    rule("OF-03").equal(calls["unknown receiver"].pair, (200, 4001), "answer for an unknown receiver")
    rule("AM-28").equal(calls["unknown receiver"].pair, (200, 4001), "answer for an unknown receiver")
    rule("ST-14").equal(calls["unknown receiver"].status, 200, "HTTP status of a routing error")
    rule("AM-09").equal(
        [
            (answer.party("to"), answer.party("from"))
            for name, answer in calls.items()
            if name in {"unknown receiver", "wrong content", "no such method"}
        ],
        [("NL/CP1", world.hub)] * 3,
        "TO and FROM of errors made by the hub",
    )


async def test_routing_faults_have_their_codes(world: World) -> None:
    offers = (("tokens", "SENDER"), ("locations", "RECEIVER"))
    async with world.guest("EMSP", offers=offers) as guest:
        lacking = await world.cp1.send("POST", "RECEIVER", "cdrs", body={}, to=guest.party)
        correlation_id = new_id()
        guest.script(correlation_id, MUTE)
        silent = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
        )
        seen = len(guest.got(correlation_id))
        await guest.stop()
        away = await world.cp1.send("PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party)

    rule("ST-09").equal(
        (lacking.pair, silent.pair, away.pair), ((200, 4000), (200, 4002), (200, 4003)), "lacking, silent and away"
    )
    rule("AM-28").equal((lacking.pair, away.pair), ((200, 4000), (200, 4003)), "lacking and away")
    rule("OF-04").equal(silent.pair, (200, 4002), "answer for a silent receiver")
    rule("OF-05").equal(away.pair, (200, 4003), "answer for a receiver that is away")
    rule("OF-08").equal((seen, len(guest.got(correlation_id))), (1, 1), "calls that a silent receiver saw")
    rule("ST-14").equal({lacking.status, silent.status, away.status}, {200}, "HTTP status of routing errors")


async def test_a_broadcast_is_200_and_405_tells_what_is_offered(world: World) -> None:
    correlation_id, answer = await world.push(world.cp1, "tariffs", a_tariff("NL/CP1"))
    rule("ST-04").equal(answer.status, 200, "HTTP status of a broadcast")
    url = world.cp1.hub_endpoints["credentials", "SENDER"]
    for method in ("POST", "PATCH"):
        refused = await world.cp1.ask(method, url, body=world.cp1.credentials())
        rule("ST-13").holds(
            refused.status == 405 and refused.header("Allow"),
            f"{method}: {refused.status}, Allow {refused.header('Allow')}",
        )
        rule("FM-05").holds(isinstance(refused.code, int), "a 405 has no OCPI body")
    assert correlation_id


async def test_too_many_requests_is_relayed_with_its_retry_after(world: World) -> None:
    async with world.guest("EMSP") as guest:
        correlation_id = new_id()
        guest.script(correlation_id, reply(3000, status=429, Retry_After="7"))
        answer = await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
        )
        rule("D-21").equal((answer.pair, answer.header("Retry-After")), ((429, 3000), "7"), "answer and Retry-After")
        rule("AM-12").equal((answer.pair, answer.header("Retry-After")), ((429, 3000), "7"), "answer and Retry-After")
