"""The ledger's tables: what became of every message, searchable by correlation id, and exact counts by minute.

Rows lie in one partition per UTC day. Days are made ahead of need; a row of a day without partition goes to the default
partition and moves when its day is made, so nothing waits for housekeeping.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import asyncpg

from hub.errors import Invalid
from hub.model.outcome import Outcome
from hub.store.pool import Connection, Store
from hub.store.statements import load_statements

_SQL = load_statements("exchanges")

_DAYS_BACK: Final = 3
_DAYS_AHEAD: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS: Final = (
    "outcome_id", "correlation_id", "request_id", "leg", "kind", "verdict", "platform_id", "from_party", "to_party",
    "ocpi_version", "module", "interface", "method", "object", "http_status", "ocpi_status", "detail", "elapsed_ms",
    "trace_id",
)  # fmt: skip

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One fact of a message's story. `platform_id` and `platform_name`: the platform at the far end of this leg."""

    at: datetime
    leg: str
    kind: str
    verdict: str
    request_id: str
    platform_id: str | None
    platform_name: str | None
    from_party: str | None
    to_party: str | None
    ocpi_version: str | None
    module: str | None
    interface: str | None
    method: str | None
    object: str | None
    http_status: int | None
    ocpi_status: int | None
    detail: str | None
    elapsed_ms: float | None
    trace_id: str | None = None


def row_of(outcome: Outcome) -> Row:
    """The outcome as the table takes it.

    Raises:
        Invalid: its time is none that can be written down.
    """
    try:
        at = _EPOCH + timedelta(milliseconds=outcome.at)
    except OverflowError as error:
        raise Invalid(f"not a time: {outcome.at} ms") from error
    return (at, *(getattr(outcome, name) for name in _COLUMNS))


async def add_outcomes(connection: Connection, rows: Sequence[Row]) -> int:
    """Write rows of `row_of` and count them by minute; returns how many were not there before.

    Idempotent: a row that is there is neither written nor counted again.

    Raises:
        asyncpg.DataError: at least one row holds what its column cannot take (an id that is no UUID, a NUL); none is written.
    """
    if not rows:
        return 0
    columns = zip(*sorted(rows, key=lambda row: row[:2]), strict=True)
    return int(await connection.fetchval(_SQL["add_outcomes"], *columns))


async def story(connection: Connection, correlation_id: str, *, limit: int) -> tuple[Step, ...]:
    """What is known of one message, in the order in which it happened; at most `limit` steps."""
    return tuple(_step(row) for row in await connection.fetch(_SQL["story"], correlation_id, limit))


async def keep_days(store: Store, today: date, retention_days: int) -> int:
    """Make the partitions of the days around `today` and drop those past retention; returns how many were dropped.

    Each day is a transaction of its own that gives up after 3 s behind a lock (`asyncpg.LockNotAvailableError`): try later.
    """
    for offset in range(-min(_DAYS_BACK, retention_days), _DAYS_AHEAD + 1):
        async with store.transaction() as connection:
            await connection.execute(_SQL["limit_lock_wait"])
            await connection.fetchval(_SQL["add_day"], today + timedelta(days=offset))
    async with store.transaction() as connection:
        await connection.execute(_SQL["limit_lock_wait"])
        return int(await connection.fetchval(_SQL["drop_days"], today - timedelta(days=retention_days)))


def _step(row: asyncpg.Record) -> Step:
    platform_id = row["platform_id"]
    return Step(
        at=row["at"],
        leg=row["leg"],
        kind=row["kind"],
        verdict=row["verdict"] or "",
        request_id=row["request_id"],
        platform_id=str(platform_id) if platform_id else None,
        platform_name=row["platform_name"],
        from_party=row["from_party"],
        to_party=row["to_party"],
        ocpi_version=row["ocpi_version"],
        module=row["module"],
        interface=row["interface"],
        method=row["method"],
        object=row["object"],
        http_status=row["http_status"],
        ocpi_status=row["ocpi_status"],
        detail=row["detail"],
        elapsed_ms=row["elapsed_ms"],
        trace_id=row["trace_id"],
    )
