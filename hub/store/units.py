"""The units in Postgres: read under lock, changed by the rules of `hub.model.unit`, written in bulk behind the same guard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import asyncpg
import msgspec

from hub.errors import Invalid
from hub.model.unit import Change, Level, Position, Result, Sending, State, Unit, UnitKey, apply
from hub.ocpi.parties import PartyId
from hub.routing.open_keys import Route, RouteKind
from hub.store import routes
from hub.store.pool import Connection, Store
from hub.store.statements import load_statements

SQL: Final = load_statements("units")
_ROUTED: Final = {"locations": RouteKind.LOCATION, "tokens": RouteKind.TOKEN}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store made of one push: what receivers get, and what became of its parts."""

    sending: Sending
    results: tuple[Result, ...]


async def store_changes(store: Store, changes: Sequence[tuple[Change, Position]]) -> list[Stored | Invalid]:
    """Apply pushes in their order, in one transaction; one whose data Postgres refuses is found by halving and set apart.

    Raises:
        StoreUnavailable: Postgres is away; nothing of the batch may be relied upon.
    """
    if not changes:
        return []
    try:
        return list(await _store_together(store, changes))
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, msgspec.DecodeError, ValueError) as error:
        if len(changes) == 1:
            return [Invalid(f"{type(error).__name__}: {error}")]
        half = len(changes) // 2
        return await store_changes(store, changes[:half]) + await store_changes(store, changes[half:])


async def _store_together(store: Store, changes: Sequence[tuple[Change, Position]]) -> list[Stored]:
    async with store.transaction() as connection:
        state = State(await _read(connection, [change for change, _ in changes]))
        known = frozenset(state.units)
        made = [Stored(*apply(change, position, state)) for change, position in changes]
        await _remove(connection, state.removed)
        await _write(connection, [state.units[key] for key in state.changed])
        await routes.remember(connection, _new_routes(changes, known))
    return made


def _new_routes(changes: Sequence[tuple[Change, Position]], known: frozenset[UnitKey]) -> list[Route]:
    """Routes to the owners of Locations and Tokens that were not held before (OR-08)."""
    return [
        Route(_ROUTED[change.target.module], change.target.object_id, change.target.owner, None, None)
        for change, _ in changes
        if change.level is Level.ROOT
        and change.method == "PUT"
        and change.target.module in _ROUTED
        and change.target not in known
    ]


async def _read(connection: Connection, changes: Sequence[Change]) -> list[Unit]:
    keys = {key for change in changes for key in (change.target, change.target.root)}
    whole = {change.target for change in changes if change.evses is not None}
    rows = await connection.fetch(SQL["lock_units"], *_columns(sorted(keys)))
    units = {unit.key: unit for unit in map(_unit, rows)}
    if whole:
        roots = sorted(whole)
        parts = await connection.fetch(
            SQL["lock_evses"],
            [k.country_code for k in roots],
            [k.party_id for k in roots],
            [k.object_id for k in roots],
        )
        units |= {unit.key: unit for unit in map(_unit, parts)}
    return list(units.values())


async def _write(connection: Connection, units: Iterable[Unit]) -> None:
    rows = sorted(units, key=lambda unit: unit.key)
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
        [row.offset for row in rows],
        [row.evses_offset for row in rows],
        [row.platform_id for row in rows],
    )


async def _remove(connection: Connection, removed: Mapping[UnitKey, Position]) -> None:
    if removed:
        keys = sorted(removed)
        await connection.execute(
            SQL["remove"], *_columns(keys), [removed[key].epoch for key in keys], [removed[key].offset for key in keys]
        )


async def read_root(connection: Connection, root: UnitKey) -> tuple[Unit, ...]:
    """A root with its parts; the root, where there is one, is first."""
    return tuple(_unit(row) for row in await connection.fetch(SQL["read_root"], *root[:4]))


async def read_unit(connection: Connection, key: UnitKey) -> Unit | None:
    """One unit, or None."""
    row = await connection.fetchrow(SQL["read_unit"], *key)
    return None if row is None else _unit(row)


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer asks for: a module, the owners that it may see, and bounds on the newest clock of each tree."""

    module: str
    owners: tuple[PartyId, ...]
    date_from: datetime | None
    date_to: datetime | None


async def read_page(
    connection: Connection, view: View, *, after: int, offset: int, limit: int
) -> tuple[list[tuple[Unit, ...]], int, bool]:
    """Objects in the order of creation, each as its root and parts; the unit_id to go on after; whether there are more."""
    rows = await connection.fetch(SQL["page"], *_view(view), after, offset, limit + 1)
    pages = [
        (root_id, tuple(_unit(row) for row in group)) for root_id, group in groupby(rows, key=lambda r: r["root_id"])
    ]
    kept = pages[:limit]
    return [units for _, units in kept], kept[-1][0] if kept else after, len(pages) > limit


async def count(connection: Connection, view: View) -> int:
    """How many objects the view has in all."""
    total: int = await connection.fetchval(SQL["count"], *_view(view))
    return total


def _view(view: View) -> tuple[Any, ...]:
    codes = [owner.country_code for owner in view.owners]
    return view.module, codes, [owner.party_id for owner in view.owners], view.date_from, view.date_to


def _columns(keys: Sequence[UnitKey]) -> tuple[list[str], ...]:
    return (
        [key.module for key in keys],
        [key.country_code for key in keys],
        [key.party_id for key in keys],
        [key.object_id for key in keys],
        [key.evse_uid for key in keys],
    )


def _unit(row: Any) -> Unit:
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
    )
