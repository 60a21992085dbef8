"""A batch reaches its handler in the very step in which it was fetched: no rebalance can come between."""

import asyncio
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
