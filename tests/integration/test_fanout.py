"""The fan-out worker in its own process: who receives what, in which order, and what a receiver's trouble costs others."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hub.messaging.topics import Topics
from hub.ocpi.parties import PartyId
from tests.integration.fanout_rig import Received, Rig, a_push, a_receiver, add_platform, an_answer, fanout_rig
from tests.integration.partner_rig import eventually


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    async with fanout_rig(database_url, kafka_bootstrap, topics, tmp_path) as made:
        yield made


async def test_a_broadcast_reaches_exactly_its_audience_with_its_own_bytes(rig: Rig) -> None:
    body = b'{ "id":"L1",\n "evses" : [ ],"price":0.60,"big":1e2, "last_updated":"2026-06-01T10:00:00Z"}'
    async with a_receiver() as two_parties, a_receiver() as one_party, a_receiver() as nobody:
        first = await add_platform(rig.database_url, "EMSP NL/MSP", "NSP NL/NAV", url=two_parties.url)
        await add_platform(rig.database_url, "EMSP DE/MSP", "CPO DE/CPO", url=one_party.url, quarantined=["NAP DE/NAP"])
        await add_platform(rig.database_url, "CPO BE/CPO", url=nobody.url)
        await add_platform(rig.database_url, "SCSP NL/SCS", url=nobody.url)
        await add_platform(rig.database_url, "EMSP NL/TAR", url=nobody.url, modules=("tariffs",))
        await add_platform(rig.database_url, "EMSP NL/SUS", url=nobody.url, status="suspended")
        await rig.start()
        push = a_push("PUT", "locations/L1?%20raw=%2F", body)

        await rig.push(push)
        await rig.until_committed()

        assert sorted(came.party for came in two_parties.received) == ["NL/MSP", "NL/NAV"]
        assert [came.party for came in one_party.received] == ["DE/MSP"]
        assert nobody.received == []
        came = two_parties.received
        assert {(entry.method, entry.module, entry.path, entry.body) for entry in came} == {
            ("PUT", "locations", "NL/CPO/L1?%20raw=%2F", body)
        }
        headers = came[0].headers
        assert (headers["ocpi-from-country-code"], headers["ocpi-from-party-id"]) == ("NL", "HUB")
        assert headers["x-correlation-id"] == push.correlation_id
        request_ids = {entry.headers["x-request-id"] for entry in (*came, *one_party.received)}
        assert len(request_ids) == 3
        assert push.request_id not in request_ids
        assert headers["content-type"] == "application/json"
        assert headers["authorization"].startswith("Token ")
        assert headers["authorization"] != one_party.received[0].headers["authorization"]
        assert first not in headers["authorization"]


async def test_a_token_of_an_emsp_reaches_the_cpos(rig: Rig) -> None:
    async with a_receiver() as cpo, a_receiver() as other_emsp:
        await add_platform(rig.database_url, "CPO BE/CPO", url=cpo.url, modules=("tokens",))
        await add_platform(rig.database_url, "EMSP DE/MSP", url=other_emsp.url, modules=("tokens",))
        emsp = await add_platform(rig.database_url, "EMSP NL/MSP", modules=())
        await rig.start()
        token = {"uid": "1", "type": "APP_USER", "last_updated": "2026-06-01T10:00:00Z"}

        await rig.push(
            a_push(
                "PUT",
                "tokens/1?type=APP_USER",
                token,
                tail="NL/MSP/1",
                platform_id=emsp,
                from_party=PartyId("NL", "MSP"),
            )
        )
        await eventually(lambda: _came(cpo.received, 1))
        await eventually(lambda: _stored(rig, "1:APP_USER"))

        assert cpo.received[0].path == "NL/MSP/1?type=APP_USER"
        assert other_emsp.received == []


async def _came(received: list[Received], count: int) -> bool:
    return len(received) >= count


async def _stored(rig: Rig, object_id: str) -> Any:
    return await rig.value("select raw from unit where object_id = $1", object_id)


async def test_order_is_kept_within_an_object_while_many_go_at_once(rig: Rig) -> None:
    random_ = random.Random(1)

    async def answers_late(_: Received) -> web.Response:
        await asyncio.sleep(random_.random() * 0.01)
        return an_answer()

    async with a_receiver(answers_late) as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(*(a_push("PUT", f"locations/L{number}", _a_location(f"L{number}", 0)) for number in range(20)))
        for minute in range(1, 30):
            bodies = [{"last_updated": _at(minute), "name": f"{number}.{minute}"} for number in range(20)]
            await eventually(partial(_came, receiver.received, 5 * minute))
            await rig.push(*(a_push("PATCH", f"locations/L{number}", body) for number, body in enumerate(bodies)))
        await rig.until_committed()

        assert receiver.overlapping == []
        assert 4 < receiver.most_at_once <= 8
        for number in range(20):
            came = receiver.of(f"L{number}")
            stamps = [entry.value()["last_updated"] for entry in came]
            assert stamps == sorted(stamps)
            assert came[-1].value()["name"] == f"{number}.29"


async def test_a_receiver_that_hangs_delays_no_other_and_holds_back_only_the_offset(rig: Rig) -> None:
    async def hangs(_: Received) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with a_receiver(hangs) as hanging, a_receiver() as healthy:
        await add_platform(rig.database_url, "EMSP NL/HNG", url=hanging.url)
        await add_platform(rig.database_url, "EMSP NL/MSP", url=healthy.url)
        worker = await rig.start()
        pushes = [a_push("PUT", f"tariffs/T{number}", {"last_updated": _at(0)}) for number in range(300)]

        await rig.push(*pushes)
        await eventually(lambda: _came(healthy.received, 300), 5)

        assert len({entry.path for entry in healthy.received}) == 300
        first = {entry.path.rpartition("/")[2] for entry in hanging.received}
        assert 1 <= hanging.most_at_once <= 8
        began = time.monotonic()
        assert await worker.terminate() == 0
        assert time.monotonic() - began < 10
        committed = await rig.committed()
        for record in await rig.records():
            object_id = record.key.decode().rpartition(":")[2]
            assert object_id not in first or record.offset >= committed[record.partition]


async def test_records_that_nobody_understands_go_to_the_dead_letters_alone(rig: Rig) -> None:
    good = [a_push("PUT", f"tariffs/T{number}", {"last_updated": _at(0)}) for number in range(40)]
    bad = {
        "L1": a_push("PUT", "locations/L1", b"no JSON"),
        "L%00": a_push("PUT", "locations/L%00", {"last_updated": _at(0)}),
        "L3": a_push("PUT", "locations/L3", {"evses": [1], "last_updated": _at(0)}),
        "L4/E1/C1/D1": a_push("PUT", "locations/L4/E1/C1/D1", {"last_updated": _at(0)}),
        "L5": a_push("PUT", "locations/L5", b'{"n":' * 3000 + b"1" + b"}" * 3000),
        "L6": a_push("PUT", "locations/L6", {"last_updated": _at(0)}, platform_id="nobody"),
    }
    async with a_receiver() as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        mixed = [*good, *bad.values()]
        random.Random(2).shuffle(mixed)
        await rig.append_raw(b"{}", [("envelope", b"\xff")])
        await rig.push(*mixed)
        await rig.append_raw(b"{}")
        await rig.start()

        await rig.until_committed()

        assert len(receiver.received) == 40
        buried = await rig.dead_letters()
        assert len(buried) == len(bad) + 2
        places = [dict(entry.headers) for entry in buried]
        sources = {(place["source-partition"], place["source-offset"]) for place in places}
        assert len(sources) == len(buried)
        assert {entry.value for entry in buried} == {b"{}", *(push.body for push in bad.values())}
        assert all(0 < len(dict(entry.headers)["error"]) < 2000 for entry in buried)


async def test_a_refusal_is_final_and_trouble_is_not(rig: Rig) -> None:
    tries: dict[str, int] = defaultdict(int)

    async def judges(came: Received) -> web.Response:
        tries[came.path] += 1
        if came.path.endswith("/NO"):
            return an_answer(200, 2001)
        if came.path.endswith("/LATER") and tries[came.path] < 4:
            return web.Response(status=(503, 401, 429)[tries[came.path] - 1])
        return an_answer()

    async with a_receiver(judges) as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        pushes = [a_push("PUT", f"tariffs/{name}", {"last_updated": _at(0)}) for name in ("NO", "LATER", "YES")]

        await rig.push(*pushes)
        await rig.until_committed()

        assert tries == {"NL/CPO/NO": 1, "NL/CPO/LATER": 4, "NL/CPO/YES": 1}


async def test_what_waits_for_one_object_is_sent_once_as_it_is_now(rig: Rig) -> None:
    gate = asyncio.Event()

    async def answers_when_told(_: Received) -> web.Response:
        await gate.wait()
        return an_answer()

    async with a_receiver(answers_when_told) as receiver:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await rig.start()
        await rig.push(a_push("PUT", "locations/L1", _a_location("L1", 0)))
        await eventually(lambda: _came(receiver.received, 1))
        for minute in range(1, 50):
            body = {"status": f"S{minute}", "last_updated": _at(minute)}
            await rig.push(a_push("PATCH", "locations/L1/E1", body))
        await eventually(lambda: _has_clock(rig, "E1", _at(49)))

        gate.set()
        await rig.until_committed()

        first, second = receiver.received
        assert (first.method, second.method, second.path) == ("PUT", "PUT", "NL/CPO/L1/E1")
        assert second.value()["status"] == "S49"
        assert second.value()["connectors"] == _a_location("L1", 0)["evses"][0]["connectors"]


async def test_after_a_platform_is_suspended_nothing_reaches_it(rig: Rig) -> None:
    async with a_receiver() as receiver, a_receiver() as other:
        platform_id = await add_platform(rig.database_url, "EMSP NL/MSP", url=receiver.url)
        await add_platform(rig.database_url, "EMSP DE/MSP", url=other.url)
        await rig.start()
        await rig.push(a_push("PUT", "tariffs/T1", {"last_updated": _at(0)}))
        await eventually(lambda: _came(receiver.received, 1))

        version = await rig.change_directory(
            "update platform set status = 'suspended' where platform_id = $1", platform_id
        )
        await eventually(lambda: rig.is_held(version))
        await rig.push(a_push("PUT", "tariffs/T2", {"last_updated": _at(0)}))
        await rig.until_committed()

        assert len(other.received) == 2
        assert len(receiver.received) == 1


async def _has_clock(rig: Rig, evse_uid: str, moment: str) -> bool:
    found = await rig.value("select last_updated from unit where evse_uid = $1", evse_uid)
    return found is not None and bool(found >= datetime.fromisoformat(moment))


def _at(minute: int) -> str:
    return (datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _a_location(location_id: str, minute: int) -> dict[str, Any]:
    connectors = [{"id": "1", "last_updated": _at(minute)}]
    evse = {"uid": "E1", "status": "AVAILABLE", "connectors": connectors, "last_updated": _at(minute)}
    return {"id": location_id, "evses": [evse], "last_updated": _at(minute)}
