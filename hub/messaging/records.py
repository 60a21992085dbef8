"""A Kafka record as the hub sees it."""

from typing import Final, NamedTuple

LARGEST_FETCH_BYTES: Final = 17 * 2**20
"""No record of the hub is larger, its headers included."""


class Record(NamedTuple):
    """One record. `timestamp_ms` is the broker's append time, header values are raw bytes."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes
