"""A Kafka record as the hub sees it."""

from typing import NamedTuple


class Record(NamedTuple):
    """One record. `timestamp_ms` is the broker's append time, header values are raw bytes."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes
