"""A batch reaches its handler in the very step in which it was fetched: no rebalance can come between."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from hub.messaging.broker import BatchConsumer
from hub.messaging.producer import Producer
from hub.messaging.records import Record
from hub.messaging.topics import PUSHES, Topics
from tests.integration.partner_rig import eventually


async def test_nothing_else_runs_between_the_fetch_of_a_batch_and_its_handler(
    kafka_bootstrap: str, topics: Topics
) -> None:
    steps: list[str] = []

    async def handle(records: Sequence[Record]) -> None:
        steps.append("handled")

    topic = topics.name(PUSHES)
    consumer = BatchConsumer(bootstrap=kafka_bootstrap, topic=topic, group=topics.group("steps"), handle=handle)
    await consumer.start()
    fetcher: Any = consumer._consumer
    fetch = fetcher.getmany

    async def watched(*arguments: Any, **options: Any) -> Any:
        found = await fetch(*arguments, **options)
        if found:
            steps.append("fetched")
            asyncio.get_running_loop().call_soon(steps.append, "something else")
        return found

    async def is_handled() -> bool:
        return "handled" in steps

    fetcher.getmany = watched
    producer = Producer.durable(kafka_bootstrap)
    await producer.start()
    try:
        await producer.send(topic, value=b"{}", timeout=10)
        await eventually(is_handled, 20)
    finally:
        await producer.stop()
        await consumer.stop()

    assert steps[:2] == ["fetched", "handled"]


async def test_records_larger_than_what_is_fetched_of_a_partition_at_once_come_too(
    kafka_bootstrap: str, topics: Topics
) -> None:
    sizes: list[int] = []

    async def handle(records: Sequence[Record]) -> None:
        sizes.extend(len(record.value or b"") for record in records)

    topic, largest = topics.name(PUSHES), 8 * 2**20
    producer = Producer.durable(kafka_bootstrap)
    await producer.start()
    for number in range(40):
        body = os.urandom(largest if number % 10 == 5 else 100_000)
        await producer.send(topic, value=body, key=str(number).encode(), timeout=20)
    consumer = BatchConsumer(bootstrap=kafka_bootstrap, topic=topic, group=topics.group("large"), handle=handle)
    await consumer.start()

    async def is_read() -> bool:
        return len(sizes) == 40

    try:
        await eventually(is_read, 30)
    finally:
        await producer.stop()
        await consumer.stop()

    assert sorted(sizes)[-4:] == [largest] * 4
