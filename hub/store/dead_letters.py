"""What operators did with dead letters. The letters themselves stay in the log; a row here says that one is done with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("dead_letters")

Place = tuple[int, int]
"""Partition and offset among the dead letters."""


class Action(StrEnum):
    """What was done with a letter."""

    REDRIVEN = "redriven"
    """Its record was put back where it came from."""
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Disposition:
    """What was done with one letter, by whom and how often; `source` is where its record came from."""

    place: Place
    source: str
    action: Action
    operator: str
    count: int
    at: datetime


async def dispose(
    connection: Connection, epoch: str, place: Place, source: str, action: Action, operator: str, *, again: bool
) -> int | None:
    """Note what is done with a letter, and how often by now; None when something was done before and `again` was not asked.

    Whoever notes the same letter at the same time waits for this transaction.
    """
    statement = SQL["dispose_again" if again else "dispose"]
    count: int | None = await connection.fetchval(statement, epoch, *place, source, action.value, operator)
    return count


async def of_place(connection: Connection, epoch: str, place: Place) -> Disposition | None:
    """What was done with a letter."""
    return _disposition(await connection.fetchrow(SQL["of_place"], epoch, *place))


async def of_source(connection: Connection, epoch: str, source: str) -> Disposition | None:
    """What was done with a letter that holds the record of this source: this letter or its twin."""
    return _disposition(await connection.fetchrow(SQL["of_source"], epoch, source))


async def in_spans(connection: Connection, epoch: str, spans: Mapping[int, range]) -> dict[Place, Disposition]:
    """What was done with the letters of these offsets, by partition."""
    rows = await connection.fetch(SQL["in_spans"], epoch, *_columns(spans))
    found = (_disposition(row) for row in rows)
    return {entry.place: entry for entry in found if entry is not None}


async def count(connection: Connection, epoch: str, spans: Mapping[int, range]) -> int:
    """How many of the letters of these offsets something was done with."""
    counted: int = await connection.fetchval(SQL["count"], epoch, *_columns(spans))
    return counted


def _columns(spans: Mapping[int, range]) -> tuple[list[int], list[int], list[int]]:
    return list(spans), [span.start for span in spans.values()], [span.stop for span in spans.values()]


def _disposition(row: Any) -> Disposition | None:
    if row is None:
        return None
    place = (row["log_partition"], row["log_offset"])
    return Disposition(place, row["source"], Action(row["action"]), row["operator"], row["count"], row["at"])
