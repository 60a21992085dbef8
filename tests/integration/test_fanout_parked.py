"""What becomes of what a receiver misses: it is marked, and comes as the current state, once, when the receiver is back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hub.messaging.topics import Topics
from tests.integration.fanout_rig import Received, Rig, a_push, a_receiver, accepts, add_platform, an_answer, fanout_rig
from tests.integration.partner_rig import eventually

MARKS = "select count(*) from dirty_mark"
OFFLINE = "update platform set is_online = $2 where platform_id = $1"


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    async with fanout_rig(database_url, kafka_bootstrap, topics, tmp_path, HUB_PUSH_SECONDS="2") as made:
        yield made


def a_location(number: int, minute: int = 0, **fields: Any) -> dict[str, Any]:
    evse = {"uid": "E1", "status": "AVAILABLE", "connectors": [], "last_updated": at(minute)}
    return {"id": f"L{number}", "evses": [evse], "last_updated": at(minute), **fields}


def at(minute: int) -> str:
    return f"2026-06-01T10:{minute:02}:00Z"


def a_status(number: int, minute: int, status: str) -> Any:
    return a_push("PATCH", f"locations/L{number}/E1", {"status": status, "last_updated": at(minute)})


async def no_marks(rig: Rig) -> bool:
    return bool(await rig.value(MARKS) == 0)


async def test_who_is_offline_gets_the_current_state_of_each_changed_unit_once_when_back(rig: Rig) -> None:
    async with a_receiver() as away, a_receiver() as other:
        emsp = await add_platform(rig.database_url, "EMSP NL/MSP", url=away.url)
        await add_platform(rig.database_url, "EMSP DE/MSP", url=other.url)
        await rig.start()
        await rig.push(*(a_push("PUT", f"locations/L{number}", a_location(number)) for number in range(4)))
        await rig.until_committed()
        version = await rig.change_directory(OFFLINE, emsp, False)
        await eventually(lambda: rig.is_held(version))
        before = len(away.received)

        for minute in range(1, 6):
            await rig.push(a_status(1, minute, f"S{minute}"), a_status(2, minute, f"S{minute}"))
        await rig.push(a_push("PUT", "locations/L3", a_location(3, 7, name="new")))
        await rig.until_committed()

        assert (len(away.received), await rig.value(MARKS)) == (before, 3)
        assert other.of("L1")[-1].value()["status"] == "S5"
        await rig.change_directory(OFFLINE, emsp, True)
        await eventually(lambda: no_marks(rig))
        came = {entry.path: (entry.method, entry.value().get("status")) for entry in away.received[before:]}
        assert len(away.received) == before + 3
        assert came["NL/CPO/L1/E1"] == ("PUT", "S5")
        assert came["NL/CPO/L3"] == ("PUT", None)
        assert away.received[-1].headers["ocpi-to-party-id"] == "MSP"


async def test_a_receiver_that_fails_is_parked_and_tried_again_until_it_is_back(rig: Rig) -> None:
    is_down = True

    async def script(_: Received) -> web.Response:
        return an_answer(503, 3000) if is_down else an_answer()

    async with a_receiver(script) as failing, a_receiver() as other:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=failing.url)
        await add_platform(rig.database_url, "EMSP DE/MSP", url=other.url)
        await rig.start()

        await rig.push(*(a_push("PUT", f"locations/L{number}", a_location(number)) for number in range(20)))
        await rig.until_committed()

        assert len(other.received) == 20
        assert await rig.value(MARKS) == 20
        assert await rig.value("select opened_at is not null from receiver")
        is_down = False
        await eventually(lambda: no_marks(rig))
        assert {entry.object for entry in failing.received[-20:]} == {f"locations/NL/CPO/L{n}" for n in range(20)}
        assert await rig.value("select opened_at is null from receiver")


async def test_one_object_that_a_receiver_chokes_on_does_not_keep_it_from_the_others(rig: Rig) -> None:
    async def script(came: Received) -> web.Response:
        return an_answer(500, 3000) if came.path.startswith("NL/CPO/L0") else an_answer()

    async with a_receiver(script) as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(*(a_push("PUT", f"locations/L{number}", a_location(number)) for number in range(10)))
        await rig.until_committed(60)

        async def only_one_is_left() -> bool:
            return bool(await rig.value("select array_agg(object_id) from dirty_mark") == ["L0"])

        await eventually(only_one_is_left, 60)
        assert {entry.path.split("/")[2] for entry in receiver.received} == {f"L{number}" for number in range(10)}


async def test_a_receiver_that_asks_to_wait_is_left_alone_and_then_gets_current_states(rig: Rig) -> None:
    asked: list[float] = []

    async def script(came: Received) -> web.Response:
        if asked:
            return an_answer()
        asked.append(came.at)
        answer = an_answer(429, 2000)
        answer.headers["Retry-After"] = "3"
        return answer

    async with a_receiver(script) as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(a_push("PUT", "locations/L1", a_location(1)))
        await eventually(lambda: _came(receiver.received, 1))
        await rig.push(a_status(1, 1, "CHARGING"), a_status(1, 2, "AVAILABLE"))
        await rig.until_committed()
        await eventually(lambda: no_marks(rig))

        later = receiver.received[1:]
        assert later[0].at - asked[0] > 2.8
        assert {entry.method for entry in later} == {"PUT"}
        assert later[-1].value()


async def test_a_patch_of_an_object_that_a_receiver_does_not_know_is_followed_by_the_whole(rig: Rig) -> None:
    known: set[str] = set()

    async def script(came: Received) -> web.Response:
        if came.method == "PUT" and came.path == "NL/CPO/L1":
            known.add("L1")
        return an_answer(200, 1000) if known else an_answer(200, 2003)

    async with a_receiver() as first:
        platform = await add_platform(rig.database_url, "EMSP NL/MSP", url=first.url)
        await rig.start()
        await rig.push(a_push("PUT", "locations/L1", a_location(1)))
        await rig.until_committed()
        first.script = script

        await rig.push(a_status(1, 1, "CHARGING"))
        await rig.until_committed()
        await eventually(lambda: no_marks(rig))

        assert [(entry.method, entry.path) for entry in first.received[1:]] == [
            ("PATCH", "NL/CPO/L1/E1"),
            ("PUT", "NL/CPO/L1"),
        ]
        assert first.received[-1].value()["evses"][0]["status"] == "CHARGING"
        assert await rig.value("select count(*) from refusal where platform_id = $1", platform) == 0


async def test_a_refusal_is_kept_and_the_next_version_goes_as_the_whole(rig: Rig) -> None:
    async def refuses(_: Received) -> web.Response:
        return an_answer(200, 2001)

    async with a_receiver(refuses) as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(a_push("PUT", "locations/L1", a_location(1)))
        await rig.until_committed()

        assert await rig.value("select ocpi_status from refusal where object_id = 'L1'") == 2001
        receiver.script = accepts
        await rig.push(a_status(1, 1, "CHARGING"))
        await rig.until_committed()

        assert [(entry.method, entry.path) for entry in receiver.received] == [
            ("PUT", "NL/CPO/L1"),
            ("PUT", "NL/CPO/L1"),
        ]

        async def nothing_is_refused() -> bool:
            return bool(await rig.value("select count(*) from refusal") == 0)

        await eventually(nothing_is_refused)


async def test_a_paused_receiver_gets_nothing_until_it_is_resumed(rig: Rig) -> None:
    async with a_receiver() as receiver:
        platform = await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        paused = "insert into receiver (platform_id, country_code, party_id, is_paused) values ($1, 'NL', 'MSP', true)"
        await rig.value(paused, platform)
        await rig.start()
        await rig.push(a_push("PUT", "locations/L1", a_location(1)))
        await rig.until_committed()
        assert (receiver.received, await rig.value(MARKS)) == ([], 1)

        await rig.value("update receiver set is_paused = false")
        await eventually(lambda: no_marks(rig))

        assert [entry.path for entry in receiver.received] == ["NL/CPO/L1"]


async def test_who_wants_no_touches_gets_changes_only(rig: Rig) -> None:
    async with a_receiver() as receiver:
        platform = await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        row = "insert into receiver (platform_id, country_code, party_id, touches) values ($1, 'NL', 'MSP', 'skip')"
        await rig.value(row, platform)
        await rig.start()
        for location in (a_location(1), a_location(1, 5), a_location(1, 6, name="new")):
            await rig.push(a_push("PUT", "locations/L1", location))
            await rig.until_committed()

        assert [entry.value().get("name") for entry in receiver.received] == [None, "new"]


async def test_who_wants_no_catch_up_gets_no_marks(rig: Rig) -> None:
    async with a_receiver() as receiver:
        platform = await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        row = (
            "insert into receiver (platform_id, country_code, party_id, is_paused, catch_up)"
            " values ($1, 'NL', 'MSP', true, 'none')"
        )
        await rig.value(row, platform)
        await rig.start()
        await rig.push(a_push("PUT", "locations/L1", a_location(1)))
        await rig.until_committed()

        assert (receiver.received, await rig.value(MARKS)) == ([], 0)


async def _came(received: list[Received], count: int) -> bool:
    return len(received) >= count
