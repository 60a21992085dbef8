"""Sessions and CDRs: kept for the party that confirmed them, and listed to that party alone."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from hub.messaging.topics import Topics
from hub.model.directed import DirectedKey, DirectedPush
from hub.ocpi.parties import PartyId
from hub.store.directed import store_pushes
from hub.store.pool import Store
from hub.store.statements import load_statements
from tests.integration.conftest import PARTITIONS, url_of
from tests.integration.exchange_rig import HUB, Came, Exchange, Got, Peer, exchange, ocpi
from tests.integration.partner_rig import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = {"country_code": "DE", "party_id": "MS1", "uid": "U1"}
SESSION = {"country_code": "NL", "party_id": "CPO", "cdr_token": TOKEN, "kwh": 0.60, "status": "ACTIVE"}
SINCE = "?date_from=2020-01-01T00:00:00Z"
CDR = {"country_code": "NL", "party_id": "CPO", "cdr_token": TOKEN, "total_cost": {"excl_vat": 1.50}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    name = f"directed_{uuid.uuid4().hex[:8]}"
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"create database {name} template {migrated_template}")
    topics = Topics(f"{name}.", PARTITIONS)
    await topics.apply(kafka_bootstrap)
    folder = tmp_path_factory.mktemp("directed")
    settings = {"HUB_PUSH_SECONDS": "5", "HUB_PAGE_LIMIT": "4"}
    async with exchange(url_of(postgres_url, name), kafka_bootstrap, topics, folder, **settings) as rig:
        yield rig
    await topics.delete(kafka_bootstrap)
    await connection.execute(f"drop database {name} with (force)")
    await connection.close()


@pytest_asyncio.fixture(loop_scope="module")
async def rig(running: Exchange) -> Exchange:
    """The running parts; nothing is held."""
    running.reset()
    await rows(running, "delete from directed")
    await rows(running, "delete from directed_note")
    return running


async def rows(rig: Exchange, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(rig.database_url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


def at(minute: int) -> str:
    return f"2026-06-02T10:{minute:02}:00Z"


def a_period(number: int) -> dict[str, Any]:
    return {"start_date_time": at(number), "dimensions": [{"type": "ENERGY", "volume": number}]}


async def put(rig: Exchange, session_id: str, minute: int = 0, to: str = "DE/MS1", **members: Any) -> Got:
    body = SESSION | {"id": session_id, "last_updated": at(minute)} | members
    return await rig.ask(rig.cpo, "PUT", f"receiver/sessions/NL/CPO/{session_id}", to=to, body=body)


async def listed(rig: Exchange, peer: Peer, query: str = SINCE, module: str = "sessions") -> list[Any]:
    got = await rig.ask(peer, "GET", f"sender/{module}{query}")
    assert (got.ocpi, got.answered_by) == (1000, HUB), got.content
    return list(got.body["data"])


async def until_listed(rig: Exchange, peer: Peer, *ids: str, module: str = "sessions") -> None:
    async def is_so() -> bool:
        return sorted(entry["id"] for entry in await listed(rig, peer, module=module)) == sorted(ids)

    await eventually(is_so)


async def until_held(rig: Exchange, count: int) -> None:
    async def is_so() -> bool:
        return await rows(rig, "select count(*) from directed") == [(count,)]

    await eventually(is_so)


async def test_every_statement_prepares_on_the_schema(running: Exchange) -> None:
    connection = await asyncpg.connect(running.database_url)
    try:
        for thing in ("directed", "directed_notes"):
            for name, statement in load_statements(thing).items():
                assert await connection.prepare(statement), name
    finally:
        await connection.close()


async def test_a_session_is_listed_to_its_addressee_and_to_nobody_else(rig: Exchange) -> None:
    """GA-08, GA-10, D-04, D-15: with TO = hub as without; not to its owner, not to another eMSP."""
    raw = b'{ "id": "S1", "kwh" : 0.60, "zz": 1e2, "last_updated": "2026-06-02T10:00:00Z" }'
    assert (await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", raw=raw)).ocpi == 1000

    await until_listed(rig, rig.emsp, "S1")
    to_hub = await rig.ask(rig.emsp, "GET", f"sender/sessions{SINCE}", to=HUB)

    assert to_hub.content.startswith(b'{"data":[' + raw + b"]")
    assert (to_hub.headers["x-total-count"], to_hub.headers["x-limit"]) == ("1", "4")
    for peer in (rig.cpo, rig.other):
        assert await listed(rig, peer) == []
    assert len(rig.emsp.came) == 1, "a list for all asks nobody"


async def test_one_session_for_two_addressees_is_kept_apart(rig: Exchange) -> None:
    """RT-19."""
    assert (await put(rig, "S1", kwh=1)).ocpi == (await put(rig, "S1", to="FR/MS2", kwh=2)).ocpi == 1000

    await until_listed(rig, rig.emsp, "S1")
    await until_listed(rig, rig.other, "S1")

    assert [entry["kwh"] for entry in await listed(rig, rig.emsp)] == [1]
    assert [entry["kwh"] for entry in await listed(rig, rig.other)] == [2]


async def test_patches_are_merged_and_each_charging_period_is_added_once(rig: Exchange) -> None:
    """OB-04, OB-06: also when the owner sends one twice."""
    await put(rig, "S1", charging_periods=[a_period(1)])
    one = {"kwh": 2, "charging_periods": [a_period(2)], "last_updated": at(2)}
    two = {"status": "COMPLETED", "charging_periods": [a_period(3)], "last_updated": at(3)}
    for body in (one, one, two, one):
        assert (await rig.ask(rig.cpo, "PATCH", "receiver/sessions/NL/CPO/s1", body=body)).ocpi == 1000

    async def is_merged() -> bool:
        expected = {
            "id": "S1",
            "kwh": 2,
            "status": "COMPLETED",
            "charging_periods": [a_period(1), a_period(2), a_period(3)],
            "last_updated": at(3),
        }
        return await listed(rig, rig.emsp) == [SESSION | expected]

    await eventually(is_merged)
    assert len(rig.emsp.came) == 5, "all of them reach the addressee"


async def test_what_the_addressee_did_not_confirm_is_not_listed(rig: Exchange) -> None:
    async def refuses_some(came: Came) -> web.StreamResponse:
        return ocpi(2001) if "BAD" in came.target else ocpi()

    rig.emsp.script = refuses_some
    assert (await put(rig, "BAD")).ocpi == 2001
    assert (await put(rig, "GOOD")).ocpi == 1000
    assert (await rig.ask(rig.cpo, "PATCH", "receiver/sessions/NL/CPO/P1", to="DE/MS1", body={"kwh": 1})).ocpi == 1000
    assert (await put(rig, "LAST")).ocpi == 1000

    await until_listed(rig, rig.emsp, "GOOD", "LAST")


async def test_a_cdr_is_listed_to_its_addressee_and_its_location_leads_there(rig: Exchange) -> None:
    """CB-12, D-04, D-19."""
    cdr = CDR | {"id": "C1", "last_updated": at(0)}

    async def keeps_it(came: Came) -> web.StreamResponse:
        where = f"{rig.emsp.url}/receiver/cdrs/7"
        return ocpi(headers={"Location": where}) if came.method == "POST" else ocpi(data=cdr)

    rig.emsp.script = keeps_it
    got = await rig.ask(rig.cpo, "POST", "receiver/cdrs", body=cdr)
    await until_listed(rig, rig.emsp, "C1", module="cdrs")
    again = await rig.ask(rig.cpo, "POST", "receiver/cdrs", body=cdr)
    looked = await rig.ask(rig.cpo, "GET", got.headers["location"])

    async def both_are_kept() -> bool:
        return await rows(rig, "select revision from directed") == [(2,)]

    await eventually(both_are_kept)
    assert (got.ocpi, again.ocpi) == (1000, 1000)
    assert await listed(rig, rig.emsp, module="cdrs") == [cdr]
    assert await listed(rig, rig.cpo, module="cdrs") == await listed(rig, rig.other, module="cdrs") == []
    assert (looked.answered_by, looked.body["data"]) == ("DE/MS1", cdr)


async def test_pages_hold_every_cdr_once_and_bounds_are_those_of_its_clock(rig: Exchange) -> None:
    """GA-04, GA-06, PG-01 … PG-06."""
    for number in range(10):
        cdr = CDR | {"id": f"C{number}", "last_updated": at(number)}
        assert (await rig.ask(rig.cpo, "POST", "receiver/cdrs", body=cdr)).ocpi == 1000
        await until_held(rig, number + 1)

    path: str | None = "sender/cdrs?limit=99"
    pages: list[Got] = []
    while path:
        pages.append(await rig.ask(rig.emsp, "GET", path))
        link = pages[-1].headers.get("link", "")
        path = link.partition("<")[2].partition(">")[0]
    foreign = await rig.ask(rig.other, "GET", pages[0].headers["link"].partition("<")[2].partition(">")[0])
    by_offset = await listed(rig, rig.emsp, "?offset=8", module="cdrs")
    between = await rig.ask(rig.emsp, "GET", f"sender/cdrs?date_from={at(3)}&date_to={at(6)}")
    await rig.ask(rig.cpo, "PATCH", "receiver/sessions/NL/CPO/P1", to="DE/MS1", body={"last_updated": at(0)})
    await until_held(rig, 11)

    assert [len(page.body["data"]) for page in pages] == [4, 4, 2]
    assert [entry["id"] for page in pages for entry in page.body["data"]] == [f"C{number}" for number in range(10)]
    assert {page.headers["x-total-count"] for page in pages} == {"10"}
    assert [entry["id"] for entry in by_offset] == ["C8", "C9"]
    assert [entry["id"] for entry in between.body["data"]] == ["C3", "C4", "C5"]
    assert between.headers["x-total-count"] == "3"
    assert foreign.ocpi == 2001
    assert (await rig.ask(rig.emsp, "GET", f"sender/sessions{SINCE}")).headers["x-total-count"] == "0"


async def test_a_list_of_sessions_needs_date_from_and_one_of_a_party_is_for_that_party_to_judge(rig: Exchange) -> None:
    """PG-11."""
    for to in (None, HUB):
        got = await rig.ask(rig.emsp, "GET", "sender/sessions?limit=1", to=to)
        assert (got.http, got.ocpi, got.answered_by) == (200, 2001, HUB)
        assert "date_from" in got.message
    routed = await rig.ask(rig.emsp, "GET", "sender/sessions?limit=1", to="NL/CPO")

    assert (routed.ocpi, [came.target for came in rig.cpo.came]) == (1000, ["/sender/sessions?limit=1"])
    assert await listed(rig, rig.emsp, query="", module="cdrs") == []


async def test_what_cannot_be_kept_is_delivered_all_the_same(rig: Exchange) -> None:
    """D-30: its receiver has judged it."""
    bodies: list[Any] = [[], {"last_updated": at(0)}, {"id": "a\0b", "last_updated": at(0)}, {"id": "x" * 300}]
    for body in bodies:
        assert (await rig.ask(rig.cpo, "POST", "receiver/cdrs", to="DE/MS1", body=body)).ocpi == 1000
    assert (await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", body=[])).ocpi == 1000
    assert (await put(rig, "S2")).ocpi == 1000

    await until_listed(rig, rig.emsp, "S2")
    assert await listed(rig, rig.emsp, module="cdrs") == []


async def test_a_directed_location_is_forwarded_and_noted_and_in_no_list(rig: Exchange) -> None:
    """RT-18, GA-10: the whole object only; not a part of it, not what was refused."""
    pushes = [("locations", "L1"), ("locations", "L2/E1"), ("tariffs", "T1"), ("tariffs", "BAD")]

    async def refuses_some(came: Came) -> web.StreamResponse:
        return ocpi(2001) if "BAD" in came.target else ocpi()

    rig.emsp.script = refuses_some
    for module, tail in pushes:
        body = {"id": tail, "last_updated": at(0)}
        await rig.ask(rig.cpo, "PUT", f"receiver/{module}/NL/CPO/{tail}", to="DE/MS1", body=body)

    sql = "select party_id, module, owner_party_id, object_id from directed_note order by object_id"

    async def are_noted() -> bool:
        return await rows(rig, sql) == [("MS1", "locations", "CPO", "L1"), ("MS1", "tariffs", "CPO", "T1")]

    await eventually(are_noted)
    assert len(rig.emsp.came) == 4
    for peer in rig.peers:
        assert await listed(rig, peer, module="locations") == await listed(rig, peer, module="tariffs") == []


async def test_two_writers_of_one_session_lose_nothing(rig: Exchange) -> None:
    """OB-06: patches of one session that several relays have confirmed at once."""
    store = await Store.open(rig.database_url, size=8)
    key = DirectedKey(rig.emsp.platform_id, PartyId("DE", "MS1"), "sessions", PartyId("NL", "CPO"), "S1")
    now = datetime.now(UTC)

    def a_patch(number: int) -> DirectedPush:
        body = {"charging_periods": [a_period(number)], "last_updated": at(number)}
        return DirectedPush(key, True, json.dumps(body).encode(), now)

    async def write(*numbers: int) -> None:
        assert await store_pushes(store, [a_patch(number) for number in numbers]) == {}

    whole = DirectedPush(key, False, json.dumps(SESSION | {"id": "S1", "last_updated": at(0)}).encode(), now)
    try:
        await store_pushes(store, [whole])
        await asyncio.gather(*(write(number, number + 1) for number in range(1, 25)))
    finally:
        await store.close()

    (session,) = await listed(rig, rig.emsp)
    found = [period["start_date_time"] for period in session["charging_periods"]]
    assert sorted(found) == [at(number) for number in range(1, 26)]
    assert session["last_updated"] == at(25)


async def test_an_object_that_the_database_refuses_takes_no_other_with_it(rig: Exchange) -> None:
    store = await Store.open(rig.database_url, size=1)
    now = datetime.now(UTC)

    def a_cdr(object_id: str, platform_id: str) -> DirectedPush:
        key = DirectedKey(platform_id, PartyId("DE", "MS1"), "cdrs", PartyId("NL", "CPO"), object_id)
        return DirectedPush(key, False, json.dumps(CDR | {"id": object_id}).encode(), now)

    gone = a_cdr("C2", str(uuid.uuid4()))
    good = [a_cdr(f"C{number}", rig.emsp.platform_id) for number in (1, 3, 4)]
    try:
        refused = await store_pushes(store, [good[0], gone, *good[1:]])
    finally:
        await store.close()

    assert list(refused) == [gone.key]
    await until_listed(rig, rig.emsp, "C1", "C3", "C4", module="cdrs")
