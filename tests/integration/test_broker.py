"""Kafka goes away under a running hub: callers are told, nothing is sent behind their backs, and no process must be restarted."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from infra.dev.directory import claim
from infra.dev.kafka import Kafka
from infra.dev.supervisor import Supervisor
from tests.integration.exchange_rig import HUB, Exchange, Got
from tests.integration.hub_rig import running_exchange
from tests.integration.partner_rig import a_location, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

START_BY_SECONDS = 1.0
LOCATION = a_location(country_code="NL", party_id="CPO", id="L1")


@dataclass
class Away:
    """A hub, and the broker that can be taken from it."""

    rig: Exchange
    supervisor: Supervisor

    def signal(self, number: signal.Signals) -> None:
        """Signal the broker."""
        pid = self.supervisor.pid("kafka")
        assert pid is not None
        os.kill(pid, number)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def away(
    postgres_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Away]:
    path = claim(tmp_path_factory.mktemp("own-kafka"))
    broker = Kafka(path, lambda _: None)
    await broker.prepare()
    settings: dict[str, Any] = {
        "HUB_START_BY_SECONDS": str(START_BY_SECONDS),
        "HUB_PUSH_SECONDS": "1.5",
        "HUB_SINGLE_SECONDS": "3",
    }
    async with Supervisor(path / "run", lambda _: None) as supervisor:
        await supervisor.start(broker.part())
        folder = tmp_path_factory.mktemp("away")
        async with running_exchange(postgres_url, migrated_template, broker.bootstrap, folder, **settings) as rig:
            yield Away(rig, supervisor)


async def _single(rig: Exchange, target: str) -> Got:
    return await rig.ask(rig.emsp, "GET", f"sender/locations/{target}", to="NL/CPO")


async def _broadcast(rig: Exchange) -> Got:
    return await rig.ask(rig.cpo, "PUT", "receiver/locations/NL/CPO/L1", to=HUB, body=LOCATION)


async def _both_work(rig: Exchange) -> bool:
    single, broadcast = await asyncio.gather(_single(rig, "works"), _broadcast(rig))
    return single.ocpi == broadcast.ocpi == 1000


async def _recovers(away: Away, pids: dict[str, int]) -> None:
    async def works() -> bool:
        return await _both_work(away.rig)

    await eventually(works, 30)
    alive = {name: process.pid for name, process in away.rig.processes.items() if process.returncode is None}
    assert alive == pids, "a process had to be started again"


async def test_a_broker_that_hangs_is_503_and_what_it_took_late_is_never_sent(away: Away) -> None:
    """D-31, recovers_in_place, at_most_once: told at `start_by` that nothing was sent, and nothing is."""
    rig = away.rig
    assert await _both_work(rig)
    pids = {name: process.pid for name, process in rig.processes.items()}
    away.signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        single, broadcast = await asyncio.gather(_single(rig, "late"), _broadcast(rig))
        took = time.monotonic() - begun
    finally:
        away.signal(signal.SIGCONT)
    for got in (single, broadcast):
        assert (got.http, got.ocpi, got.answered_by) == (503, 3000, HUB)
        assert int(got.headers["retry-after"]) > 0
    assert START_BY_SECONDS <= took < 5
    await _recovers(away, pids)
    assert not [came for came in rig.cpo.came if came.target.endswith("late")]


async def test_a_broker_that_was_killed_comes_back_to_the_same_processes(away: Away) -> None:
    rig = away.rig
    rig.reset()
    pids = {name: process.pid for name, process in rig.processes.items()}
    away.signal(signal.SIGKILL)
    answers = await asyncio.gather(*(_single(rig, f"meanwhile-{number}") for number in range(5)), _broadcast(rig))
    assert {(got.http, got.ocpi) for got in answers} <= {(503, 3000), (200, 4002), (200, 1000)}
    await _recovers(away, pids)
    targets = [came.target for came in rig.cpo.came if "meanwhile" in came.target]
    assert len(targets) == len(set(targets))
