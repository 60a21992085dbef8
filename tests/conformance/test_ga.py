"""GA and PG: lists for all, and paging."""

from typing import Any

from tests.conformance.check import rule
from tests.conformance.objects import LATER, a_cdr, a_session, a_tariff
from tests.conformance.party import BASE, new_id, pair, reply
from tests.conformance.world import World, next_url


async def some_tariffs(world: World, year: int, count: int) -> tuple[str, list[str]]:
    """Tariffs of a year of their own, one a day, that the hub holds; the query that selects them, and their ids.

    The years are to come: whoever has become visible since `date_from` is listed whatever the clocks of its objects (AM-35).
    """
    tariffs = [a_tariff("NL/CP1", last_updated=f"{year}-01-{day + 1:02}T00:00:00Z") for day in range(count)]
    for tariff in tariffs:
        correlation_id, _ = await world.push(world.cp1, "tariffs", tariff)
        await world.ms1.await_got(correlation_id)
    return f"date_from={year}-01-01T00:00:00Z&date_to={year}-12-31T00:00:00Z", [entry["id"] for entry in tariffs]


async def test_a_list_of_all_pages_with_totals_and_links_of_the_hub(world: World) -> None:
    query, ids = await some_tariffs(world, 2031, 5)
    headers = pair("to", world.hub) | pair("from", "NL/MS1")
    url: str | None = f"{world.ms1.hub_endpoints['tariffs', 'SENDER']}?{query}&limit=2"
    pages = []
    while url is not None:
        pages.append(await world.ms1.ask("GET", url, headers=headers))
        url = next_url(pages[-1])
    found = [entry["id"] for page in pages for entry in page.data]
    first = pages[0]

    rule("GA-01").equal((first.pair, sorted(found)), ((200, 1000), sorted(ids)), "answer and ids")
    rule("GA-02").equal((first.party("to"), first.party("from")), ("NL/MS1", world.hub), "TO and FROM")
    rule("GA-03").equal({(e["country_code"], e["party_id"]) for p in pages for e in p.data}, {("NL", "CP1")}, "owners")
    rule("GA-04").equal([len(page.data) for page in pages], [2, 2, 1], "objects by page")
    rule("GA-04").holds(
        (first.header("Link") or "").startswith(f"<{world.version_url}/"), "the Link is none of the hub"
    )
    rule("GA-07").equal(sorted(found), sorted(ids), "ids over all pages")
    rule("PG-04").equal([bool(next_url(page)) for page in pages], [True, True, False], "pages with a next one")
    rule("PG-05").equal([page.header("X-Total-Count") for page in pages], ["5"] * 3, "X-Total-Count by page")
    rule("AM-41").equal([page.header("X-Total-Count") for page in pages], ["5"] * 3, "X-Total-Count by page")
    limit = (await world.ms1.ask("GET", f"{world.ms1.hub_endpoints['tariffs', 'SENDER']}", headers=headers)).header(
        "X-Limit"
    )
    rule("PG-06").equal(pages[-1].header("X-Limit"), limit, "X-Limit on the last page")
    rule("RT-01").equal((first.party("to"), first.party("from")), ("NL/MS1", world.hub), "TO and FROM")


async def test_offset_limit_and_dates(world: World) -> None:
    query, ids = await some_tariffs(world, 2032, 4)

    async def listed(more: str) -> list[str]:
        answer = await world.ms1.send("GET", "SENDER", "tariffs", f"?{more}", to=world.hub)
        return [entry["id"] for entry in answer.data]

    rule("PG-01").equal(await listed(f"{query}&offset=1&limit=2"), ids[1:3], "ids with offset and limit")
    rule("PG-01").equal(await listed(f"{query}&offset=3"), ids[3:], "ids with offset")
    window = await listed("date_from=2032-01-02T00:00:00Z&date_to=2032-01-04T00:00:00Z")
    rule("PG-02").equal(window, ids[1:3], "ids between two dates")
    rule("GA-06").equal(window, ids[1:3], "ids between two dates")
    rule("FM-11").equal(
        await listed("date_from=2032-01-02T00:00:00&date_to=2032-01-04T00:00:00"), ids[1:3], "without Z"
    )


async def test_the_maximum_bounds_a_page(world: World) -> None:
    await some_tariffs(world, 2033, 3)
    answer = await world.ms1.send("GET", "SENDER", "tariffs", "?limit=100000", to=world.hub)
    most = int(answer.header("X-Limit") or 0)
    rule("PG-03").holds(0 < len(answer.data) <= most, f"{len(answer.data)} objects on a page, at most {most}")


async def test_what_is_new_during_a_crawl_comes_at_its_end(world: World) -> None:
    query, ids = await some_tariffs(world, 2034, 3)
    headers = pair("to", world.hub) | pair("from", "NL/MS1")
    answer = await world.ms1.send("GET", "SENDER", "tariffs", f"?{query}&limit=2", to=world.hub)
    added = a_tariff("NL/CP1", last_updated="2034-06-01T00:00:00Z")
    correlation_id, _ = await world.push(world.cp1, "tariffs", added)
    await world.ms1.await_got(correlation_id)
    found, url = [entry["id"] for entry in answer.data], next_url(answer)
    while url is not None:
        answer = await world.ms1.ask("GET", url, headers=headers)
        found, url = found + [entry["id"] for entry in answer.data], next_url(answer)
    rule("PG-07").equal(found, [*ids, added["id"]], "ids in the order of the crawl")


async def test_nonsense_in_paging_is_2001_and_limit_0_is_empty(world: World) -> None:
    for query in ("offset=-1", "offset=x", "limit=-1", "limit=ten"):
        answer = await world.ms1.send("GET", "SENDER", "tariffs", f"?{query}", to=world.hub)
        rule("AM-40").equal(answer.pair, (200, 2001), f"answer to {query}")
    answer = await world.ms1.send("GET", "SENDER", "tariffs", "?limit=0", to=world.hub)
    rule("AM-40").equal((answer.data, bool(answer.header("X-Total-Count"))), ([], True), "list and total with limit=0")


async def test_an_offline_owners_objects_are_still_listed_and_nobody_is_asked(world: World) -> None:
    async with world.guest("CPO") as guest:
        tariff = a_tariff(guest.party)
        pushed, _ = await world.push(guest, "tariffs", tariff)
        await world.ms1.await_got(pushed)
        await guest.stop()
        correlation_id = new_id()
        await world.ms1.send("GET", "SENDER", "tariffs", to=world.hub, correlation_id=correlation_id)
        ids = [entry["id"] for entry in await world.get_all(world.ms1, "tariffs")]
        rule("GA-05").within(tariff["id"], ids, "a Tariff whose owner is away")
        rule("GA-05").equal(world.reached(correlation_id), {}, "platforms asked")


async def test_sessions_and_cdrs_are_listed_to_their_addressee_only(world: World) -> None:
    session, cdr = a_session("NL/CP1", "NL/MS1"), a_cdr("NL/CP1", "NL/MS1")
    await world.push(world.cp1, "sessions", session, to=None)
    await world.cp1.send("POST", "RECEIVER", "cdrs", body=cdr)
    query = "?date_from=2026-01-01T00:00:00Z"
    for module, thing in (("sessions", session), ("cdrs", cdr)):
        own = await world.get_all(world.ms1, module, query)
        for _ in range(50):
            if any(entry["id"] == thing["id"] for entry in own):
                break
            own = await world.get_all(world.ms1, module, query)
        rule("GA-08").equal([e for e in own if e["id"] == thing["id"]], [thing], f"{module} of the addressee")
        rule("D-04").equal([e for e in own if e["id"] == thing["id"]], [thing], f"{module} of the addressee")
        rule("GA-10").equal([e for e in own if e["id"] == thing["id"]], [thing], f"{module} of the addressee")
        for platform in (world.ms2, world.both, world.cp2):
            ids = [entry["id"] for entry in await world.get_all(platform, module, query)]
            rule("GA-08").absent(thing["id"], ids, f"{module} of {platform.party}")
            rule("D-04").absent(thing["id"], ids, f"{module} of {platform.party}")


async def test_a_list_of_sessions_needs_date_from(world: World) -> None:
    for to in (world.hub, None):
        answer = await world.ms1.send("GET", "SENDER", "sessions", "?limit=1", to=to)
        rule("PG-11").equal(answer.pair, (200, 2001), "list of all sessions without date_from")
    correlation_id = new_id()
    routed = await world.ms1.send("GET", "SENDER", "sessions", "?limit=1", to="NL/CP1", correlation_id=correlation_id)
    asked = [entry.query for entry in world.cp1.got(correlation_id)]
    rule("PG-11").equal((routed.code, asked), (1000, ["limit=1"]), "list of one party, and what that party was asked")


async def test_charging_periods_are_appended_by_patch_and_replaced_by_put(world: World) -> None:
    async def periods() -> list[Any]:
        listed = await world.get_all(world.ms1, "sessions", "?date_from=2026-01-01T00:00:00Z")
        return [entry["charging_periods"] for entry in listed if entry["id"] == session["id"]]

    def period(hour: int) -> dict[str, object]:
        return {"start_date_time": f"2026-06-02T{hour:02}:00:00Z", "dimensions": [{"type": "ENERGY", "volume": 1.0}]}

    session = a_session("NL/CP1", "NL/MS1", charging_periods=[period(12)])
    tail = f"/NL/CP1/{session['id']}"
    await world.push(world.cp1, "sessions", session, to="NL/MS1")
    steps = (
        ("PATCH", {"charging_periods": [period(13)], "last_updated": LATER}, [period(12), period(13)]),
        ("PATCH", {"charging_periods": [], "last_updated": "2026-06-02T13:10:00Z"}, [period(12), period(13)]),
        ("PATCH", {"kwh": 3.0, "last_updated": "2026-06-02T13:20:00Z"}, [period(12), period(13)]),
        (
            "PUT",
            session | {"charging_periods": [period(15)], "last_updated": "2026-06-02T15:10:00Z"},
            [period(15)],
        ),
    )
    for method, body, expected in steps:
        await world.cp1.send(method, "RECEIVER", "sessions", tail, body=body, to="NL/MS1")
        found = await world.eventually(periods, [expected])
        rule("OB-06").equal(found, [expected], f"charging_periods after a {method}")


async def test_a_routed_list_pages_through_the_hub(world: World) -> None:
    first = new_id()
    following = f"{world.cp1.url}{BASE}/sender/cdrs?page=2&limit=2"
    link = f'<{following}>; rel="next"'
    world.cp1.script(first, reply(data=[1], X_Total_Count="3", X_Limit="2", Link=link))
    answer = await world.ms1.send("GET", "SENDER", "cdrs", "?limit=2", to="NL/CP1", correlation_id=first)
    url = next_url(answer) or ""
    second = new_id()
    world.cp1.script(second, reply(data=[2], X_Total_Count="3", X_Limit="2"))
    headers = pair("from", "NL/MS1") | pair("to", "NL/CP1") | {"X-Correlation-ID": second}
    page = await world.ms1.ask("GET", url, headers=headers)
    targets = [entry.target for entry in world.cp1.got(second)]
    stranger = await world.ms2.ask("GET", url, headers=pair("from", "DE/MS2") | pair("to", "NL/CP1"))

    rule("PG-09").equal((answer.header("X-Total-Count"), answer.header("X-Limit")), ("3", "2"), "totals")
    rule("PG-09").holds(url.startswith(f"{world.version_url}/"), f"Link {url} is none of the hub")
    rule("PG-09").equal(
        (page.data, targets), ([2], [following.removeprefix(world.cp1.url)]), "next page, and what it asks"
    )
    rule("AM-41").equal(answer.header("X-Total-Count"), "3", "X-Total-Count of a routed list")
    rule("PG-10").equal(stranger.status, 404, "HTTP status for another platform")


async def test_hubclientinfo_is_paged(world: World) -> None:
    url: str | None = f"{world.ms1.hub_endpoints['hubclientinfo', 'SENDER']}?limit=1"
    totals, found = set(), []
    while url is not None:
        page = await world.ms1.ask("GET", url)
        totals.add(page.header("X-Total-Count"))
        found += page.data
        url = next_url(page)
    rule("PG-12").equal((len(totals), str(len(found)) in totals), (1, True), "totals, and objects over all pages")
    rule("HC-10").equal((len(totals), str(len(found)) in totals), (1, True), "totals, and objects over all pages")
    base = world.ms1.hub_endpoints["hubclientinfo", "SENDER"]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refused = await world.ms1.ask(method, base, body={})
        rule("HC-10").equal(refused.status, 405, f"HTTP status of {method}")
    moment = found[0]["last_updated"]
    since = await world.ms1.ask("GET", f"{base}?date_from={moment}")
    until = await world.ms1.ask("GET", f"{base}?date_to={moment}")
    rule("HC-10").within(moment, [entry["last_updated"] for entry in since.data], "date_from itself")
    rule("HC-10").absent(moment, [entry["last_updated"] for entry in until.data], "date_to itself")
