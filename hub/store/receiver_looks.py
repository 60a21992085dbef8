"""What operators see of receivers, and what they set for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hub.model.delivery import Receiver
from hub.model.outcome import object_name
from hub.ocpi.parties import PartyId
from hub.store.pool import Connection
from hub.store.receivers import columns
from hub.store.statements import load_statements

SQL: Final = load_statements("receiver_looks")


@dataclass(frozen=True, slots=True)
class ReceiverFacts:
    """What the database knows of one receiver. `in_flight` and `waiting` are what the fan-out workers last said.

    `oldest_mark` and `oldest_waiting`: since when it misses something, or something waits for it.
    """

    receiver: Receiver
    is_paused: bool
    catch_up: str
    touches: str
    rate: float | None
    opened_at: datetime | None
    next_try_at: datetime | None
    asked_until: datetime | None
    failures: int
    reason: str
    marks: int
    oldest_mark: datetime | None
    refusals: int
    in_flight: int
    waiting: int
    oldest_waiting: datetime | None


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """A unit that a receiver refused, and what it answered last. Of a Token's uid only the beginning is shown."""

    object: str
    method: str
    http_status: int | None
    ocpi_status: int | None
    detail: str
    correlation_id: str
    count: int
    refused_at: datetime


async def read_facts(connection: Connection, receivers: Sequence[Receiver]) -> list[ReceiverFacts]:
    """What is known of these receivers, by party."""
    if not receivers:
        return []
    rows = await connection.fetch(SQL["rows"], *zip(*(columns(receiver) for receiver in receivers), strict=True))
    return [ReceiverFacts(Receiver(row[0], PartyId(row[1], row[2])), *tuple(row)[3:]) for row in rows]


async def marks_by_module(connection: Connection, receiver: Receiver) -> dict[str, int]:
    """How many units of each module a receiver still has to get."""
    return {row["module"]: row["marks"] for row in await connection.fetch(SQL["marks_by_module"], *columns(receiver))}


async def read_refusals(connection: Connection, receiver: Receiver, limit: int) -> list[RefusalRow]:
    """The latest refusals of a receiver, newest first."""
    rows = await connection.fetch(SQL["refusals"], *columns(receiver), limit)
    return [
        RefusalRow(object_name(row[0], *(part for part in tuple(row)[1:5] if part)), *tuple(row)[5:]) for row in rows
    ]


async def set_receiver(
    connection: Connection,
    receiver: Receiver,
    *,
    is_paused: bool | None = None,
    catch_up: str | None = None,
    touches: str | None = None,
    rate: float | None = None,
) -> None:
    """Change what is set for a receiver; what is None stays as it is, and a rate of 0 is none."""
    await connection.execute(SQL["set"], *columns(receiver), is_paused, catch_up, touches, rate)
