"""Where records go that nobody can understand: whole, with the error and their place in the headers.

Workers bury them; operators read them here, without a group, so reading moves no position. A worker that dies between the
burial and its commit buries a record twice: two letters with one source.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from hub.errors import LogUnavailable
from hub.messaging.producer import Producer
from hub.messaging.records import Record
from hub.messaging.topic_ids import topic_id
from hub.messaging.topics import DEAD_LETTERS, Topics
from hub.telemetry import DEAD_LETTERS_WRITTEN, get_logger

log = get_logger(__name__)

_SEND_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0
_OPEN_SECONDS: Final = 8.0
_FETCH_MS: Final = 500
_FETCH_RECORDS: Final = 200
_ORIGIN: Final = ("error", "source", "source-partition", "source-offset")

Header = tuple[str, bytes]


class LetterPlace(NamedTuple):
    """Where a letter lies among the dead letters. Written `3/17`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"


class Source(NamedTuple):
    """The place in the log from which a record was buried."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `headers` are the record's own; `source` is None where nobody of ours has buried it.

    `size` is that of the record's value; `value` is empty where only the letters' envelopes were asked for.
    """

    place: LetterPlace
    at: datetime
    error: str
    source: Source | None
    key: bytes | None
    headers: tuple[Header, ...]
    size: int
    value: bytes = b""


async def bury(producer: Producer, topics: Topics, record: Record, error: Exception) -> None:
    """Write a record to the dead letters; waits for the log as long as it takes, since nothing may be dropped."""
    source = Source(record.topic, record.partition, record.offset)
    origin = zip(_ORIGIN, (str(error), record.topic, str(record.partition), str(record.offset)), strict=True)
    headers = [*record.headers, *((name, text.encode()) for name, text in origin)]
    while True:
        try:
            await producer.send(
                topics.name(DEAD_LETTERS), value=record.value, key=record.key, headers=headers, timeout=_SEND_SECONDS
            )
        except LogUnavailable as away:
            log.warning("dead_letter.delayed", source=str(source), error=str(away))
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            break
    DEAD_LETTERS_WRITTEN.labels(record.topic).inc()
    log.error("record.undecodable", source=str(source), error=str(error))


async def put_back(producer: Producer, letter: Letter) -> None:
    """Append a letter's record, as it was, to the topic and partition that it came from.

    Raises:
        LogUnavailable: it was not acknowledged in time; it may still arrive.
    """
    assert letter.source is not None, "nobody knows where it came from"
    await producer.send(
        letter.source.topic,
        value=letter.value,
        key=letter.key,
        headers=list(letter.headers),
        partition=letter.source.partition,
        timeout=_SEND_SECONDS,
    )


class DeadLetters:
    """The dead letters as they lay when this was opened. `epoch` is the topic's id, `spans` the offsets kept per partition."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, epoch: str, spans: Mapping[int, range]) -> None:
        self._consumer = consumer
        self._topic = topic
        self.epoch = epoch
        self.spans = spans

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(len(span) for span in self.spans.values())

    async def read(self, place: LetterPlace) -> Letter | None:
        """One letter, whole; None when none lies there.

        Raises:
            LogUnavailable: the broker did not hand it out in time.
        """
        if place.offset not in self.spans.get(place.partition, ()):
            return None
        wanted = {place.partition: range(place.offset, place.offset + 1)}
        found, is_whole = await self._scan(wanted, until=time.monotonic() + _OPEN_SECONDS, with_values=True)
        if not found and not is_whole:
            raise LogUnavailable(f"Kafka did not hand out dead letter {place} within {_OPEN_SECONDS:.0f} s")
        return found[0] if found else None

    async def scan(self, wanted: Mapping[int, range], *, until: float) -> tuple[list[Letter], bool]:
        """The letters of these stretches without their values, in no order; False when it was not all read by `until`.

        `until` is monotonic seconds.

        Raises:
            LogUnavailable: the broker went away.
        """
        return await self._scan(wanted, until=until, with_values=False)

    async def _scan(self, wanted: Mapping[int, range], *, until: float, with_values: bool) -> tuple[list[Letter], bool]:
        ends = {TopicPartition(self._topic, number): span.stop for number, span in wanted.items() if span}
        found: list[Letter] = []
        self._consumer.assign(list(ends))
        for entry in ends:
            self._consumer.seek(entry, wanted[entry.partition].start)
        while ends and time.monotonic() < until:
            for entry, records in (await self._fetch(list(ends))).items():
                letters = (_letter(record) for record in records if record.offset < ends[entry])
                found += letters if with_values else (replace(letter, value=b"") for letter in letters)
            ends = {entry: end for entry, end in ends.items() if await self._reached(entry) < end}
        return found, not ends

    async def _fetch(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, list[Any]]:
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                got: Mapping[TopicPartition, list[Any]] = await self._consumer.getmany(
                    *partitions, timeout_ms=_FETCH_MS, max_records=_FETCH_RECORDS
                )
        except (KafkaError, OSError, TimeoutError) as error:
            raise LogUnavailable(f"Kafka: {error!r}") from error
        return got

    async def _reached(self, partition: TopicPartition) -> int:
        """The offset to be read next; behind letters that expired meanwhile."""
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                offset: int = await self._consumer.position(partition)
        except (KafkaError, OSError, TimeoutError) as error:
            raise LogUnavailable(f"Kafka: {error!r}") from error
        return offset


@contextlib.asynccontextmanager
async def open_dead_letters(bootstrap: str, topics: Topics) -> AsyncIterator[DeadLetters]:
    """Open the dead letters for reading; nothing is committed anywhere.

    Raises:
        LogUnavailable: the broker does not answer in time.
    """
    topic = topics.name(DEAD_LETTERS)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await consumer.start()
                partitions = [TopicPartition(topic, number) for number in range(topics.partitions(DEAD_LETTERS))]
                begins = await consumer.beginning_offsets(partitions)
                ends = await consumer.end_offsets(partitions)
                epoch = await topic_id(bootstrap, topic)
        except (KafkaError, OSError, TimeoutError) as error:
            raise LogUnavailable(f"Kafka at {bootstrap}: {error!r}") from error
        spans = {entry.partition: range(begins[entry], ends[entry]) for entry in partitions}
        yield DeadLetters(consumer, topic, epoch, spans)
    finally:
        await consumer.stop()


def _letter(record: Any) -> Letter:
    headers: tuple[Header, ...] = tuple(record.headers)
    own, origin = headers[: -len(_ORIGIN)], dict(headers[-len(_ORIGIN) :])
    is_ours = tuple(name for name, _ in headers[-len(_ORIGIN) :]) == _ORIGIN
    error, source = _origin(origin) if is_ours else ("", None)
    value = record.value or b""
    return Letter(
        place=LetterPlace(record.partition, record.offset),
        at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        error=error,
        source=source,
        key=record.key,
        headers=own if is_ours else headers,
        size=len(value),
        value=value,
    )


def _origin(headers: Mapping[str, bytes]) -> tuple[str, Source | None]:
    error, topic, partition, offset = ((headers[name] or b"").decode(errors="backslashreplace") for name in _ORIGIN)
    if not (partition.isdecimal() and offset.isdecimal()):
        return error, None
    return error, Source(topic, int(partition), int(offset))
