"""How far the workers' committed positions are behind the log.

For people: one hung receiver inflates it, so nothing scales on it.
"""

from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from hub.errors import LogUnavailable
from hub.messaging.topics import BULK_REQUESTS, OUTCOMES, PUSHES, REQUESTS, Topics

_CONSUMED: Final = (
    ("relay", f"relay-{REQUESTS.name}", REQUESTS),
    ("relay", f"relay-{BULK_REQUESTS.name}", BULK_REQUESTS),
    ("fanout", "fanout", PUSHES),
    ("ledger", "ledger", OUTCOMES),
)
_TIMEOUT_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Lag:
    """Records of one topic that a worker's group has not committed."""

    worker: str
    topic: str
    behind: int


async def measure_lag(bootstrap: str, topics: Topics) -> tuple[Lag, ...]:
    """The lag of every worker that reads the log.

    Raises:
        LogUnavailable: the broker does not answer.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, request_timeout_ms=_TIMEOUT_MS)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_TIMEOUT_MS)
    try:
        await consumer.start()
        await admin.start()
        found = []
        for worker, group, spec in _CONSUMED:
            partitions = [TopicPartition(topics.name(spec), number) for number in range(topics.partitions(spec))]
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.beginning_offsets(partitions)
            held = await admin.list_consumer_group_offsets(topics.group(group))
            behind = sum(ends[entry] - _position(held.get(entry), begins[entry]) for entry in partitions)
            found.append(Lag(worker, topics.name(spec), behind))
        return tuple(found)
    except (KafkaError, OSError) as error:
        raise LogUnavailable(f"Kafka at {bootstrap}: {error}") from error
    finally:
        await consumer.stop()
        await admin.close()


def _position(committed: object, beginning: int) -> int:
    offset = getattr(committed, "offset", -1)
    return max(int(offset), beginning)
