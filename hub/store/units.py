"""The units in Postgres: read under lock, changed by the rules of `hub.model.change`, written in bulk behind the same guard."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import asyncpg
import msgspec

from hub.errors import Invalid
from hub.model.change import Applied, Change, Position, State, apply
from hub.model.unit import Level, Unit, UnitKey
from hub.routing.open_keys import Route, RouteKind
from hub.store import routes
from hub.store.pool import Connection, Store
from hub.store.statements import load_statements

SQL: Final = load_statements("units")

_ROUTED: Final = {"locations": RouteKind.LOCATION, "tokens": RouteKind.TOKEN}
_POISON: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    msgspec.MsgspecError,
    ArithmeticError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a record does to a batch when its content cannot be taken apart or held."""


async def store_changes(store: Store, changes: Sequence[tuple[Change, Position]]) -> list[Applied | Invalid]:
    """Apply pushes in their order, in one transaction; one that cannot be held is found by halving and set apart.

    Idempotent: what was applied before is told so and not written again.

    Raises:
        StoreUnavailable: Postgres is away; nothing of the batch may be relied upon.
        asyncpg.PostgresError: another fault of the database; as above.
    """
    if not changes:
        return []
    try:
        return list(await _store_together(store, changes))
    except _POISON as error:
        if len(changes) == 1:
            return [Invalid(f"{type(error).__name__}: {error}")]
    half = len(changes) // 2
    return await store_changes(store, changes[:half]) + await store_changes(store, changes[half:])


async def _store_together(store: Store, changes: Sequence[tuple[Change, Position]]) -> list[Applied]:
    async with store.transaction() as connection:
        state = State(await _read(connection, [change for change, _ in changes]))
        made = []
        new_routes = []
        for change, position in changes:
            if _is_new(change, state):
                kind = _ROUTED[change.target.module]
                new_routes.append(Route(kind, change.target.object_id, change.target.owner, None, None))
            made.append(apply(change, position, state))
        await _remove(connection, state.removed)
        await _write(connection, [unit for key in state.changed if (unit := state.get(key)) is not None])
        await routes.remember(connection, new_routes)
    return made


def _is_new(change: Change, state: State) -> bool:
    """Whether this is the first whole Location or Token under its key, so that its owner must be found by it (OR-08)."""
    if change.level is not Level.ROOT or change.method != "PUT" or change.target.module not in _ROUTED:
        return False
    held = state.get(change.target)
    return held is None or held.raw is None


async def _read(connection: Connection, changes: Sequence[Change]) -> list[Unit]:
    """Lock the units that the changes touch, roots first."""
    keys = sorted({key for change in changes for key in (change.target, change.target.root)})
    whole = sorted({change.target for change in changes if change.evses is not None})
    found = await connection.fetch(SQL["lock_units"], *_columns(keys))
    if whole:
        found += await connection.fetch(SQL["lock_evses"], *_columns(whole)[1:4])
    return [unit_of(row) for row in found]


async def _write(connection: Connection, units: Iterable[Unit]) -> None:
    """Insert or replace, root by root in key order, each root before its parts and these in the order in which they came."""
    rows = sorted(units, key=lambda unit: (unit.key.root, unit.key.evse_uid != ""))
    if not rows:
        return
    await connection.execute(
        SQL["write"],
        *_columns([row.key for row in rows]),
        [row.raw.decode() if row.raw is not None else None for row in rows],
        [row.last_updated for row in rows],
        [row.clock for row in rows],
        [row.is_incomplete for row in rows],
        [row.epoch for row in rows],
        [row.partition for row in rows],
        [row.offset for row in rows],
        [row.evses_offset for row in rows],
        [row.platform_id for row in rows],
        [row.tail for row in rows],
        [row.query for row in rows],
    )


async def _remove(connection: Connection, removed: Mapping[UnitKey, Position]) -> None:
    if removed:
        keys = sorted(removed)
        await connection.execute(
            SQL["remove"], *_columns(keys), [removed[key].epoch for key in keys], [removed[key].offset for key in keys]
        )


async def read_current(connection: Connection, keys: Collection[UnitKey]) -> dict[UnitKey, tuple[Unit, ...]]:
    """What the current states of units are made of: of a root it and its parts, or one EVSE; a key that is not held is absent."""
    roots, parts = [key for key in keys if not key.evse_uid], [key for key in keys if key.evse_uid]
    found: dict[UnitKey, tuple[Unit, ...]] = {}
    if roots:
        rows = map(unit_of, await connection.fetch(SQL["read_roots"], *_columns(roots)[:4]))
        found |= {root: tuple(tree) for root, tree in groupby(rows, lambda unit: unit.key.root)}
    if parts:
        for unit in map(unit_of, await connection.fetch(SQL["read_units"], *_columns(parts))):
            found[unit.key] = (unit,)
    return found


async def read_root(connection: Connection, root: UnitKey) -> tuple[Unit, ...]:
    """A root with its parts; the root, where there is one, is first."""
    return tuple(unit_of(row) for row in await connection.fetch(SQL["read_root"], *root[:4]))


def _columns(keys: Sequence[UnitKey]) -> tuple[list[str], ...]:
    return (
        [key.module for key in keys],
        [key.country_code for key in keys],
        [key.party_id for key in keys],
        [key.object_id for key in keys],
        [key.evse_uid for key in keys],
    )


def unit_of(row: Any) -> Unit:
    """A row of the table as a unit."""
    return Unit(
        key=UnitKey(row["module"], row["country_code"], row["party_id"], row["object_id"], row["evse_uid"]),
        raw=None if row["raw"] is None else row["raw"].encode(),
        last_updated=row["last_updated"],
        clock=row["clock"],
        epoch=row["log_epoch"],
        offset=row["log_offset"],
        platform_id=row["platform_id"],
        is_incomplete=row["is_incomplete"],
        evses_offset=row["evses_offset"],
        partition=row["log_partition"],
        tail=row["tail"],
        query=row["query"],
    )
