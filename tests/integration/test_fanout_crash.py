"""What the fan-out promises survives SIGKILL, a lost database and workers that come and go."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hub.messaging.topics import Topics
from hub.model.envelope import Envelope
from tests.integration.fanout_rig import (
    Received,
    Receiver,
    Rig,
    a_push,
    a_receiver,
    add_platform,
    an_answer,
    fanout_rig,
)
from tests.integration.partner_rig import eventually

LOCATIONS = 40
EVSES = 3


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    async with fanout_rig(database_url, kafka_bootstrap, topics, tmp_path) as made:
        yield made


def a_history(random_: random.Random, count: int) -> list[Envelope]:
    """Whole Locations first, then patches and whole EVSEs with rising clocks."""
    found = []
    for number in range(LOCATIONS):
        evses = [
            {"uid": f"E{each}", "status": "AVAILABLE", "connectors": [], "last_updated": at(0)} for each in range(EVSES)
        ]
        found.append(a_push("PUT", f"locations/L{number}", {"id": f"L{number}", "evses": evses, "last_updated": at(0)}))
    for step in range(1, count - LOCATIONS + 1):
        root, uid = f"locations/L{random_.randrange(LOCATIONS)}", f"E{random_.randrange(EVSES)}"
        kind = random_.randrange(4)
        if kind == 0:
            found.append(a_push("PATCH", root, {"name": f"n{step}", "last_updated": at(step)}))
        elif kind == 1:
            evse = {"uid": uid, "status": f"S{step}", "connectors": [], "last_updated": at(step)}
            found.append(a_push("PUT", f"{root}/{uid}", evse))
        else:
            found.append(a_push("PATCH", f"{root}/{uid}", {"status": f"S{step}", "last_updated": at(step)}))
    return found


def at(second: int) -> str:
    return (datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Copy:
    """What a platform holds that applies each request as OCPI says; independent of the hub's own code."""

    def __init__(self) -> None:
        self.locations: dict[str, dict[str, Any]] = {}
        self.unknown: list[str] = []

    def take(self, method: str, path: str, value: Any) -> None:
        """Apply one request; `path` is `cc/party/location[/evse]`."""
        _, _, location_id, *rest = path.split("/")
        location = self.locations.get(location_id)
        if not rest:
            if method == "PUT":
                self.locations[location_id] = {**value, "evses": {evse["uid"]: evse for evse in value["evses"]}}
            elif location is None:
                self.unknown.append(path)
            else:
                location.update(value)
            return
        if location is None or (method == "PATCH" and rest[0] not in location["evses"]):
            self.unknown.append(path)
        elif method == "PUT":
            location["evses"][rest[0]] = value
        else:
            location["evses"][rest[0]].update(value)


def expected(history: Iterable[Envelope]) -> dict[str, dict[str, Any]]:
    """The end of the history, by the independent reference."""
    copy = Copy()
    for push in history:
        copy.take(push.method, push.tail, json.loads(push.body))
    assert copy.unknown == []
    return copy.locations


def held_by(received: Iterable[Received]) -> dict[str, dict[str, Any]]:
    """What a receiver ends with."""
    copy = Copy()
    for came in received:
        copy.take(came.method, came.path, came.value())
    return copy.locations


async def test_after_sigkill_amid_600_records_everything_arrives_and_no_offset_ran_ahead(rig: Rig) -> None:
    history = a_history(random.Random(3), 600)
    slow = random.Random(4)

    async def takes_its_time(_: Received) -> web.Response:
        await asyncio.sleep(slow.random() * 0.02)
        return an_answer()

    async with a_receiver() as fast, a_receiver(takes_its_time) as slower:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=fast.url)
        await add_platform(rig.database_url, "EMSP DE/MSP", url=slower.url)
        await rig.push(*history)
        worker = await rig.start()
        await eventually(partial(_got, slower, 60))
        await worker.kill()
        await _assert_covered(rig, slower.received)
        await rig.start()

        await rig.until_committed()

        assert held_by(fast.received) == held_by(slower.received) == expected(history)


async def _got(receiver: Receiver, count: int) -> bool:
    return len(receiver.received) >= count


async def _assert_covered(rig: Rig, received: list[Received]) -> None:
    """What lies before the committed offsets has reached the receiver, or a later record of the same object is still open."""
    committed = await rig.committed()
    copy = held_by(received)
    records = [(record, *_told_by(record)) for record in await rig.records()]
    still_open = {tail[2] for record, tail, _ in records if record.offset >= committed[record.partition]}
    assert still_open, "the kill came too late to show anything"
    for record, tail, last_updated in records:
        if record.offset >= committed[record.partition] or tail[2] in still_open:
            continue
        location = copy[tail[2]]
        unit = location["evses"][tail[3]] if len(tail) > 3 else location
        assert unit["last_updated"] >= last_updated


def _told_by(record: Any) -> tuple[list[str], str]:
    headers = {name: value.decode() for name, value in record.headers}
    return headers["tail"].split("/"), json.loads(record.value)["last_updated"]


async def test_workers_that_come_and_go_leave_every_receiver_with_the_newest_state(rig: Rig) -> None:
    history = a_history(random.Random(5), 900)

    async def takes_its_time(_: Received) -> web.Response:
        await asyncio.sleep(0.002)
        return an_answer()

    async with a_receiver(takes_its_time) as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        first = await rig.start()
        await rig.push(*history[:300])
        second = await rig.start()
        await rig.push(*history[300:600])
        assert await first.terminate() == 0
        await rig.push(*history[600:])

        await rig.until_committed()

        assert held_by(receiver.received) == expected(history)
        assert receiver.most_at_once <= 8
        assert await second.terminate() == 0


async def test_a_database_that_loses_its_connections_costs_nothing_but_time(rig: Rig) -> None:
    history = a_history(random.Random(6), 600)
    async with a_receiver() as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        worker = await rig.start()
        for part in range(0, 600, 100):
            await rig.push(*history[part : part + 100])
            await rig.value(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )

        await rig.until_committed()

        assert held_by(receiver.received) == expected(history)
        assert await worker.terminate() == 0


async def test_a_record_of_a_newer_release_stops_the_worker_and_is_not_lost(rig: Rig) -> None:
    async with a_receiver() as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        worker = await rig.start()
        await rig.append_raw(b"{}", [("envelope", b"99")])

        assert await worker.ended() != 0

        assert await rig.dead_letters() == []
        assert set((await rig.committed()).values()) == {0}
