"""The ledger writes every outcome once, in whatever way records come again, and no bad record holds it up."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec.structs import replace

from hub.messaging.codec import encode_outcomes
from hub.messaging.lag import measure_lag
from hub.messaging.producer import Producer
from hub.messaging.records import Record
from hub.messaging.topics import DEAD_LETTERS, OUTCOMES, Topics
from hub.model.directed import DirectedKey, DirectedPush
from hub.model.outcome import Leg, Outcome, Verdict
from hub.ocpi.parties import PartyId
from hub.operations.inspect import Story, show_exchange
from hub.store.directed import store_pushes
from hub.store.exchanges import add_outcomes, keep_days, row_of
from hub.store.pool import Store
from tests.integration.fanout_rig import add_platform
from tests.integration.partner_rig import eventually
from workers.ledger import Ledger, room_of

NOW_MS = int(time.time() * 1000)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    made = await Store.open(database_url, size=4)
    yield made
    await made.close()


@pytest.fixture
async def producer(kafka_bootstrap: str) -> AsyncIterator[Producer]:
    made = Producer.durable(kafka_bootstrap)
    await made.start()
    yield made
    await made.stop()


class Rig:
    """Outcomes go in at the log; the rows come out at the store."""

    def __init__(self, store: Store, producer: Producer, bootstrap: str, topics: Topics) -> None:
        self.store = store
        self.bootstrap = bootstrap
        self.topics = topics
        self._producer = producer

    async def tell(self, *told: Outcome) -> None:
        """Append outcomes to partitions in turn."""
        topic, partitions = self.topics.name(OUTCOMES), self.topics.partitions(OUTCOMES)
        sends = [
            self._producer.send(topic, value=encode_outcomes([outcome]), partition=number % partitions, timeout=10)
            for number, outcome in enumerate(told)
        ]
        await asyncio.gather(*sends)

    async def tell_raw(self, *told: bytes) -> None:
        """Append records to one partition, in order."""
        for value in told:
            await self._producer.send(self.topics.name(OUTCOMES), value=value, partition=0, timeout=10)

    @contextlib.asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        """A running ledger."""
        ledger = Ledger(
            store=self.store,
            bootstrap=self.bootstrap,
            topics=self.topics,
            dead_letters=self._producer,
            retention_days=30,
        )
        await ledger.start()
        try:
            yield ledger
        finally:
            await ledger.stop()

    async def until_caught_up(self) -> None:
        """Wait until everything told is committed."""
        await eventually(self.is_caught_up, within_s=30)

    async def is_caught_up(self) -> bool:
        """Whether the group has committed everything."""
        return all(
            entry.behind == 0 for entry in await measure_lag(self.bootstrap, self.topics) if entry.worker == "ledger"
        )

    async def value(self, sql: str) -> int:
        """One number from the database."""
        async with self.store.connection() as connection:
            return int(await connection.fetchval(sql))


@pytest.fixture
def rig(store: Store, producer: Producer, kafka_bootstrap: str, topics: Topics) -> Rig:
    return Rig(store, producer, kafka_bootstrap, topics)


def an_outcome(at: int = NOW_MS, **changes: Any) -> Outcome:
    made = Outcome(
        at=at,
        outcome_id=str(uuid.uuid4()),
        correlation_id="corr",
        request_id="req",
        leg=Leg.RELAY,
        kind="delivery.attempted",
        verdict=Verdict.DELIVERED,
        from_party="NL/ENE",
        to_party="nl/msp",
        module="tokens",
    )
    return replace(made, **changes)


def some_outcomes(count: int) -> Sequence[Outcome]:
    return [an_outcome(at=NOW_MS + number) for number in range(count)]


async def test_a_message_becomes_a_story_in_order(rig: Rig) -> None:
    accepted = an_outcome(NOW_MS, leg=Leg.INGRESS, kind="push.accepted", verdict=Verdict.ACCEPTED)
    first, second = an_outcome(NOW_MS + 5), an_outcome(NOW_MS + 9, verdict=Verdict.SILENT)
    await rig.tell(second, first, accepted)

    async with rig.ledger():
        await rig.until_caught_up()
    story = await show_exchange(rig.store, "corr")

    assert isinstance(story, Story)
    assert [step.verdict for step in story.steps] == ["accepted", "delivered", "silent"]


async def test_records_that_come_again_are_neither_written_nor_counted_twice(rig: Rig) -> None:
    told = some_outcomes(300)
    await rig.tell(*told)
    async with rig.ledger():
        await rig.until_caught_up()

    await rig.tell(*told[100:200], an_outcome(), *told[:10])
    async with rig.ledger():
        await rig.until_caught_up()

    assert await rig.value("select count(*) from exchange") == 301
    assert await rig.value("select sum(count) from exchange_rollup") == 301


async def test_a_ledger_that_starts_from_the_beginning_again_changes_nothing(rig: Rig) -> None:
    await rig.tell(*some_outcomes(50))
    async with rig.ledger():
        await rig.until_caught_up()

    await _forget_positions(rig)
    async with rig.ledger():
        await rig.until_caught_up()

    assert await rig.value("select count(*) from exchange") == 50
    assert await rig.value("select sum(count) from exchange_rollup") == 50


async def test_ledgers_that_come_and_go_write_everything_once(rig: Rig) -> None:
    async with rig.ledger():
        await rig.tell(*some_outcomes(200))
        async with rig.ledger():
            await rig.tell(*some_outcomes(200))
        await rig.tell(*some_outcomes(200))
        await rig.until_caught_up()

    assert await rig.value("select count(*) from exchange") == 600
    assert await rig.value("select sum(count) from exchange_rollup") == 600


async def test_bad_records_are_buried_alone_and_all_others_written(rig: Rig) -> None:
    bad = [
        b"not json",
        b"{}",
        encode_outcomes([an_outcome(outcome_id="no uuid")]),
        encode_outcomes([an_outcome(detail="\0")]),
    ]
    good = [encode_outcomes([outcome]) for outcome in some_outcomes(20)]
    await rig.tell_raw(*good[:5], bad[0], *good[5:10], bad[1], bad[2], *good[10:15], bad[3], *good[15:])

    async with rig.ledger():
        await rig.until_caught_up()

    assert await rig.value("select count(*) from exchange") == 20
    buried = await _dead_letters(rig, len(bad))
    assert [value for value, _ in buried] == bad
    assert [headers["source-offset"] for _, headers in buried] == ["5", "11", "12", "18"]
    assert all(headers["error"] and headers["source"] == rig.topics.name(OUTCOMES) for _, headers in buried)


async def test_outcomes_that_share_a_record_are_each_written_once_and_a_bad_one_buries_the_record_once(
    rig: Rig,
) -> None:
    told = some_outcomes(20)
    bad = [an_outcome(detail="\0"), an_outcome(outcome_id="no uuid"), an_outcome(at=2**62)]
    records = [encode_outcomes(told[:12]), encode_outcomes([told[12], *bad, *told[13:]]), encode_outcomes(told[:3])]
    await rig.tell_raw(*records)

    async with rig.ledger():
        await rig.until_caught_up()

    assert await rig.value("select count(*) from exchange") == 20
    assert await rig.value("select sum(count) from exchange_rollup") == 20
    assert [value for value, _ in await _dead_letters(rig, 1)] == [records[1]]


async def test_an_outcome_that_cannot_be_read_buries_its_record_once_and_the_others_are_written(rig: Rig) -> None:
    told = some_outcomes(6)
    whole = encode_outcomes(told[:5])
    broken = whole.replace(told[2].outcome_id.encode(), b"\xff")
    await rig.tell_raw(broken, encode_outcomes(told[5:]))

    async with rig.ledger():
        await rig.until_caught_up()

    assert await rig.value("select count(*) from exchange") == 5
    assert [value for value, _ in await _dead_letters(rig, 1)] == [broken]


def test_records_that_wait_are_bounded_also_when_they_are_empty() -> None:
    empty = Record("outcomes", 0, 0, 0, None, (), b"")

    assert room_of(empty) > 0
    assert room_of(empty._replace(key=b"k" * 1000, headers=(("h", b"v" * 1000),), value=b"x" * 1000)) > 3000


async def test_nothing_is_committed_that_the_database_does_not_hold_and_writing_goes_on_by_itself(rig: Rig) -> None:
    async with rig.store.connection() as connection:
        await connection.execute("alter table exchange rename to away")
    await rig.tell(*some_outcomes(3))

    with structlog.testing.capture_logs() as events:
        async with rig.ledger():
            await eventually(lambda: _has(events, "outcomes.not_written"), within_s=30)
            assert not await rig.is_caught_up()
            async with rig.store.connection() as connection:
                await connection.execute("alter table away rename to exchange")
            await rig.until_caught_up()

    assert await rig.value("select count(*) from exchange") == 3


async def test_days_are_made_ahead_and_dropped_after_retention(rig: Rig) -> None:
    today = datetime.now(UTC).date()
    await rig.tell(an_outcome())
    async with rig.ledger():
        await rig.until_caught_up()

    assert await rig.value(f"select count(*) from exchange_{today:%Y%m%d}") == 1
    assert await rig.value(f"select count(*) from exchange_{today + timedelta(days=3):%Y%m%d}") == 0

    await keep_days(rig.store, today + timedelta(days=31), 30)

    assert await rig.value("select count(*) from exchange") == 0
    assert await rig.value(f"select (to_regclass('exchange_{today:%Y%m%d}') is null)::int") == 1


async def test_routes_that_ran_out_are_forgotten(rig: Rig) -> None:
    columns = "kind, key, owner_country_code, owner_party_id, expires_at"
    route = f"insert into route ({columns}) values ('session', $1, 'NL', 'CPO', $2)"
    now = datetime.now(UTC)
    async with rig.store.connection() as connection:
        await connection.execute(route, "OLD", now - timedelta(days=1))
        await connection.execute(route, "NEW", now + timedelta(days=1))

    async with rig.ledger():
        await rig.tell(an_outcome())
        await rig.until_caught_up()

    assert await rig.value("select count(*) from route") == 1
    assert await rig.value("select count(*) from route where key = 'NEW'") == 1


async def test_sessions_and_cdrs_are_deleted_400_days_after_their_own_clock(rig: Rig, database_url: str) -> None:
    platform_id = await add_platform(database_url, "EMSP DE/MS1")
    now = datetime.now(UTC)

    def a_push(module: str, object_id: str, days: int, *, is_patch: bool = False) -> DirectedPush:
        key = DirectedKey(platform_id, PartyId("DE", "MS1"), module, PartyId("NL", "CPO"), object_id)
        return DirectedPush(key, is_patch, b"{}", now - timedelta(days=days))

    old = [a_push("cdrs", "C1", 401), a_push("sessions", "S1", 500), a_push("sessions", "S2", 401, is_patch=True)]
    assert await store_pushes(rig.store, [*old, a_push("cdrs", "C2", 399), a_push("sessions", "S3", 0)]) == {}

    async def two_are_left() -> bool:
        return await rig.value("select count(*) from directed") == 2

    async with rig.ledger():
        await eventually(two_are_left, within_s=30)

    assert await rig.value("select count(*) from directed where object_id in ('C2', 'S3')") == 2


async def test_rows_without_a_day_wait_and_move_when_it_is_made(store: Store) -> None:
    today = datetime.now(UTC).date()
    early, old = an_outcome(), an_outcome(int((datetime.now(UTC) - timedelta(days=40)).timestamp() * 1000))
    async with store.transaction() as connection:
        await add_outcomes(connection, [row_of(early), row_of(old)])

    for _ in range(2):
        await keep_days(store, today, 30)

    async with store.connection() as connection:
        assert await connection.fetchval("select count(*) from exchange_default") == 0
        assert await connection.fetchval(f"select count(*) from exchange_{today:%Y%m%d}") == 1
        assert await connection.fetchval("select count(*) from exchange") == 1


async def _has(events: Sequence[MutableMapping[str, object]], name: str) -> bool:
    return any(event["event"] == name for event in events)


async def _forget_positions(rig: Rig) -> None:
    """As after a crash before any commit: everything comes again."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=rig.bootstrap, group_id=rig.topics.group("ledger"), enable_auto_commit=False
    )
    await consumer.start()
    try:
        topic = rig.topics.name(OUTCOMES)
        partitions = [TopicPartition(topic, number) for number in range(rig.topics.partitions(OUTCOMES))]
        consumer.assign(partitions)
        await consumer.commit(dict.fromkeys(partitions, 0))
    finally:
        await consumer.stop()


async def _dead_letters(rig: Rig, count: int) -> list[tuple[bytes, dict[str, str]]]:
    topic = rig.topics.name(DEAD_LETTERS)
    consumer = AIOKafkaConsumer(bootstrap_servers=rig.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(rig.topics.partitions(DEAD_LETTERS))])
        async with asyncio.timeout(10):
            found = [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()
    letters = [(record.value, {name: value.decode() for name, value in record.headers}) for record in found]
    return sorted(letters, key=lambda letter: int(letter[1]["source-offset"]))
