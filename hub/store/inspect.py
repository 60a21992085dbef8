"""Looks into the store for operators: one object with all its units, and the counts of `hub status`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hub.ocpi.parties import PartyId
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("inspect")

_TOKEN_TYPES: Final = ("AD_HOC_USER", "APP_USER", "EMAID", "OTHER", "RFID")


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One unit as it rests. `raw` is the JSON as pushed, None in a tombstone; epoch and offset name the record applied last.

    `last_updated` is its own clock as pushed, `clock` what a later push is compared with (D-11).

    The platform is the one that pushed it, without name when it is gone.
    """

    module: str
    party: str
    object_id: str
    evse_uid: str
    raw: str | None
    last_updated: datetime
    clock: datetime
    is_incomplete: bool
    log_epoch: str
    log_offset: int
    changed_at: datetime
    platform_id: str
    platform_name: str | None
    platform_status: str | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A live process and the directory version that it holds."""

    process_id: str
    name: str
    version: int
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Recent:
    """How many outcomes of one kind came to one verdict lately."""

    kind: str
    verdict: str
    count: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What the store holds at this moment. `objects` counts roots, tombstones included."""

    directory_version: int
    platforms: dict[str, int]
    parties: dict[str, int]
    objects: dict[str, int]
    holders: tuple[Holder, ...]
    recent: tuple[Recent, ...]


async def units_of(connection: Connection, module: str, owner: PartyId, object_id: str) -> tuple[UnitRow, ...]:
    """Every unit of a root object, the root first, whatever case the key is written in.

    A Token's id may come with or without its type (`uid:RFID`); without it, every type is found.
    """
    key = owner.folded
    ids = [object_id.upper()]
    if module == "tokens":
        ids += [f"{ids[0]}:{kind}" for kind in _TOKEN_TYPES]
    rows = await connection.fetch(SQL["units"], module, key.country_code, key.party_id, ids)
    return tuple(UnitRow(**row) for row in rows)


async def count(connection: Connection, *, recent_minutes: int) -> Counts:
    """The counts, from one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return Counts(
            directory_version=await connection.fetchval(SQL["directory_version"]),
            platforms=await _by_name(connection, "platforms_by_status"),
            parties=await _by_name(connection, "parties_by_role"),
            objects=await _by_name(connection, "objects_by_module"),
            holders=tuple(Holder(**row) for row in await connection.fetch(SQL["holders"])),
            recent=tuple(Recent(**row) for row in await connection.fetch(SQL["recent"], recent_minutes)),
        )


async def _by_name(connection: Connection, statement: str) -> dict[str, int]:
    return {row["name"]: row["count"] for row in await connection.fetch(SQL[statement])}
