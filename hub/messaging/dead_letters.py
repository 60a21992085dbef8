"""Where records go that nobody can understand: whole, with the error and their place in the headers."""

import asyncio
from typing import Final

from hub.errors import LogUnavailable
from hub.messaging.broker import Producer
from hub.messaging.records import Record
from hub.messaging.topics import DEAD_LETTERS, Topics
from hub.telemetry import DEAD_LETTERS_WRITTEN, get_logger

log = get_logger(__name__)

_SEND_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0


async def bury(producer: Producer, topics: Topics, record: Record, error: Exception) -> None:
    """Write a record to the dead letters; waits for the log as long as it takes, since nothing may be dropped."""
    place = f"{record.topic}/{record.partition}/{record.offset}"
    origin = {
        "error": str(error),
        "source": record.topic,
        "source-partition": str(record.partition),
        "source-offset": str(record.offset),
    }
    headers = [*record.headers, *((name, text.encode()) for name, text in origin.items())]
    while True:
        try:
            await producer.send(
                topics.name(DEAD_LETTERS), value=record.value, key=record.key, headers=headers, timeout=_SEND_SECONDS
            )
        except LogUnavailable as away:
            log.warning("dead_letter.delayed", source=place, error=str(away))
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            break
    DEAD_LETTERS_WRITTEN.labels(record.topic).inc()
    log.error("record.undecodable", source=place, error=str(error))
