"""Everyone gets their own answer: two HTTP processes behind one reply partition, restarts, bounds and lost readers."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from hub.messaging.codec import encode_reply
from hub.messaging.topics import BULK_REPLIES, REPLIES
from hub.model.envelope import Reply
from tests.integration.exchange_rig import Came, Exchange, ocpi
from tests.integration.hub_rig import another_front, append, faults, running_exchange, value
from tests.integration.partner_rig import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAITING = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    """One partition of each topic, so that every HTTP process waits at the same one."""
    folder = tmp_path_factory.mktemp("rpc")
    settings: dict[str, Any] = {
        "HUB_WAITING_REQUESTS": str(WAITING),
        "HUB_SINGLE_SECONDS": "3",
        "HUB_RELAY_CONCURRENCY": "500",
    }
    async with running_exchange(
        postgres_url, migrated_template, kafka_bootstrap, folder, partitions=1, **settings
    ) as rig:
        yield rig
        assert not faults(rig, "serve", "relay")


@pytest.fixture
def rig(running: Exchange) -> Exchange:
    """The running parts, with nothing remembered of the test before."""
    running.reset()
    return running


async def _echoes(came: Came) -> web.StreamResponse:
    await asyncio.sleep(0.02)
    return ocpi(data=came.target.rpartition("/")[2])


async def test_two_processes_at_one_partition_get_their_own_answers(rig: Exchange) -> None:
    """reply_isolated: equal correlation ids, equal request ids, one reply partition, two callers."""
    rig.cpo.script = _echoes
    other = await another_front(rig, "front-2")
    same = {"X-Correlation-ID": "same", "X-Request-ID": "same"}

    async def ask(number: int) -> Any:
        peer, base = ((rig.emsp, rig.url), (rig.other, other))[number % 2]
        got = await rig.ask(peer, "GET", f"sender/locations/N{number}", to="NL/CPO", headers=dict(same), base=base)
        return got.body["data"], got.headers["ocpi-to-party-id"]

    answers = await asyncio.gather(*(ask(number) for number in range(60)))
    assert answers == [(f"N{number}", ("MS1", "MS2")[number % 2]) for number in range(60)]
    await rig.end("front-2", signal.SIGKILL)


async def test_a_process_that_starts_anew_takes_no_old_answer_for_its_own(rig: Exchange) -> None:
    """A reply to nobody, one that is none, and one to a caller of the process before: none of them does harm."""
    stale = Reply("f" * 32, 200, (("from", "NL/CPO"),), b"{}")
    for spec in (REPLIES, BULK_REPLIES):
        await append(rig, spec, (b"{}", encode_reply(stale)), (b"", [("nonce", None)]), (b"\xff", [("x", b"\xff")]))
    rig.cpo.script = _echoes
    assert (await rig.ask(rig.emsp, "GET", "sender/locations/fresh", to="NL/CPO")).body["data"] == "fresh"
    assert (await rig.ask(rig.emsp, "GET", "sender/locations", to="NL/CPO")).ocpi == 1000

    async def slowly(came: Came) -> web.StreamResponse:
        await asyncio.sleep(1)
        return await _echoes(came)

    rig.cpo.script = slowly
    lost = asyncio.create_task(rig.ask(rig.emsp, "GET", "sender/locations/lost", to="NL/CPO"))

    async def is_under_way() -> bool:
        return bool(rig.cpo.came) and rig.cpo.came[-1].target.endswith("lost")

    await eventually(is_under_way)
    await rig.end("serve", signal.SIGKILL)
    await asyncio.gather(lost, return_exceptions=True)
    await rig.start("serve", "serve")
    rig.cpo.script = _echoes
    assert (await rig.ask(rig.emsp, "GET", "sender/locations/next", to="NL/CPO")).body["data"] == "next"


async def test_more_callers_than_may_wait_are_told_at_once(rig: Exchange) -> None:
    """503 + 3000 with Retry-After, nothing sent; those who wait are served."""
    released = asyncio.Event()

    async def hangs(_: Came) -> web.StreamResponse:
        await released.wait()
        return ocpi()

    rig.cpo.script = hangs
    calls = [
        asyncio.create_task(rig.ask(rig.emsp, "GET", f"sender/locations/W{number}", to="NL/CPO"))
        for number in range(WAITING + 15)
    ]

    async def full() -> bool:
        return len(rig.cpo.came) == WAITING and sum(call.done() for call in calls) == 15

    await eventually(full)
    refused = [call.result() for call in calls if call.done()]
    assert {(got.http, got.ocpi, int(got.headers["retry-after"]) > 0) for got in refused} == {(503, 3000, True)}
    released.set()
    served = await asyncio.gather(*calls)
    assert sum(got.ocpi == 1000 for got in served) == WAITING


async def test_a_front_told_to_stop_answers_those_who_wait(rig: Exchange) -> None:
    """SIGTERM: the callers under way get their answers, and the process ends as told."""
    before = await _leases(rig)
    base = await another_front(rig, "front-3")

    async def slowly(came: Came) -> web.StreamResponse:
        await asyncio.sleep(0.5)
        return await _echoes(came)

    rig.cpo.script = slowly
    calls = [
        asyncio.create_task(rig.ask(rig.emsp, "GET", f"sender/locations/T{number}", to="NL/CPO", base=base))
        for number in range(5)
    ]

    async def under_way() -> bool:
        return len(rig.cpo.came) == 5

    await eventually(under_way)
    process = rig.processes["front-3"]
    await rig.end("front-3", signal.SIGTERM)
    assert [got.body["data"] for got in await asyncio.gather(*calls)] == [f"T{number}" for number in range(5)]
    assert process.returncode == 0
    assert "hub.stopped" in rig.logged("front-3")
    assert await _leases(rig) <= before, "a revocation would wait for a process that has ended"


async def _leases(rig: Exchange) -> Any:
    return await value(rig, "select count(*) from directory_holder where expires_at > now()")
