"""Request and reply over the log: the ingress asks, a relay answers, matched by a nonce that the hub makes.

The reply partition belongs to this process for its life; two processes that share one only read each other's replies in
vain. A failure to produce is reported only after `start_by`, since the record may still be on its way: after that moment no
relay begins the call (at most once, and never after the caller was told that it failed). What was never handed over is reported
at once, or at `start_by` where it waited for room until then.
"""

import asyncio
import contextlib
import time
from typing import Any, Final
from zlib import crc32

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from hub.errors import LogUnavailable, UndecodableRecord
from hub.messaging.codec import decode_reply, encode
from hub.messaging.producer import Producer
from hub.messaging.records import LARGEST_FETCH_BYTES
from hub.messaging.topics import BULK_REPLIES, BULK_REQUESTS, REPLIES, REQUESTS, Topics, TopicSpec
from hub.model.envelope import Envelope, Reply
from hub.telemetry import ANSWERS_WAITED_FOR, get_logger

log = get_logger(__name__)

_RETRY_SECONDS: Final = 0.5


class TooManyWaiting(Exception):
    """As many callers wait already as this process holds."""


class Rpc:
    """Calls a relay through `ocpi.requests` and waits for its reply, or through the bulk topics for lists."""

    def __init__(self, bootstrap: str, topics: Topics, producer: Producer, *, slot: int, most_waiting: int) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._producer = producer
        self._slot = slot
        self._most_waiting = most_waiting
        self._waiting: dict[str, asyncio.Future[Reply | None]] = {}
        self._consumers: list[AIOKafkaConsumer] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take the reply partitions and stand at their ends; only then may a request go out.

        Raises:
            LogUnavailable: the broker does not answer.
        """
        for spec in (REPLIES, BULK_REPLIES):
            consumer = await self._at_the_end(spec)
            self._consumers.append(consumer)
            self._tasks.append(asyncio.create_task(self._read(consumer), name=f"replies {spec.name}"))

    async def stop(self) -> None:
        """Stop reading; callers that still wait get nothing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for consumer in self._consumers:
            with contextlib.suppress(KafkaError):
                await consumer.stop()

    def reply_partition(self, *, bulk: bool) -> int:
        """The partition in which this process waits for replies."""
        return self._slot % self._topics.partitions(BULK_REPLIES if bulk else REPLIES)

    @property
    def waiting(self) -> int:
        """Callers that wait now."""
        return len(self._waiting)

    async def call(self, envelope: Envelope, *, key: bytes, bulk: bool) -> Reply | None:
        """Send a request and wait for its reply until its deadline; None when there was none.

        Raises:
            TooManyWaiting: the bound on waiting callers is reached; nothing was sent.
            LogUnavailable: Kafka did not take the request; no relay will begin it any more.
        """
        if len(self._waiting) >= self._most_waiting:
            raise TooManyWaiting
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply | None] = loop.create_future()
        self._waiting[envelope.nonce] = future
        ANSWERS_WAITED_FOR.inc()
        timers: list[asyncio.TimerHandle] = []
        try:
            sent = await self._produce(envelope, key, bulk)
            timers += (
                loop.call_later(_seconds_until(envelope.start_by), _expect_sent, sent, future),
                loop.call_later(_seconds_until(envelope.deadline), _give_up, future),
            )
            return await future
        finally:
            for timer in timers:
                timer.cancel()
            del self._waiting[envelope.nonce]
            ANSWERS_WAITED_FOR.dec()

    async def _produce(self, envelope: Envelope, key: bytes, bulk: bool) -> "asyncio.Future[Any]":
        """Hand the request over; its reply tells sooner than the broker's own word that it was taken.

        Raises:
            LogUnavailable: it could not be handed over by `start_by`. What is given up before that is never sent.
        """
        spec = BULK_REQUESTS if bulk else REQUESTS
        try:
            async with asyncio.timeout(_seconds_until(envelope.start_by)):
                return await self._producer.begin(
                    self._topics.name(spec),
                    value=envelope.body,
                    key=key,
                    partition=crc32(key) % self._topics.partitions(spec),
                    headers=encode(envelope),
                )
        except TimeoutError as error:
            raise LogUnavailable("Kafka took no request in time") from error

    async def _at_the_end(self, spec: TopicSpec) -> AIOKafkaConsumer:
        partition = TopicPartition(self._topics.name(spec), self._slot % self._topics.partitions(spec))
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            max_partition_fetch_bytes=LARGEST_FETCH_BYTES,
        )
        try:
            await consumer.start()
            consumer.assign([partition])
            await consumer.seek_to_end(partition)
            await consumer.position(partition)
        except (KafkaError, OSError) as error:
            await consumer.stop()
            raise LogUnavailable(f"Kafka at {self._bootstrap}: {error}") from error
        return consumer

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=1_000)
            except Exception as error:
                log.warning("replies.not_read", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for records in batches.values():
                for record in records:
                    self._match(record)

    def _match(self, record: Any) -> None:
        try:
            reply = decode_reply(record.headers, record.value or b"")
        except UndecodableRecord as error:
            log.warning("reply.undecodable", error=str(error))
            return
        future = self._waiting.get(reply.nonce)
        if future is not None and not future.done():
            future.set_result(reply)


def _expect_sent(sent: "asyncio.Future[Any]", future: "asyncio.Future[Reply | None]") -> None:
    """At `start_by`: a request that the broker does not hold by now is never begun."""
    if not future.done() and (not sent.done() or sent.cancelled() or sent.exception() is not None):
        future.set_exception(LogUnavailable("Kafka did not acknowledge the request in time"))


def _give_up(future: "asyncio.Future[Reply | None]") -> None:
    """At the deadline."""
    if not future.done():
        future.set_result(None)


def _seconds_until(moment_ms: int) -> float:
    return max(0.0, moment_ms / 1000 - time.time())
