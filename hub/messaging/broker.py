"""Producers and batch consumers; the only module that knows FastStream.

FastStream's batch subscriber is used raw: its parser is replaced by one that cannot raise (its own decodes every header as
UTF-8 and loses the batch on one other byte), its decoder by none, its acknowledgement is manual and its logger is off (one line
per batch cost two fifths of the throughput). A handler must not raise and must not block for long.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)
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
FETCH_TIMEOUT_MS: Final = 1_000
COMMIT_SECONDS: Final = 5.0
LARGEST_FETCH_BYTES: Final = 17 * 2**20
_HANDLER_SECONDS: Final = 5.0
_LEAVE_SECONDS: Final = 5.0

Membership = tuple[str, int]
"""Member id and generation."""
Handler = Callable[[Sequence[Record]], Awaitable[None]]
AssignmentListener = Callable[[frozenset[int]], None]


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
            max_partition_fetch_bytes=LARGEST_FETCH_BYTES,
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
        consumer = self._consumer
        if consumer is None:
            return False
        coordinator = consumer._coordinator
        offsets = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, "")
            for partition, offset in next_offsets.items()
        }
        try:
            async with asyncio.timeout(COMMIT_SECONDS), coordinator._commit_lock:
                if self.membership != membership:
                    return False
                await coordinator._do_commit_offsets(None, offsets)
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets.not_committed", topic=self._topic, error=repr(error))
            return False
        return True

    async def commit(self, next_offsets: Mapping[int, int]) -> bool:
        """Commit per partition the offset to read next; False when it did not happen (not ours any more, or Kafka away)."""
        offsets = {TopicPartition(self._topic, partition): offset for partition, offset in next_offsets.items()}
        consumer = self._consumer
        if not offsets:
            return True
        if consumer is None or not self.assigned.issuperset(next_offsets):
            return False
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(offsets)
        except (KafkaError, ConsumerStoppedError, TimeoutError) as error:
            log.warning("offsets.not_committed", topic=self._topic, error=repr(error))
            return False
        return True

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


def _is_beyond_repair(error: KafkaError) -> bool:
    """Whether the producer, and not only this record, is lost."""
    return not error.retriable and not isinstance(error, MessageSizeTooLargeError)


def _look_at(future: "asyncio.Future[Any]") -> None:
    """Whoever stopped waiting for it does not care how it ended."""
    if not future.cancelled():
        future.exception()


async def _parse(message: Any) -> KafkaMessage:
    return KafkaMessage(raw_message=message, body=b"", consumer=None)  # type: ignore[arg-type]


async def _decode(message: KafkaMessage) -> list[Record]:
    return [
        Record(
            entry.topic, entry.partition, entry.offset, entry.timestamp, entry.key, entry.headers, entry.value or b""
        )
        for entry in message.raw_message
    ]


class Producer:
    """Sends records, and says within a bound whether the broker holds them.

    aiokafka's own waits are not bounded in every case, so each send is; a producer that failed for good is replaced.
    """

    def __init__(self, bootstrap: str, options: Mapping[str, Any]) -> None:
        self._bootstrap = bootstrap
        self._options = dict(options)
        self._producer: AIOKafkaProducer | None = None
        self._is_wanted = False
        self._restart = asyncio.Lock()

    @classmethod
    def durable(cls, bootstrap: str) -> "Producer":
        """For pushes and outcomes: returns when every in-sync replica holds the record."""
        return cls(
            bootstrap,
            {
                "acks": "all",
                "enable_idempotence": True,
                "compression_type": "zstd",
                "max_batch_size": 262_144,
                "linger_ms": 1,
                "max_request_size": LARGEST_FETCH_BYTES,
                "request_timeout_ms": 10_000,
            },
        )

    @classmethod
    def swift(cls, bootstrap: str) -> "Producer":
        """For requests and replies: returns when the leader has the record."""
        return cls(
            bootstrap,
            {
                "acks": 1,
                "max_batch_size": 262_144,
                "linger_ms": 0,
                "max_request_size": LARGEST_FETCH_BYTES,
                "request_timeout_ms": 5_000,
            },
        )

    async def start(self) -> None:
        """Connect.

        Raises:
            LogUnavailable: the broker does not answer.
        """
        self._is_wanted = True
        await self._connect()

    async def stop(self) -> None:
        """Send what is buffered, for a few seconds at most, and disconnect."""
        self._is_wanted = False
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(5):
                    await producer.stop()

    async def send(
        self,
        topic: str,
        *,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timeout: float,
    ) -> None:
        """Send one record and wait until it is acknowledged.

        Raises:
            LogUnavailable: it was not acknowledged within `timeout` seconds. It may still arrive later.
        """
        producer = None
        try:
            async with asyncio.timeout(timeout):
                producer = await self._connected()
                acknowledged = await producer.send(topic, value, key=key, headers=headers, partition=partition)
                await asyncio.shield(acknowledged)
        except (TimeoutError, KafkaTimeoutError) as error:
            raise LogUnavailable(f"Kafka did not acknowledge within {timeout:.1f} s") from error
        except KafkaError as error:
            if _is_beyond_repair(error):
                await self._replace(producer)
            raise LogUnavailable(f"Kafka: {error!r}") from error

    async def send_all(self, topic: str, records: Iterable[tuple[bytes, bytes]], *, timeout: float) -> list[bool]:
        """Send many records, each a key and a value, at a fraction of the cost of single ones.

        Returns which of them were acknowledged within `timeout` seconds; the others may still arrive later.
        """
        producer = None
        sent: list[asyncio.Future[Any]] = []
        records = list(records)
        if not records:
            return []
        try:
            async with asyncio.timeout(timeout):
                producer = await self._connected()
                for key, value in records:
                    sent.append(await producer.send(topic, value, key=key))
                    sent[-1].add_done_callback(_look_at)
                await asyncio.wait(sent)
        except (TimeoutError, KafkaError, LogUnavailable) as error:
            log.warning("records.not_sent", topic=topic, count=len(records) - len(sent), error=repr(error))
        errors = [future.exception() if future.done() else TimeoutError() for future in sent]
        if any(isinstance(error, KafkaError) and _is_beyond_repair(error) for error in errors):
            await self._replace(producer)
        return [error is None for error in errors] + [False] * (len(records) - len(sent))

    async def _connect(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, **self._options)
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await producer.stop()
            raise LogUnavailable(f"Kafka at {self._bootstrap}: {error}") from error
        except asyncio.CancelledError:
            await producer.stop()
            raise
        self._producer = producer

    async def _connected(self) -> AIOKafkaProducer:
        """The producer; one that had to be given up while the broker was away is made anew."""
        if self._producer is None:
            async with self._restart:
                if not self._is_wanted:
                    raise LogUnavailable("the Kafka producer is not connected")
                if self._producer is None:
                    await self._connect()
        return self._producer

    async def _replace(self, broken: Any) -> None:
        async with self._restart:
            producer = self._producer
            if producer is None or producer is not broken:
                return
            log.warning("producer.replaced", bootstrap=self._bootstrap)
            self._producer = None
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(1):
                    await producer.stop()
            with contextlib.suppress(LogUnavailable):
                await self._connect()
