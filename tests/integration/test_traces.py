"""One trace from a partner's header through the log to the receiver, the logs and the story that operators read."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from hub.messaging.topics import Topics
from infra.dev.ports import choose
from tests.integration.exchange_rig import Exchange, exchange
from tests.integration.partner_rig import eventually

THEIRS = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SESSION = {"kwh": 0.60}


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Exchange]:
    settings = {
        "HUB_TRACE_PARTNERS": "true",
        "HUB_LOG_LEVEL": "DEBUG",
        "HUB_METRICS_PORT": str(choose("127.0.0.1", 1)[0]),
    }
    async with exchange(database_url, kafka_bootstrap, topics, tmp_path, **settings) as running:
        yield running


async def _push(rig: Exchange, traceparent: str, correlation_id: str) -> str:
    headers: dict[str, str | None] = {"traceparent": traceparent, "X-Correlation-ID": correlation_id}
    got = await rig.ask(
        rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", raw=json.dumps(SESSION).encode(), headers=headers
    )
    assert got.ocpi == 1000
    return rig.emsp.came[-1].headers["traceparent"]


def _events(rig: Exchange, name: str, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in rig.logged(name).splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def test_a_partners_trace_goes_on_to_the_receiver_the_logs_and_the_ledger(rig: Exchange) -> None:
    shown = await _push(rig, f"00-{THEIRS}-{SPAN}-01", "correlation-1")
    begun = await _push(rig, "nonsense", "correlation-2")

    version, trace_id, span, flags = shown.split("-")
    assert (version, trace_id, flags) == ("00", THEIRS, "01")
    assert span != SPAN
    assert begun.split("-")[1] not in {THEIRS, "0" * 32}
    for process, event in (("serve", "request.answered"), ("relay", "delivery.attempted")):
        told = {line["correlation_id"]: line["trace_id"] for line in _events(rig, process, event)}
        assert told == {"correlation-1": THEIRS, "correlation-2": begun.split("-")[1]}

    await rig.start("ledger", "worker", "ledger", HUB_METRICS_PORT="0")

    async def both_legs_are_written() -> bool:
        connection = await asyncpg.connect(rig.database_url)
        try:
            rows = await connection.fetch(
                "select leg, trace_id from exchange where correlation_id = 'correlation-1' order by leg"
            )
        finally:
            await connection.close()
        return [tuple(row) for row in rows] == [("ingress", THEIRS), ("relay", THEIRS)]

    await eventually(both_legs_are_written)
    assert _events(rig, "ledger", "outcomes.stored")


async def test_a_worker_tells_its_metrics_and_its_health(rig: Exchange) -> None:
    await _push(rig, "", "correlation-3")
    base = f"http://127.0.0.1:{rig.env['HUB_METRICS_PORT']}"

    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/health/ready") as answer:
            health = await answer.json()
        async with session.get(f"{base}/metrics") as answer:
            lines = (await answer.text()).splitlines()

    assert (health["status"], health["worker"]) == ("ready", "relay")
    assert 'hub_partner_calls_total{module="sessions",verdict="delivered"} 1.0' in lines
    offsets = [line for line in lines if line.startswith("hub_consumed_offset{") and "ocpi.requests" in line]
    assert [line.rsplit(" ", 1)[1] for line in offsets] == ["1.0"]
    await rig.end("relay", signal.SIGTERM)
