"""Evidence about platforms, and the looks that presence workers share out among them by leases.

All times are those of the database, so that the clocks of processes need not agree. A lease has a name: whoever lost it changes
nothing any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from hub.delivery.presence import Presence
from hub.store.leases import Held
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("presence")
CHANNEL: Final = "presence"


class Seen(NamedTuple):
    """How many seconds ago calls to a platform were last answered and last failed; None: not lately."""

    platform_id: str
    answered_ago: float | None
    failed_ago: float | None


@dataclass(frozen=True, slots=True)
class Presences:
    """What is known of the registered platforms that nobody looks at now."""

    now: datetime
    by_platform: Mapping[str, Presence]


class Known(NamedTuple):
    """What is known of one platform, and the time."""

    presence: Presence
    now: datetime


async def note(connection: Connection, seen: Sequence[Seen], *, is_turn: bool) -> None:
    """Add evidence; on a turn from answers to failures, or back, the presence workers are told at once."""
    columns = [list(column) for column in zip(*seen, strict=True)]
    await connection.execute(SQL["note"], *columns)
    if is_turn:
        await connection.execute(SQL["notify"])


async def read(connection: Connection) -> Presences | None:
    """Every registered platform that nobody looks at now; None when there is no platform at all."""
    await connection.execute(SQL["add_missing"])
    rows = await connection.fetch(SQL["presences"])
    if not rows:
        return None
    free = {row["platform_id"]: _presence(row) for row in rows if not row["is_leased"]}
    return Presences(rows[0]["now"], free)


async def lease(connection: Connection, due: Mapping[str, Presence], name: str, seconds: float) -> list[Held]:
    """Take these platforms as they were read; says which could be had."""
    looked_at = [presence.looked_at for presence in due.values()]
    rows = await connection.fetch(SQL["lease"], list(due), looked_at, name, seconds)
    return [Held(row["platform_id"], name) for row in rows]


async def renew(connection: Connection, held: Sequence[Held], seconds: float) -> None:
    """Hold these platforms for `seconds` from now, as far as they are still held."""
    await connection.execute(SQL["renew"], [one.held_id for one in held], [one.lease for one in held], seconds)


async def read_leased(connection: Connection, held: Held) -> Known | None:
    """What is known now of a platform that is held; None when the lease is lost or the platform is registered no more."""
    row = await connection.fetchrow(SQL["leased"], *held)
    return Known(_presence(row), row["now"]) if row else None


async def store_look(connection: Connection, platform_id: str, after: Presence) -> None:
    """Write what a look led to and end the lease; `is_online` is written by `set_online`."""
    await connection.execute(
        SQL["looked"], platform_id, after.looked_at, after.changed_at, after.streak, after.good_looks
    )


async def set_online(connection: Connection, platform_id: str, *, is_online: bool) -> None:
    """Change whether a platform can be reached; the caller touches its roles and raises the directory's version."""
    await connection.execute(SQL["set_online"], platform_id, is_online)


def _presence(row: Any) -> Presence:
    return Presence(
        is_online=row["is_online"],
        answered_at=row["answered_at"],
        failed_at=row["failed_at"],
        looked_at=row["looked_at"],
        changed_at=row["changed_at"],
        streak=row["streak"],
        good_looks=row["good_looks"],
    )
