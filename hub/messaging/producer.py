"""Producers: one for what must not be lost, one for what must be quick."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from hub.errors import LogUnavailable
from hub.messaging.records import LARGEST_FETCH_BYTES
from hub.telemetry import get_logger

log = get_logger(__name__)

_CONNECT_SECONDS: Final = 3.0


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
        self._repairs: set[asyncio.Task[None]] = set()

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

    async def begin(
        self,
        topic: str,
        *,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> "asyncio.Future[Any]":
        """Hand over one record; the future tells whether the broker holds it, and nobody need look at it.

        It waits for room, and for a producer that is made anew, for a few seconds at most.

        Raises:
            LogUnavailable: it could not be handed over.
        """
        producer = self._producer or await self._connected_in_time()
        try:
            acknowledged: asyncio.Future[Any] = await producer.send(
                topic, value, key=key, headers=headers, partition=partition
            )
        except KafkaError as error:
            if _is_beyond_repair(error):
                await self._replace(producer)
            raise LogUnavailable(f"Kafka: {error!r}") from error
        acknowledged.add_done_callback(partial(self._look, producer))
        return acknowledged

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
        try:
            async with asyncio.timeout(timeout):
                await (await self.begin(topic, value=value, key=key, headers=headers, partition=partition))
        except (TimeoutError, KafkaTimeoutError) as error:
            raise LogUnavailable(f"Kafka did not acknowledge within {timeout:.1f} s") from error
        except KafkaError as error:
            raise LogUnavailable(f"Kafka: {error!r}") from error

    async def send_all(self, topic: str, records: Iterable[tuple[bytes, bytes]], *, timeout: float) -> list[bool]:
        """Send many records, each a key and a value, at a fraction of the cost of single ones.

        Returns which of them were acknowledged within `timeout` seconds; the others may still arrive later.
        """
        sent: list[asyncio.Future[Any]] = []
        records = list(records)
        if not records:
            return []
        try:
            async with asyncio.timeout(timeout):
                for key, value in records:
                    sent.append(await self.begin(topic, value=value, key=key))
                await asyncio.wait(sent)
        except (TimeoutError, LogUnavailable) as error:
            log.warning("records.not_sent", topic=topic, count=len(records) - len(sent), error=repr(error))
        held = [future.done() and future.exception() is None for future in sent]
        return held + [False] * (len(records) - len(sent))

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

    async def _connected_in_time(self) -> AIOKafkaProducer:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await self._connected()
        except TimeoutError as error:
            raise LogUnavailable("the Kafka producer is not connected") from error

    async def _connected(self) -> AIOKafkaProducer:
        """The producer; one that had to be given up while the broker was away is made anew."""
        if self._producer is None:
            async with self._restart:
                if not self._is_wanted:
                    raise LogUnavailable("the Kafka producer is not connected")
                if self._producer is None:
                    await self._connect()
        return self._producer

    def _look(self, producer: AIOKafkaProducer, sent: "asyncio.Future[Any]") -> None:
        """Replace a producer that failed for good, whether or not somebody waits for the record that showed it."""
        error = None if sent.cancelled() else sent.exception()
        if error is not None and producer is self._producer and _is_beyond_repair(error):
            task = asyncio.create_task(self._replace(producer))
            self._repairs.add(task)
            task.add_done_callback(self._repairs.discard)

    async def _replace(self, broken: AIOKafkaProducer) -> None:
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


def _is_beyond_repair(error: BaseException) -> bool:
    """Whether the producer, and not only this record, is lost."""
    return isinstance(error, KafkaError) and not error.retriable and not isinstance(error, MessageSizeTooLargeError)
