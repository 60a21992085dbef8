"""Batch consumers; the only module that knows FastStream.

FastStream's batch subscriber is used raw: its parser is replaced by one that cannot raise (its own decodes every header as
UTF-8 and loses the batch on one other byte), its decoder by none, its acknowledgement is manual and its logger is off (one line
per batch cost two fifths of the throughput). A handler must not raise and must not block for long.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage

from hub.errors import LogUnavailable
from hub.messaging.records import Record
from hub.messaging.topic_ids import topic_id
from hub.telemetry import CONSUMED_OFFSET, CONSUMER_BEHIND, get_logger

log = get_logger(__name__)

HEARTBEAT_MS: Final = 1_000
SESSION_MS: Final = 6_000
_PARTITION_FETCH_BYTES: Final = 256 * 2**10
"""What waits here of a partition behind a pause, compressed. A larger record comes alone, never held back for its size."""
FETCH_TIMEOUT_MS: Final = 1_000
COMMIT_SECONDS: Final = 5.0
_HANDLER_SECONDS: Final = 5.0
_LEAVE_SECONDS: Final = 5.0

Membership = tuple[str, int]
"""Member id and generation."""
Handler = Callable[[Sequence[Record]], Awaitable[None]]
AssignmentListener = Callable[[frozenset[int]], None]
_Offsets = dict[TopicPartition, OffsetAndMetadata]


class BatchConsumer:
    """One member of a consumer group on one topic.

    `epoch` grows whenever partitions are taken away or given: work begun under another epoch is no longer ours.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        topic: str,
        group: str,
        handle: Handler,
        on_assigned: AssignmentListener | None = None,
        on_revoked: AssignmentListener | None = None,
        max_records: int = 500,
    ) -> None:
        self._topic = topic
        self._bootstrap = bootstrap
        self._handle = handle
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._max_records = max_records
        self._is_stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.epoch = 0
        self.assigned: frozenset[int] = frozenset()
        self._broker = KafkaBroker(
            bootstrap,
            logger=None,
            apply_types=False,
            allow_auto_create_topics=False,
            graceful_timeout=None,
            consumer_only=True,
        )
        self._subscriber = self._broker.subscriber(
            topic,
            group_id=group,
            batch=True,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=HEARTBEAT_MS,
            session_timeout_ms=SESSION_MS,
            max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
            listener=_Listener(self),
            parser=_parse,
            decoder=_decode,
        )
        self._subscriber.get_msg = self._fetch  # type: ignore[method-assign]
        self._subscriber(self._receive)

    async def _fetch(self, consumer: AIOKafkaConsumer) -> tuple[Any, ...]:
        """The next records, as soon as there are any.

        FastStream's own polls every few milliseconds and sleeps as long again when nothing came: a record waits for the end of
        that sleep, and an idle worker is woken 200 times a second.
        """
        found = await consumer.getmany(timeout_ms=FETCH_TIMEOUT_MS, max_records=self._max_records)
        for partition, records in found.items():
            place = self._topic, str(partition.partition)
            following = records[-1].offset + 1
            CONSUMED_OFFSET.labels(*place).set(following)
            CONSUMER_BEHIND.labels(*place).set((consumer.highwater(partition) or following) - following)
        return tuple(chain.from_iterable(found.values()))

    async def start(self) -> None:
        """Join the group; records begin to arrive.

        Raises:
            LogUnavailable: the broker does not answer.
        """
        try:
            await self._broker.start()
        except (KafkaError, OSError) as error:
            raise LogUnavailable(f"Kafka at {self._bootstrap}: {error}") from error

    async def stop(self) -> None:
        """Take no more records, let the handler end what it has, for a few seconds at most, and leave the group.

        Nothing is told about the partitions that are given up.
        """
        self._is_stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANDLER_SECONDS):
                await self._idle.wait()
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._broker.stop()
        except (TimeoutError, KafkaError) as error:
            log.warning("group.not_left", topic=self._topic, error=repr(error))

    async def log_epoch(self) -> str:
        """The topic's id on the broker: another id means another log, whose offsets begin anew."""
        return await topic_id(self._bootstrap, self._topic)

    @property
    def membership(self) -> Membership:
        """Who we are to the group; changes whenever it is joined anew."""
        coordinator = self._consumer._coordinator if self._consumer else None
        return (coordinator.member_id, coordinator.generation) if coordinator else ("", -1)

    async def commit_as(self, membership: Membership, next_offsets: Mapping[int, int]) -> bool:
        """Commit in one attempt and under this membership only, that in which the records were read.

        When it succeeded the records are ours for good: if their partitions are being taken away meanwhile, the next owner reads
        behind them. aiokafka's own commit repeats itself under whatever membership it finds, also one under which another
        member has begun to read them again.
        """

        async def once(consumer: AIOKafkaConsumer, offsets: _Offsets) -> bool:
            async with consumer._coordinator._commit_lock:
                if self.membership != membership:
                    return False
                await consumer._coordinator._do_commit_offsets(None, offsets)
                return True

        return await self._attempt(once, next_offsets)

    async def commit(self, next_offsets: Mapping[int, int]) -> bool:
        """Commit per partition the offset to read next; False when it did not happen (not ours any more, or Kafka away)."""
        if not next_offsets:
            return True
        if not self.assigned.issuperset(next_offsets):
            return False

        async def patiently(consumer: AIOKafkaConsumer, offsets: _Offsets) -> bool:
            await consumer.commit(offsets)
            return True

        return await self._attempt(patiently, next_offsets)

    async def _attempt(
        self, commit: Callable[[AIOKafkaConsumer, _Offsets], Awaitable[bool]], next_offsets: Mapping[int, int]
    ) -> bool:
        if self._consumer is None:
            return False
        offsets = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, "")
            for partition, offset in next_offsets.items()
        }
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                return await commit(self._consumer, offsets)
        except (KafkaError, ConsumerStoppedError, TimeoutError) as error:
            log.warning("offsets.not_committed", topic=self._topic, error=repr(error))
            return False

    def pause(self, partitions: Iterable[int]) -> None:
        """Fetch nothing more from these partitions until `resume`."""
        self._each(partitions, lambda consumer, partition: consumer.pause(partition))

    def resume(self, partitions: Iterable[int]) -> None:
        """Fetch from these partitions again."""
        self._each(partitions, lambda consumer, partition: consumer.resume(partition))

    def _each(self, partitions: Iterable[int], act: Callable[[AIOKafkaConsumer, TopicPartition], None]) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        for partition in self.assigned.intersection(partitions):
            with contextlib.suppress(IllegalStateError):
                act(consumer, TopicPartition(self._topic, partition))

    @property
    def _consumer(self) -> AIOKafkaConsumer | None:
        return self._subscriber.consumer

    async def _receive(self, records: Any) -> None:
        if self._is_stopping:
            return
        self._idle.clear()
        try:
            await self._handle(records)
        except Exception:
            log.exception("batch.failed", topic=self._topic)
        finally:
            self._idle.set()

    def given(self, partitions: frozenset[int]) -> None:
        """The group has given us exactly these partitions."""
        self.epoch += 1
        self.assigned = partitions
        if self._on_assigned:
            self._on_assigned(partitions)

    def taken(self, partitions: frozenset[int]) -> None:
        """These partitions are no longer ours, from this moment."""
        self.epoch += 1
        self.assigned -= partitions
        for lost in partitions:
            for gauge in (CONSUMED_OFFSET, CONSUMER_BEHIND):
                gauge.remove(self._topic, str(lost))
        if self._on_revoked:
            self._on_revoked(partitions)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, owner: BatchConsumer) -> None:
        self._owner = owner

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._owner.taken(frozenset(entry.partition for entry in revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._owner.given(frozenset(entry.partition for entry in assigned))


async def _parse(message: Any) -> KafkaMessage:
    return KafkaMessage(raw_message=message, body=b"", consumer=None)  # type: ignore[arg-type]


async def _decode(message: KafkaMessage) -> list[Record]:
    return [
        Record(
            entry.topic, entry.partition, entry.offset, entry.timestamp, entry.key, entry.headers, entry.value or b""
        )
        for entry in message.raw_message
    ]
