"""A receiver's copy of an object that was pushed to it alone: catch-up leaves it as it is, a live push to all takes its place."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from hub.delivery.content import Content, raw_content
from hub.delivery.judge import Judgement
from hub.messaging.topics import Topics
from hub.model.delivery import Entry, Place, Receiver
from hub.model.outcome import Verdict
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId
from hub.store import directed_notes, marks
from hub.store.directed_notes import Copy
from hub.store.pool import Store
from tests.integration.fanout_rig import Received, Rig, a_push, a_receiver, add_platform, an_answer, fanout_rig
from tests.integration.partner_rig import eventually
from workers.attempts import Attempted
from workers.copies import Copies

MARKS = "select count(*) from dirty_mark"
NOTES = "select string_agg(object_id, ' ' order by object_id) from directed_note"
OFFLINE = "update platform set is_online = $2 where platform_id = $1"


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    async with fanout_rig(database_url, kafka_bootstrap, topics, tmp_path, HUB_PUSH_SECONDS="2") as made:
        yield made


def at(minute: int) -> str:
    return f"2026-06-01T10:{minute:02}:00Z"


def a_location(name: str, minute: int = 0, **fields: Any) -> dict[str, Any]:
    evses: list[dict[str, Any]] = [
        {"uid": uid, "status": "AVAILABLE", "connectors": [], "last_updated": at(minute)} for uid in ("E1", "E2")
    ]
    return {"id": name, "evses": evses, "last_updated": at(minute), **fields}


def a_tariff(name: str, minute: int = 0) -> dict[str, Any]:
    return {"id": name, "last_updated": at(minute)}


def a_copy(platform_id: str, module: str, name: str, *, age: float = 0.0) -> Copy:
    return Copy(Receiver(platform_id, PartyId("NL", "MSP")), UnitKey(module, "NL", "CPO", name), age)


def taken(platform_id: str, name: str) -> tuple[Receiver, Entry, None, Content, Attempted]:
    """NL/MSP has taken a Tariff from a live push to all."""
    receiver, key, _ = a_copy(platform_id, "tariffs", name)
    entry = Entry(key, Place(0, 0), a_push("PUT", f"tariffs/{name}", a_tariff(name)), is_raw=True, replaces_all=True)
    judgement = Judgement(Verdict.DELIVERED, 200, 1000, {}, b"", "", True)
    return receiver, entry, None, raw_content(entry), Attempted(judgement, "", "", time.monotonic(), 0.0, "")


async def note(rig: Rig, platform_id: str, *objects: str) -> None:
    """The relay has seen NL/MSP confirm pushes to it alone."""
    connection = await asyncpg.connect(rig.database_url)
    try:
        copies = [a_copy(platform_id, *place.split("/", 1)) for place in objects]
        await directed_notes.note(connection, copies)
    finally:
        await connection.close()


async def noted(rig: Rig) -> str:
    return str(await rig.value(NOTES) or "")


async def no_marks(rig: Rig) -> bool:
    return bool(await rig.value(MARKS) == 0)


async def fill(rig: Rig, platform_id: str) -> None:
    """What a first fill and a resync do."""
    connection = await asyncpg.connect(rig.database_url)
    try:
        for module in ("locations", "tariffs"):
            receiver = Receiver(platform_id, PartyId("NL", "MSP"))
            await marks.fill(connection, receiver, module, [PartyId("NL", "CPO")])
    finally:
        await connection.close()


def paths(came: list[Received]) -> list[str]:
    return sorted(f"{entry.method} {entry.path.removeprefix('NL/CPO/')}" for entry in came)


async def test_a_fill_sends_the_parts_of_a_noted_object_and_everything_else_whole(rig: Rig) -> None:
    async with a_receiver() as receiver:
        emsp = await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(*(a_push("PUT", f"locations/{name}", a_location(name)) for name in ("L1", "L2")))
        await rig.push(*(a_push("PUT", f"tariffs/{name}", a_tariff(name)) for name in ("T1", "T2")))
        await rig.until_committed()
        await note(rig, emsp, "locations/L1", "tariffs/T1")
        before = len(receiver.received)

        await fill(rig, emsp)
        await eventually(lambda: no_marks(rig))

        assert paths(receiver.received[before:]) == ["PUT L1/E1", "PUT L1/E2", "PUT L2", "PUT T2"]
        assert await noted(rig) == "L1 T1"


async def test_who_was_away_gets_the_evses_of_a_noted_location_and_its_own_copy_stays(rig: Rig) -> None:
    async with a_receiver() as receiver:
        emsp = await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(a_push("PUT", "locations/L1", a_location("L1")), a_push("PUT", "tariffs/T1", a_tariff("T1")))
        await rig.until_committed()
        await note(rig, emsp, "locations/L1", "tariffs/T1")
        version = await rig.change_directory(OFFLINE, emsp, False)
        await eventually(lambda: rig.is_held(version))
        before = len(receiver.received)

        await rig.push(
            a_push("PATCH", "locations/L1/E1", {"status": "CHARGING", "last_updated": at(1)}),
            a_push("PATCH", "locations/L1", {"name": "for all", "last_updated": at(2)}),
            a_push("PUT", "tariffs/T1", a_tariff("T1", 3)),
        )
        await rig.until_committed()
        await rig.change_directory(OFFLINE, emsp, True)
        await eventually(lambda: no_marks(rig))

        came = receiver.received[before:]
        assert set(paths(came)) == {"PUT L1/E1", "PUT L1/E2"}
        assert {entry.value()["status"] for entry in came if entry.path.endswith("E1")} == {"CHARGING"}
        assert await noted(rig) == "L1 T1"


async def test_a_later_live_push_to_all_that_is_confirmed_ends_the_note(rig: Rig) -> None:
    """Not one of a part or a patch, not one that is refused, not one that began before the note."""

    async def script(came: Received) -> web.Response:
        return an_answer(200, 2001) if "T2" in came.path else an_answer()

    async with a_receiver(script) as receiver:
        emsp = await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(*(a_push("PUT", f"locations/{name}", a_location(name)) for name in ("L1", "L2")))
        await rig.push(*(a_push("PUT", f"tariffs/{name}", a_tariff(name)) for name in ("T1", "T2")))
        await rig.until_committed()
        await note(rig, emsp, "locations/L1", "locations/L2", "tariffs/T1", "tariffs/T2")

        await rig.push(
            a_push("PATCH", "locations/L1/E1", {"status": "CHARGING", "last_updated": at(1)}),
            a_push("PATCH", "locations/L1", {"name": "patched", "last_updated": at(2)}),
            a_push("PUT", "tariffs/T2", a_tariff("T2", 3)),
            a_push("PUT", "locations/L2", a_location("L2", 3)),
            a_push("DELETE", "tariffs/T1"),
        )

        async def only_these_are_left() -> bool:
            return await noted(rig) == "L1 T2"

        await eventually(only_these_are_left)
        connection = await asyncpg.connect(rig.database_url)
        try:
            await directed_notes.forget(connection, [a_copy(emsp, "locations", "L1", age=60.0)])
        finally:
            await connection.close()
        assert await noted(rig) == "L1 T2"


async def test_a_note_that_is_written_a_moment_after_a_live_push_was_confirmed_is_ended_too(database_url: str) -> None:
    """The receiver had confirmed the push to it alone before, and the relay was slower to say so."""
    emsp = await add_platform(database_url, "EMSP NL/MSP")
    store = await Store.open(database_url, size=1)
    copies = Copies(store)
    try:
        async with store.connection() as connection:
            for name in ("T1", "T2"):
                await copies.judged(*taken(emsp, name))
            await copies.settle(connection)
            earlier, later = a_copy(emsp, "tariffs", "T1", age=60.0), a_copy(emsp, "tariffs", "T2")
            await directed_notes.note(connection, [earlier, later])
            await copies.settle(connection)
            assert await connection.fetchval(NOTES) == "T2"
    finally:
        await store.close()


async def test_a_receiver_that_no_longer_knows_a_noted_location_gets_it_whole(rig: Rig) -> None:
    known: set[str] = set()

    async def script(came: Received) -> web.Response:
        if came.path.count("/") == 2:
            known.add(came.path)
        return an_answer() if came.object.removeprefix("locations/") in known else an_answer(404, 2003)

    async with a_receiver(script) as receiver:
        emsp = await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(a_push("PUT", "locations/L1", a_location("L1")))
        await rig.until_committed()
        await note(rig, emsp, "locations/L1")
        known.clear()

        await rig.push(a_push("PATCH", "locations/L1/E1", {"status": "CHARGING", "last_updated": at(1)}))
        await rig.until_committed()
        await eventually(lambda: no_marks(rig))

        assert known == {"NL/CPO/L1"}
        assert receiver.received[-1].value().get("status", "CHARGING") == "CHARGING"
        assert await noted(rig) == ""
        assert len(receiver.received) < 12
