"""Units in a real database: applied in bulk behind the guard, bad ones set apart, never changed by reading the log again."""

import json
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import asyncpg
import pytest

from hub.errors import Invalid, StoreUnavailable
from hub.model.change import Applied, Change, Position, Result, Sending
from hub.model.unit import UnitKey, assemble
from hub.ocpi.parties import PartyId
from hub.routing.open_keys import Lookup, RouteKind, Side
from hub.routing.push import read_push
from hub.store import routes, units
from hub.store.pool import Store
from hub.store.statements import load_statements
from hub.store.units import store_changes
from tests.integration.fanout_rig import a_push

PLATFORM = "0190cafe-0000-7000-8000-000000000001"
ARRIVED = datetime(2026, 6, 2, tzinfo=UTC)
THINGS = sorted(
    entry.name.removesuffix(".sql") for entry in files("hub.store").iterdir() if entry.name.endswith(".sql")
)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    made = await Store.open(database_url, size=4)
    yield made
    await made.close()


def at(minute: int) -> str:
    return (datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")


def a_location(location_id: str, minute: int, *evses: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"id": location_id, "last_updated": at(minute), "evses": evses, **fields}).encode()


def an_evse(uid: str, minute: int, **fields: Any) -> dict[str, Any]:
    return {"uid": uid, "status": "AVAILABLE", "connectors": [], "last_updated": at(minute), **fields}


def change(method: str, path: str, body: bytes = b"", **fields: Any) -> Change:
    return read_push(a_push(method, path, body, **({"platform_id": PLATFORM} | fields)))


def numbered(*changes: Change, first: int = 0, epoch: str = "log") -> list[tuple[Change, Position]]:
    return [(entry, Position(epoch, first + number, ARRIVED)) for number, entry in enumerate(changes)]


def results(made: Sequence[Applied | Invalid]) -> list[set[Result] | None]:
    return [None if isinstance(entry, Invalid) else set(entry.results) for entry in made]


async def rows(store: Store) -> list[Any]:
    async with store.connection() as connection:
        return [
            tuple(row)
            for row in await connection.fetch(
                "select unit_id, module, country_code, party_id, object_id, evse_uid, raw, last_updated, clock,"
                " is_incomplete, log_epoch, log_offset, evses_offset from unit order by unit_id"
            )
        ]


async def whole(store: Store, location_id: str) -> Any:
    async with store.connection() as connection:
        found = await units.read_root(connection, UnitKey("locations", "NL", "CPO", location_id))
    return json.loads(assemble(found[0], found[1:]))


@pytest.mark.parametrize("thing", THINGS)
async def test_every_named_statement_prepares_on_the_migrated_schema(thing: str, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for name, statement in load_statements(thing).items():
            assert await connection.prepare(statement), name
    finally:
        await connection.close()


async def test_a_batch_is_stored_in_one_go_and_later_pushes_see_earlier_ones(store: Store) -> None:
    made = await store_changes(
        store,
        numbered(
            change("PUT", "locations/L1", a_location("L1", 0, an_evse("E2", 0), an_evse("E1", 0))),
            change("PATCH", "locations/L1/E1", b'{"status":"CHARGING","last_updated":"%s"}' % at(5).encode()),
            change("PATCH", "locations/L1", b'{"name":"new","last_updated":"%s"}' % at(6).encode()),
            change("PUT", "tariffs/T1", b'{"id":"T1","price":0.60,"last_updated":"%s"}' % at(0).encode()),
        ),
    )

    assert results(made) == [{Result.APPLIED}] * 4
    stored = await whole(store, "L1")
    assert [(evse["uid"], evse["status"]) for evse in stored["evses"]] == [("E2", "AVAILABLE"), ("E1", "CHARGING")]
    assert stored["name"] == "new"
    async with store.connection() as connection:
        assert b'"price":0.60' in await connection.fetchval("select raw::bytea from unit where object_id = 'T1'")


@pytest.mark.parametrize("seed", range(6))
async def test_reading_any_stretch_of_the_log_again_changes_no_row(store: Store, seed: int) -> None:
    told = numbered(*_a_history(random.Random(seed), 240))
    for start in range(0, len(told), 50):
        await store_changes(store, told[start : start + 50])
    before = await rows(store)

    for start in (0, 239, 100, 37):
        for number in range(start, len(told), 31):
            made = await store_changes(store, told[number : number + 31])
            assert not any(isinstance(entry, Invalid) or Result.APPLIED in entry.results for entry in made)
    assert await rows(store) == before


def _a_history(random_: random.Random, count: int) -> list[Change]:
    """Pushes of every kind to three Locations, clocks running ahead and behind."""
    found = []
    for number in range(count):
        root, uid = f"locations/L{random_.randrange(3)}", f"E{random_.randrange(4)}"
        minute = max(0, number + random_.randrange(-40, 10))
        stamp = b'"last_updated":"%s"' % at(minute).encode()
        evses = [
            an_evse(f"E{each}", max(0, minute - random_.randrange(20)))
            for each in random_.sample(range(4), random_.randrange(4))
        ]
        kind = random_.randrange(6)
        if kind == 0:
            found.append(change("PUT", root, a_location(root[-2:], minute, *evses)))
        elif kind == 1:
            found.append(change("PATCH", root, b'{"name":"n%d",%s}' % (number, stamp)))
        elif kind == 2:
            found.append(change("PUT", f"{root}/{uid}", json.dumps(an_evse(uid, minute)).encode()))
        elif kind == 3:
            found.append(change("PATCH", f"{root}/{uid}/1", b'{"max_voltage":%d,%s}' % (number, stamp)))
        elif kind == 4:
            found.append(change("PUT", f"{root}/{uid}/1", b'{"id":"1",%s}' % stamp))
        else:
            found.append(change("PATCH", f"{root}/{uid}", b'{"status":"S%d",%s}' % (number, stamp)))
    return found


async def test_a_row_that_a_later_record_wrote_is_not_overwritten_by_an_owner_that_lost_its_partition(
    store: Store,
) -> None:
    old = change("PUT", "locations/L1", a_location("L1", 0, an_evse("E1", 0), an_evse("E2", 0)))
    new = change("PUT", "locations/L1", a_location("L1", 1, an_evse("E1", 1)))
    await store_changes(store, numbered(new, first=9))
    before = await rows(store)

    made = await store_changes(store, numbered(old, first=8))

    assert results(made) == [{Result.SUPERSEDED}]
    assert await rows(store) == before


async def test_another_log_begins_anew(store: Store) -> None:
    await store_changes(store, numbered(change("PUT", "locations/L1", a_location("L1", 0)), first=5000))

    made = await store_changes(store, numbered(change("PUT", "locations/L1", a_location("L1", 1)), epoch="other"))

    assert results(made) == [{Result.TOUCHED}]


POISON = {
    "NUL in the id": change("PUT", "locations/L%001", a_location("x", 0)),
    "an id too long for an index": change(
        "PUT", "locations/" + "".join(map(chr, range(0x4E00, 0x4E00 + 2500))), a_location("x", 0)
    ),
    "an EVSE that is no object": change("PUT", "locations/L1", b'{"evses":[1],"last_updated":"%s"}' % at(0).encode()),
    "connectors that are no list": change("PUT", "locations/L1/E1", b'{"uid":"E1","connectors":7}'),
    "a platform that is none": change("PUT", "locations/L1", a_location("L1", 0), platform_id="nobody"),
    "bytes that are not UTF-8": change("PUT", "tariffs/T1", b'{"id":"\xff","last_updated":"%s"}' % at(0).encode()),
}


@pytest.mark.parametrize("bad", POISON.values(), ids=POISON.keys())
async def test_a_push_that_cannot_be_held_is_set_apart_alone(store: Store, bad: Change) -> None:
    good = [change("PUT", f"tariffs/G{number}", b'{"last_updated":"%s"}' % at(0).encode()) for number in range(9)]
    batch = [*good[:4], bad, *good[4:]]

    made = await store_changes(store, numbered(*batch))

    assert [isinstance(entry, Invalid) for entry in made] == [entry is bad for entry in batch]
    async with store.connection() as connection:
        assert await connection.fetchval("select count(*) from unit") == 9


async def test_a_database_that_is_away_is_no_fault_of_the_pushes(store: Store) -> None:
    await store.close()

    with pytest.raises(StoreUnavailable):
        await store_changes(store, numbered(change("PUT", "tariffs/T1", b"{}")))


async def test_the_owner_of_a_location_and_of_a_token_can_be_found_afterwards(store: Store) -> None:
    put = change("PUT", "locations/L1", a_location("L1", 10))
    token = change("PUT", "tokens/ab?type=RFID", b'{"uid":"ab","last_updated":"%s"}' % at(0).encode())
    patch = change("PATCH", "locations/L1", b'{"name":"n","last_updated":"%s"}' % at(5).encode())

    await store_changes(store, numbered(patch))
    await store_changes(store, numbered(put, token, first=1))

    wanted = [Lookup(RouteKind.LOCATION, "L1", Side.OWNER), Lookup(RouteKind.TOKEN, "AB:RFID", Side.OWNER)]
    async with store.connection() as connection:
        found = await routes.find(connection, wanted)
    assert [found[entry] for entry in wanted] == [(PartyId("NL", "CPO"),)] * 2


async def test_a_location_that_names_fewer_evses_takes_the_others_away_and_says_so(store: Store) -> None:
    both = a_location("L1", 0, an_evse("E1", 0), an_evse("E2", 0))
    await store_changes(store, numbered(change("PUT", "locations/L1", both)))

    (made,) = await store_changes(
        store, numbered(change("PUT", "locations/L1", a_location("L1", 0, an_evse("E1", 0))), first=1)
    )

    assert isinstance(made, Applied)
    assert made.sending is Sending.RAW
    assert [evse["uid"] for evse in (await whole(store, "L1"))["evses"]] == ["E1"]
