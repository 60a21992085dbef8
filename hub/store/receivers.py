"""How receivers do, in one row each that all fan-out workers share, and what they refused.

Rules BP-16, AU-13; decisions D-10, D-13, D-21, D-28.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hub.delivery.health import Standing
from hub.model.delivery import Receiver
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("receivers")


class Refused(NamedTuple):
    """A unit that a receiver refused with an OCPI code, and what it answered."""

    receiver: Receiver
    key: UnitKey
    partition: int
    method: str
    http_status: int | None
    ocpi_status: int | None
    detail: str
    correlation_id: str


class Load(NamedTuple):
    """What waits for a receiver in one process; `oldest` is the arrival of its oldest record in Unix milliseconds."""

    receiver: Receiver
    in_flight: int
    waiting: int
    waiting_bytes: int
    oldest: int | None


async def standings(connection: Connection, now: float) -> dict[Receiver, Standing]:
    """Every receiver of which something is known, its party folded; `now` is the process' monotonic time."""
    return {
        Receiver(row["platform_id"], PartyId(row["country_code"], row["party_id"])): _standing(row, now)
        for row in await connection.fetch(SQL["standings"])
    }


async def open_breaker(connection: Connection, receiver: Receiver, reason: str) -> None:
    """Nothing is sent to it but one trial at a time, from all workers."""
    await connection.execute(SQL["open_breaker"], *columns(receiver), reason)


async def close_breaker(connection: Connection, receiver: Receiver) -> None:
    """It takes what it is sent again."""
    await connection.execute(SQL["close_breaker"], *columns(receiver))


async def close_offline(connection: Connection) -> None:
    """Close the breakers of platforms that presence found offline: it says when they are back."""
    await connection.execute(SQL["close_offline"])


async def claim_trial(connection: Connection, receiver: Receiver, seconds: float) -> bool:
    """Whether the next trial is ours; if so nobody else tries for so many seconds."""
    return await connection.fetchval(SQL["claim_trial"], *columns(receiver), seconds) is not None


async def ask(connection: Connection, receiver: Receiver, seconds: float) -> None:
    """It asked to be left alone for so many seconds (D-21)."""
    await connection.execute(SQL["ask"], *columns(receiver), seconds)


async def refuse(connection: Connection, refused: Sequence[Refused]) -> None:
    """Keep what receivers refused, for operators and until they take a later version."""
    if refused:
        rest = [[row[place] for row in refused] for place in range(2, len(Refused._fields))]
        await connection.execute(SQL["refuse"], *_places([row[:2] for row in refused]), *rest)


async def read_refused(connection: Connection, partitions: Sequence[int]) -> set[tuple[Receiver, UnitKey]]:
    """What receivers refused of the units in these partitions, parties folded."""
    rows = await connection.fetch(SQL["refused"], partitions)
    return {(Receiver(row[0], PartyId(row[1], row[2])), UnitKey(*tuple(row)[3:])) for row in rows}


async def accept(connection: Connection, taken: Sequence[tuple[Receiver, UnitKey]]) -> None:
    """Receivers took units that they had refused before."""
    if taken:
        await connection.execute(SQL["accept"], *_places(taken))


async def report_load(connection: Connection, process_id: str, loads: Sequence[Load], *, kept_seconds: float) -> None:
    """Say what waits here; what was said longer ago than `kept_seconds` goes."""
    if loads:
        rest = [[row[place] for row in loads] for place in range(1, len(Load._fields))]
        ids, codes, parties = zip(*(columns(row.receiver) for row in loads), strict=True)
        await connection.execute(SQL["report_load"], process_id, ids, codes, parties, *rest)
    await connection.execute(SQL["forget_load"], process_id, kept_seconds)


def columns(receiver: Receiver) -> tuple[str, str, str]:
    """The key of a receiver's rows."""
    party = receiver.party.folded
    return receiver.platform_id, party.country_code, party.party_id


def _places(rows: Sequence[tuple[Receiver, UnitKey]]) -> tuple[list[str], ...]:
    receivers = [columns(receiver) for receiver, _ in rows]
    return (
        *([entry[place] for entry in receivers] for place in range(3)),
        *([key[place] for _, key in rows] for place in range(5)),
    )


def _standing(row: Mapping[str, Any], now: float) -> Standing:
    return Standing(
        is_paused=row["is_paused"],
        is_open=row["is_open"],
        next_try_at=now + (row["next_try_in"] or 0.0),
        asked_until=now + row["asked_for"] if row["asked_for"] is not None else 0.0,
        catches_up=row["catch_up"] == "push",
        skips_touches=row["touches"] == "skip",
        rate=row["rate"],
    )
