"""CB: callbacks and the URLs that the hub replaces."""

import asyncio
from typing import Any
from urllib.parse import quote, unquote

from tests.conformance.check import rule
from tests.conformance.objects import LATER, a_cdr, a_cdr_token, a_session, fresh
from tests.conformance.party import BASE, EVERYTHING, MUTE, Answer, Platform, Reply, new_id, pair, reply
from tests.conformance.world import World

RESULT = {"result": "ACCEPTED"}


def own_url(platform: Platform) -> str:
    """A response_url of a platform."""
    return f"{platform.url}/results/{fresh('R')}"


def start(response_url: str, **fields: Any) -> dict[str, Any]:
    """A START_SESSION."""
    return {"response_url": response_url, "token": a_cdr_token("NL/MS1"), "location_id": "LOC1"} | fields


async def command(world: World, response_url: str, sender: Platform | None = None) -> tuple[str, Answer]:
    """Send START_SESSION to the first CPO; the response_url that the CPO got, and the answer."""
    correlation_id = new_id()
    sender = sender or world.ms1
    answer = await sender.send(
        "POST",
        "RECEIVER",
        "commands",
        "/START_SESSION",
        body=start(response_url, token=a_cdr_token(sender.party)),
        to="NL/CP1",
        correlation_id=correlation_id,
    )
    got = world.cp1.got(correlation_id)
    return (got[0].json["response_url"] if got else ""), answer


async def result(platform: Platform, url: str, correlation_id: str = "", **fields: Any) -> Answer:
    """POST a result to a URL, as a CPO does."""
    headers = pair("from", platform.party) | {"X-Correlation-ID": correlation_id or new_id(), "X-Request-ID": new_id()}
    return await platform.ask("POST", url, body=RESULT | fields, headers=headers)


def path_of(url: str, platform: Platform) -> str:
    """The path of a URL at a platform."""
    return url.removeprefix(platform.url)


async def test_a_result_reaches_the_url_of_whoever_sent_the_command(world: World) -> None:
    original, correlation_id = own_url(world.ms1), new_id()
    given, answer = await command(world, original)
    second, _ = await command(world, own_url(world.ms1))
    posted = await result(world.cp1, given, correlation_id)
    arrived = world.ms1.got(correlation_id)

    rule("CB-01").equal([entry.target for entry in arrived], [path_of(original, world.ms1)], "where the result arrived")
    rule("CB-01").differs(given, second, "the URL of a second command")
    rule("AM-27").holds(given.startswith(world.version_url), f"the CPO saw {given}")
    rule("AM-27").equal(len(arrived), 1, "results at the eMSP")
    rule("TP-02").absent(world.ms1.url, given, "the eMSP's host")
    rule("RT-21").equal((arrived[0].party("to"), arrived[0].party("from")), ("NL/MS1", "NL/CP1"), "TO and FROM")
    rule("CB-04").equal((arrived[0].party("to"), arrived[0].party("from")), ("NL/MS1", "NL/CP1"), "TO and FROM")
    rule("AM-11").equal(arrived[0].header("X-Correlation-ID"), correlation_id, "correlation id of the result")
    rule("CB-01").equal((answer.code, posted.code, arrived[0].json), (1000, 1000, RESULT), "codes and result")


async def test_nothing_but_the_response_url_changes_in_a_body(world: World) -> None:
    original = own_url(world.ms1)
    calls = (
        ("POST", "commands", "/START_SESSION", b'{ "location_id" : "L\\u00e91", "response_url":"%s",\t"x": 1.10 }'),
        (
            "PUT",
            "chargingprofiles",
            "/SES%2F1",
            b'{"charging_profile": {"min": 1.0},\n "response_url" : "%s" , "y":[ ]}',
        ),
    )
    for method, module, tail, text in calls:
        correlation_id = new_id()
        body = text % original.encode()
        answer = await world.ms1.send(
            method, "RECEIVER", module, tail, body=body, to="NL/CP1", correlation_id=correlation_id
        )
        (arrived,) = world.cp1.got(correlation_id)
        given = arrived.json["response_url"]
        rule("CB-02").equal(arrived.body, text % given.encode(), f"body of {module}")
        rule("CB-02").holds(given.startswith(world.version_url), f"response_url {given} is none of the hub")
        if module == "chargingprofiles":
            rule("CB-11").equal(arrived.target, f"{BASE}/receiver/chargingprofiles/SES%2F1", "target with session_id")
        rule("CB-02").equal(answer.code, 1000, f"code of {module}")


async def test_the_response_url_in_a_query(world: World) -> None:
    for method, more in (("GET", "&duration=900"), ("DELETE", "")):
        original, correlation_id = own_url(world.ms1), new_id()
        tail = f"/SES1?response_url={quote(original, safe='')}{more}"
        await world.ms1.send(method, "RECEIVER", "chargingprofiles", tail, to="NL/CP1", correlation_id=correlation_id)
        (arrived,) = world.cp1.got(correlation_id)
        value = arrived.query.partition("&")[0].removeprefix("response_url=")
        given = unquote(value)
        rule("CB-03").holds(given.startswith(world.version_url), f"response_url {given} is none of the hub")
        rule("CB-03").equal(quote(given, safe=""), value, "response_url as it stands in the query")
        rule("CB-03").equal(arrived.query, f"response_url={value}{more}", "query")
        rule("CB-11").equal(arrived.path, "/receiver/chargingprofiles/SES1", "path")
        posted = await result(world.cp1, given, correlation_id, profile={})
        told = [entry.target for entry in world.ms1.got(correlation_id)]
        rule("CB-01").equal((posted.code, told), (1000, [path_of(original, world.ms1)]), f"result of a {method}")


async def test_results_come_before_and_after_the_answer_and_again(world: World) -> None:
    early, late = new_id(), new_id()
    slow = reply(data={"result": "ACCEPTED", "timeout": 30})
    world.cp1.script(early, Reply(slow.status, slow.body, delay_seconds=1.5))
    world.cp1.script(late, MUTE)
    urls = {early: own_url(world.ms1), late: own_url(world.ms1)}
    asking = {
        correlation_id: asyncio.create_task(
            world.ms1.send(
                "POST",
                "RECEIVER",
                "commands",
                "/START_SESSION",
                body=start(url),
                to="NL/CP1",
                correlation_id=correlation_id,
            )
        )
        for correlation_id, url in urls.items()
    }
    given = {
        correlation_id: (await world.cp1.await_got(correlation_id))[0].json["response_url"] for correlation_id in urls
    }
    first = new_id()
    posted = await result(world.cp1, given[early], first)
    was_open = not asking[early].done()
    answers = {correlation_id: await task for correlation_id, task in asking.items()}
    told = [entry.target for entry in world.ms1.got(first)]
    rule("CB-04").equal(
        (was_open, posted.code, told), (True, 1000, [path_of(urls[early], world.ms1)]), "an early result"
    )
    rule("D-24").equal(
        (was_open, posted.code, told), (True, 1000, [path_of(urls[early], world.ms1)]), "an early result"
    )
    rule("OF-04").equal(answers[late].pair, (200, 4002), "answer of a silent CPO")
    rule("OF-07").equal(answers[late].pair, (200, 4002), "answer of a CPO that is silent until the set deadline")
    for number, what in enumerate(("after the time-out", "once more")):
        after = new_id()
        posted = await result(world.cp1, given[late], after)
        told = [entry.target for entry in world.ms1.got(after)]
        rule("CB-04").equal((posted.code, told), (1000, [path_of(urls[late], world.ms1)]), f"a result {what}")
        rule("D-24").equal((posted.code, told), (1000, [path_of(urls[late], world.ms1)]), f"a result {what}")
        if number:
            rule("CB-05").equal((posted.code, told), (1000, [path_of(urls[late], world.ms1)]), "a second result")


async def test_a_url_works_for_its_platform_only(world: World) -> None:
    given, _ = await command(world, own_url(world.ms1))
    for stranger in (world.cp2, world.ms1, world.other):
        correlation_id = new_id()
        answer = await result(stranger, given, correlation_id)
        rule("CB-06").within(answer.status, (403, 404), f"HTTP status for {stranger.party}")
        rule("CB-06").equal(world.reached(correlation_id), {}, "platforms reached")
    base, _, last = given.rpartition("/")
    unknown = await result(world.cp1, f"{base}/{'0' * len(last)}")
    rule("CB-14").equal(unknown.pair, (404, 2001), "answer at a URL that was never made")


async def test_a_long_url_works_and_does_not_show(world: World) -> None:
    original = own_url(world.ms1) + "/"
    original += "x" * (255 - len(original))
    correlation_id = new_id()
    given, answer = await command(world, original)
    await result(world.cp1, given, correlation_id)
    told = [entry.target for entry in world.ms1.got(correlation_id)]
    rule("CB-07").equal(
        (answer.code, told), (1000, [path_of(original, world.ms1)]), "code, and where the result arrived"
    )
    rule("CB-07").absent("xxxxx", given, "part of the original URL")
    rule("FM-12").holds(len(given) <= 255, f"the hub's URL has {len(given)} characters")


async def test_a_url_that_leads_elsewhere_is_refused(world: World) -> None:
    urls = (
        f"{world.version_url}/sender/commands/START_SESSION/x",
        f"{world.cp2.url}/results/1",
        "ftp://127.0.0.1/results/1",
        "http://169.254.169.254/latest",
        "/relative",
    )
    for url in urls:
        given, answer = await command(world, url)
        rule("CB-15").equal((answer.pair, given), ((200, 2001), ""), f"answer, and what the CPO got for {url}")


async def test_an_emsp_without_a_commands_endpoint_gets_its_results(world: World) -> None:
    offers = tuple(entry for entry in EVERYTHING if entry[0] != "commands")
    async with world.guest("EMSP", offers=offers) as guest:
        original, correlation_id = own_url(guest), new_id()
        given, answer = await command(world, original, guest)
        await result(world.cp1, given, correlation_id)
        told = [entry.target for entry in guest.got(correlation_id)]
        rule("CB-16").equal(
            (answer.code, told), (1000, [path_of(original, guest)]), "code, and where the result arrived"
        )
        await guest.stop()
        undelivered = new_id()
        failed = await result(world.cp1, given, undelivered)
        await guest.start()
        await result(world.cp1, given)
        rule("OF-09").equal(failed.code, 4003, "code of a result that could not be delivered")
        rule("OF-09").equal(guest.got(undelivered), [], "what was delivered later")


async def test_an_active_profile_goes_to_who_set_one(world: World) -> None:
    session = a_session("NL/CP1", "NL/MS1")
    await world.push(world.cp1, "sessions", session, to="NL/MS1")
    body = {"response_url": own_url(world.ms1), "charging_profile": {"charging_rate_unit": "W"}}
    tail = f"/{session['id']}"
    await world.ms1.send("PUT", "RECEIVER", "chargingprofiles", tail, body=body, to="NL/CP1")
    correlation_id = new_id()
    world.ms1.script(correlation_id, Reply(200, b"", is_bare=True))
    answer = await world.cp1.send(
        "PUT",
        "SENDER",
        "chargingprofiles",
        tail,
        body={"start_date_time": LATER, "charging_profile": {"charging_rate_unit": "W"}},
        correlation_id=correlation_id,
    )
    arrived = world.ms1.got(correlation_id)
    rule("CB-10").equal(
        [(entry.path, entry.party("to")) for entry in arrived],
        [(f"/sender/chargingprofiles{tail}", "NL/MS1")],
        "where it arrived",
    )
    rule("CB-08").equal((answer.pair, answer.data), ((200, 1000), None), "answer that the hub made")


async def test_a_cdr_has_a_location_at_the_hub(world: World) -> None:
    for path in ("/ocpi/2.2.1/receiver/cdrs/42?x=1", "", "http://127.0.0.1:9/elsewhere"):
        cdr, correlation_id = a_cdr("NL/CP1", "NL/MS1"), new_id()
        there = f"{world.ms1.url}{path}" if path.startswith("/") else path
        world.ms1.script(correlation_id, reply(Location=there) if path else reply())
        answer = await world.cp1.send("POST", "RECEIVER", "cdrs", body=cdr, to="NL/MS1", correlation_id=correlation_id)
        location = answer.header("Location") or ""
        rule("CB-12").holds(
            location.startswith(world.version_url), f"Location {location} with {path!r} of the receiver"
        )
        rule("D-19").holds(location.startswith(world.version_url), f"Location {location} with {path!r} of the receiver")
        rule("TP-02").absent(world.ms1.url, location, "the receiver's host")
        rule("FM-12").holds(len(location) <= 255, f"Location has {len(location)} characters")
        if not path.startswith("/"):
            continue
        reading = new_id()
        world.ms1.script(reading, told := reply(data=cdr))
        headers = pair("from", "NL/CP1") | {"X-Correlation-ID": reading}
        read = await world.cp1.ask("GET", location, headers=headers)
        targets = [entry.target for entry in world.ms1.got(reading)]
        rule("CB-12").equal(
            (read.body, targets), (told.body, [path]), "what GET of the Location gives, and what it asks"
        )
        foreign = await world.cp2.ask("GET", location, headers=pair("from", "DE/CP2"))
        rule("CB-06").equal(foreign.status, 404, "HTTP status for another platform")
