"""The relay's promises under rough treatment: at most once, never too late, nobody held up, nothing lost for good."""

import asyncio
import contextlib
import secrets
import signal
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from msgspec.structs import replace

from hub.messaging.codec import encode
from hub.messaging.topics import BULK_REQUESTS, DEAD_LETTERS, REQUESTS
from hub.model.envelope import Envelope, Scenario
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId
from tests.integration.exchange_rig import Came, Exchange, Got, ocpi
from tests.integration.hub_rig import a_log, append, faults, running_exchange, value
from tests.integration.partner_rig import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

START_BY_SECONDS = 4.0
SINGLE_SECONDS = 6.0
CONCURRENCY = 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    folder = tmp_path_factory.mktemp("relay")
    settings: dict[str, Any] = {
        "HUB_START_BY_SECONDS": str(START_BY_SECONDS),
        "HUB_SINGLE_SECONDS": str(SINGLE_SECONDS),
        "HUB_PUSH_SECONDS": "3",
        "HUB_RELAY_CONCURRENCY": str(CONCURRENCY),
    }
    async with running_exchange(postgres_url, migrated_template, kafka_bootstrap, folder, **settings) as rig:
        yield rig


@pytest.fixture
def rig(running: Exchange) -> Exchange:
    """The running parts, with nothing remembered of the test before."""
    running.reset()
    return running


def _envelope(rig: Exchange, target: str, **changes: Any) -> Envelope:
    """A GET of a Location by the eMSP, as the HTTP process would write it, for which nobody waits."""
    now = int(time.time() * 1000)
    made = Envelope(
        version="2.2.1",
        module="locations",
        interface=Interface.SENDER,
        method="GET",
        tail=target,
        query="",
        scenario=Scenario.DIRECT,
        platform_id=rig.emsp.platform_id,
        from_party=PartyId("DE", "MS1"),
        to_party=PartyId("NL", "CPO"),
        request_id="r",
        correlation_id="c",
        content_type="",
        received_at=now,
        body=b"",
        nonce=secrets.token_hex(16),
        reply_partition=0,
        start_by=now + 60_000,
        deadline=now + 60_000,
    )
    return replace(made, **changes)


def _record(envelope: Envelope) -> tuple[bytes, list[tuple[str, bytes | None]]]:
    return envelope.body, list(encode(envelope))


async def _get(rig: Exchange, target: str) -> Got:
    return await rig.ask(rig.emsp, "GET", f"sender/locations/{target}", to="NL/CPO")


def _targets(rig: Exchange) -> list[str]:
    return [came.target.rpartition("/")[2] for came in rig.cpo.came]


async def _reaches(rig: Exchange, *targets: str) -> None:
    async def have_come() -> bool:
        return set(targets) <= set(_targets(rig))

    await eventually(have_come)


async def test_a_record_written_twice_is_one_call(rig: Exchange) -> None:
    """The swift producer may write a record twice: the nonce tells."""
    twice = _record(_envelope(rig, "twice"))
    await append(rig, REQUESTS, twice, twice, _record(_envelope(rig, "after")), twice, _record(_envelope(rig, "last")))
    await _reaches(rig, "after", "last")
    assert sorted(_targets(rig)) == ["after", "last", "twice"]


async def test_nothing_is_sent_from_start_by_on(rig: Exchange) -> None:
    """`start_by`, and a deadline before it."""
    past = int(time.time() * 1000) - 1
    late = [_record(_envelope(rig, "late", start_by=past)), _record(_envelope(rig, "over", deadline=past))]
    await append(rig, REQUESTS, *late, _record(_envelope(rig, "in-time")))
    await _reaches(rig, "in-time")
    assert _targets(rig) == ["in-time"]


async def test_records_that_nobody_understands_are_buried_and_others_served(rig: Exchange) -> None:
    """poison_exact: k bad records, exactly k dead letters, all others delivered, the worker lives."""
    good = _envelope(rig, "good")
    fields = dict(encode(good))
    broken: list[tuple[bytes, list[tuple[str, bytes | None]]]] = [
        (b"\xff", []),
        (b"", [("envelope", None)]),
        (b"", [("envelope", b"\xff\xfe")]),
        (b"", [("envelope", b"one")]),
        (b"", list((fields | {"from": b"nobody"}).items())),
        (b"", list((fields | {"interface": b"SIDE"}).items())),
        (b"", list((fields | {"module": b"pizzas"}).items())),
        (b"", list((fields | {"method": b"BREW"}).items())),
        (b"", [(name, content) for name, content in fields.items() if name != "tail"]),
    ]
    async with a_log(rig) as log:
        before = await log.length(DEAD_LETTERS)
        await append(rig, REQUESTS, *broken, _record(good))
        await append(rig, BULK_REQUESTS, broken[0], _record(_envelope(rig, "", nonce=secrets.token_hex(16))))
        await _reaches(rig, "good", "locations")
        assert await log.length(DEAD_LETTERS) == before + len(broken) + 1
    assert (await _get(rig, "alive")).ocpi == 1000


async def test_a_request_that_the_store_cannot_take_fails_alone(rig: Exchange) -> None:
    """A platform that is no uuid breaks the statement of its whole batch; a place to answer that is none, only itself."""
    answers = [rig.ask(rig.emsp, "POST", "receiver/commands/STOP_SESSION", body={"session_id": "x"}) for _ in range(5)]
    command = {
        "module": "commands",
        "interface": Interface.RECEIVER,
        "method": "POST",
        "to_party": PartyId("NL", "CPO"),
    }
    body = b'{"response_url": "%s/cb"}' % rig.emsp.url.encode()
    odd = _envelope(rig, "START_SESSION", **command, body=body, correlation_id="a\0b")
    nowhere = _envelope(rig, "nowhere", reply_partition=99)
    fine = _envelope(rig, "UNLOCK_CONNECTOR", **command, body=body)
    await append(rig, REQUESTS, _record(fine), _record(odd), _record(nowhere), _record(replace(fine, nonce="other")))
    await _reaches(rig, "UNLOCK_CONNECTOR", "nowhere")

    async def both() -> bool:
        return _targets(rig).count("UNLOCK_CONNECTOR") == 2

    await eventually(both)
    assert "START_SESSION" not in _targets(rig)
    assert {got.ocpi for got in await asyncio.gather(*answers)} == {4001}


async def test_a_relay_that_comes_in_time_serves_what_waited(rig: Exchange) -> None:
    """What no relay has committed waits in the log for the next owner of the partition, within start_by."""
    await rig.end("relay", signal.SIGTERM)
    waiting = [asyncio.create_task(_get(rig, f"waits-{number}")) for number in range(10)]
    await rig.start("relay", "worker", "relay")
    codes = [got.ocpi for got in await asyncio.gather(*waiting)]
    assert set(codes) <= {1000, 4002}
    assert sorted(_targets(rig)) == sorted(set(_targets(rig)))
    assert len(_targets(rig)) >= codes.count(1000)
    assert (await _get(rig, "afterwards")).ocpi == 1000


async def test_what_waited_too_long_is_never_sent(rig: Exchange) -> None:
    """OF-01, OF-04: told 4002, and not executed later."""
    await rig.end("relay", signal.SIGTERM)
    waiting = asyncio.create_task(rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/late", to="DE/MS1", body={}))
    got = await waiting
    assert (got.http, got.ocpi) == (200, 4002)

    async def is_past_start_by() -> bool:
        return time.monotonic() > over

    over = time.monotonic() + START_BY_SECONDS - 3 + 0.1
    await eventually(is_past_start_by)
    await rig.start("relay", "worker", "relay")
    assert (await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/now", to="DE/MS1", body={})).ocpi == 1000
    assert [came.target.rpartition("/")[2] for came in rig.emsp.came] == ["now"]


async def test_a_rebalance_loses_and_doubles_nothing(rig: Exchange) -> None:
    """A second relay joins and leaves while requests run: each is answered, each is one call."""

    async def stream(name: str, stop: asyncio.Event) -> list[int]:
        codes: list[int] = []
        while not stop.is_set():
            codes.append((await _get(rig, f"{name}-{len(codes)}")).ocpi)
        return codes

    stop = asyncio.Event()
    streams = [asyncio.create_task(stream(f"r{number}", stop)) for number in range(6)]
    await rig.start("second", "worker", "relay")
    assert (await _get(rig, "between")).ocpi == 1000
    await rig.end("second", signal.SIGTERM)
    stop.set()
    codes = [code for one in await asyncio.gather(*streams) for code in one]
    assert set(codes) == {1000}
    assert len(_targets(rig)) == len(set(_targets(rig))) == len(codes) + 1


async def test_a_relay_told_to_stop_ends_its_calls_first(rig: Exchange) -> None:
    """The receiver answers after SIGTERM; its caller still gets it, and the process ends as told."""
    entered = asyncio.Event()

    async def slowly(_: Came) -> web.StreamResponse:
        entered.set()
        await asyncio.sleep(1)
        return ocpi(data="late")

    rig.cpo.script = slowly
    call = asyncio.create_task(_get(rig, "under-way"))
    await entered.wait()
    process = rig.processes["relay"]
    await rig.end("relay", signal.SIGTERM)
    assert (await call).body["data"] == "late"
    assert process.returncode == 0
    await rig.start("relay", "worker", "relay")
    rig.cpo.script = lambda _: _yes()
    assert (await _get(rig, "again")).ocpi == 1000


async def _yes() -> web.StreamResponse:
    return ocpi()


async def test_a_relay_told_to_stop_waits_no_longer_than_it_may(rig: Exchange) -> None:
    """HUB_DRAIN_SECONDS bounds what a receiver that does not answer can hold up; the caller gets its 4002."""
    released = asyncio.Event()

    async def hangs(_: Came) -> web.StreamResponse:
        await released.wait()
        return ocpi()

    await rig.end("relay", signal.SIGTERM)
    await rig.start("relay", "worker", "relay", HUB_DRAIN_SECONDS="0.5")
    rig.cpo.script = hangs
    call = asyncio.create_task(_get(rig, "hangs"))
    await _reaches(rig, "hangs")
    process = rig.processes["relay"]
    begun = time.monotonic()
    await rig.end("relay", signal.SIGTERM)
    assert time.monotonic() - begun < 3 < SINGLE_SECONDS
    assert process.returncode == 0
    assert (await call).ocpi == 4002
    released.set()
    await rig.start("relay", "worker", "relay")


async def test_a_slow_class_does_not_stand_in_front_of_another(rig: Exchange) -> None:
    """Calls under way are bounded by platform and class: beyond it 4000 at once, and other classes do not notice."""
    released = asyncio.Event()

    async def hangs_on_single_objects(came: Came) -> web.StreamResponse:
        if came.target.startswith("/sender/locations/"):
            await released.wait()
        return ocpi()

    rig.cpo.script = hangs_on_single_objects
    hanging = [asyncio.create_task(_get(rig, f"hangs-{number}")) for number in range(CONCURRENCY)]

    async def all_hang() -> bool:
        return len(rig.cpo.came) == CONCURRENCY

    await eventually(all_hang)
    refused = await _get(rig, "one-more")
    assert (refused.http, refused.ocpi) == (200, 4000)
    assert "Too many" in refused.message
    command = {"location_id": "L1"}
    assert (await rig.ask(rig.emsp, "POST", "receiver/commands/START_SESSION", to="NL/CPO", body=command)).ocpi == 1000
    assert (await rig.ask(rig.emsp, "GET", "sender/locations", to="NL/CPO")).ocpi == 1000
    released.set()
    assert {got.ocpi for got in await asyncio.gather(*hanging)} == {1000}


async def test_without_postgres_named_receivers_are_served_and_others_told(rig: Exchange) -> None:
    """D-31: 503 + 3000 with Retry-After for what needs the routing tables; nobody else waits for them."""
    name = await value(rig, "select current_database()")
    admin = rig.database_url.replace(f"/{name}?", "/hub?")
    async with _connected(admin) as connection:
        await connection.execute(f"alter database {name} with allow_connections false")
        try:
            ends = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1"
            await connection.execute(ends, name)
            begun = time.monotonic()
            named, path = await asyncio.gather(
                _get(rig, "named"),
                rig.ask(rig.cpo, "PUT", f"receiver/locations/NL/CPO/{uuid.uuid4()}", to="DE/MS1", body={}),
            )
            assert (named.ocpi, path.ocpi) == (1000, 1000)
            assert time.monotonic() - begun < START_BY_SECONDS
            for body in ({"session_id": "x"}, {"location_id": "L1", "response_url": f"{rig.emsp.url}/cb"}):
                command = "STOP_SESSION" if "session_id" in body else "START_SESSION"
                to = None if "session_id" in body else "NL/CPO"
                got = await rig.ask(rig.emsp, "POST", f"receiver/commands/{command}", to=to, body=body)
                assert (got.http, got.ocpi) == (503, 3000)
                assert int(got.headers["retry-after"]) > 0
        finally:
            await connection.execute(f"alter database {name} with allow_connections true")

    async def asks_again() -> bool:
        got = await rig.ask(rig.emsp, "POST", "receiver/commands/STOP_SESSION", body={"session_id": "x"})
        return got.ocpi == 4001

    await eventually(asks_again, 15)
    assert not [came for came in rig.cpo.came if "commands" in came.target]


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_newer_envelope_stops_the_worker_and_is_not_lost(running: Exchange) -> None:
    """It is never dead-lettered, and nothing of its batch is committed: an older worker stops at it again."""
    running.reset()
    expected = [line for line in faults(running, "serve", "relay") if "request.not_planned" not in line]
    assert not [line for line in expected if not _is_of_these_tests(line)], expected
    newer = dict(encode(_envelope(running, "newer"))) | {"envelope": b"2"}
    async with a_log(running) as log:
        buried = await log.length(DEAD_LETTERS)
        await append(running, REQUESTS, (b"", list(newer.items())), _record(_envelope(running, "behind-it")))
        for attempt in ("relay", "relay-2"):
            if attempt != "relay":
                with contextlib.suppress(AssertionError):
                    await running.start(attempt, "worker", "relay")
            process = running.processes[attempt]
            assert await asyncio.wait_for(process.wait(), 15) == 1
        assert await log.length(DEAD_LETTERS) == buried
    assert "worker.too_old" in running.logged("relay")
    assert not running.cpo.came
    assert running.processes["serve"].returncode is None


def _is_of_these_tests(line: str) -> bool:
    """What is rightly said of the records that these tests wrote."""
    return any(word in line for word in ("record.undecodable", "reply.not_sent", "Traceback"))
