"""The fan-out worker in its own process: who receives what, in which order, and what a receiver's trouble costs others."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.messaging.topics import Topics
from hub.ocpi.parties import PartyId
from tests.integration.fanout_rig import Received, Rig, a_push, a_receiver, add_platform, fanout_rig
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
