"""The producer recovers in place, and says of many records which ones the log holds."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OutOfOrderSequenceNumber

from hub.errors import LogUnavailable
from hub.messaging.producer import Producer
from hub.messaging.topics import DEAD_LETTERS, Topics

SECONDS = 10.0


@pytest.fixture
async def producer(kafka_bootstrap: str) -> AsyncIterator[Producer]:
    made = Producer.durable(kafka_bootstrap)
    await made.start()
    yield made
    await made.stop()


def break_for_good(producer: Producer) -> None:
    """What aiokafka does to an idempotent producer whose sequence the broker does not accept."""
    assert producer._producer is not None
    producer._producer._message_accumulator.fail_all(OutOfOrderSequenceNumber())


async def read(bootstrap: str, topics: Topics, count: int) -> list[bytes]:
    partitions = [
        TopicPartition(topics.name(DEAD_LETTERS), number) for number in range(topics.partitions(DEAD_LETTERS))
    ]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[bytes] = []
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [record.value for record in records]
        return found
    finally:
        await consumer.stop()


async def test_a_producer_that_failed_for_good_is_replaced(
    producer: Producer, kafka_bootstrap: str, topics: Topics
) -> None:
    topic = topics.name(DEAD_LETTERS)
    break_for_good(producer)

    with pytest.raises(LogUnavailable):
        await producer.send(topic, value=b"lost", timeout=SECONDS)
    await producer.send(topic, value=b"held", timeout=SECONDS)

    assert await read(kafka_bootstrap, topics, 1) == [b"held"]


async def test_a_producer_that_could_not_be_replaced_at_once_tries_again_at_the_next_record(
    producer: Producer, kafka_bootstrap: str, topics: Topics
) -> None:
    topic = topics.name(DEAD_LETTERS)
    producer._bootstrap = "127.0.0.1:1"
    break_for_good(producer)
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await producer.send(topic, value=b"lost", timeout=SECONDS)

    producer._bootstrap = kafka_bootstrap
    await producer.send(topic, value=b"held", timeout=SECONDS)

    assert await read(kafka_bootstrap, topics, 1) == [b"held"]


async def test_many_records_are_sent_at_once_and_none_is_taken_for_sent_when_the_log_is_away(
    producer: Producer, kafka_bootstrap: str, topics: Topics
) -> None:
    topic = topics.name(DEAD_LETTERS)
    records = [(b"key", b"%d" % number) for number in range(300)]

    assert await producer.send_all(topic, records, timeout=SECONDS) == [True] * 300
    assert await read(kafka_bootstrap, topics, 300) == [value for _, value in records]
    assert await producer.send_all(topic, [], timeout=SECONDS) == []

    await producer.stop()
    assert await producer.send_all(topic, records, timeout=SECONDS) == [False] * 300
