"""Sessions and CDRs in Postgres, each for its one addressee: written many at a time, read as pages of a list.

A whole object takes the place of an older one in one statement. Anything else is read, changed and written, and that counts only
if nobody has changed the row meanwhile; who comes second reads it anew. It is changed in a thread: a long session takes
milliseconds, and the loop has calls to answer. Decision D-04.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from hub.model.delivery import Receiver
from hub.model.directed import DirectedKey, DirectedPush, Held, apply_push
from hub.ocpi.parties import PartyId
from hub.store.pool import Connection, Store
from hub.store.receivers import columns
from hub.store.statements import load_statements

SQL: Final = load_statements("directed")

_BAD: Final = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.IntegrityConstraintViolationError)
"""What one object's content or key does to a batch."""
_MOST_FORGOTTEN_AT_ONCE: Final = 5_000
_TOO_LARGE: Final = "larger than is kept"
_NO_OBJECT: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Inbox:
    """What an addressee asks for: a module, and bounds on the objects' own clocks."""

    addressee: Receiver
    module: str
    date_from: datetime | None
    date_to: datetime | None


@dataclass(frozen=True, slots=True)
class InboxPart:
    """Some objects of an inbox as JSON; `last` is the number of the last one, `total` counts the whole inbox."""

    objects: tuple[bytes, ...]
    last: int
    has_more: bool
    total: int


class _Merged(NamedTuple):
    """Objects that are as they should be, those that cannot be, and those to be written as which revision."""

    settled: set[DirectedKey]
    faults: dict[DirectedKey, str]
    changed: list[tuple[DirectedKey, Held, int]]


async def store_pushes(store: Store, pushes: Sequence[DirectedPush]) -> dict[DirectedKey, str]:
    """Apply confirmed pushes in their order; says why some objects cannot be held. Idempotent.

    Raises:
        StoreUnavailable: Postgres is away; nothing of the batch may be relied upon.
    """
    by_key: dict[DirectedKey, list[DirectedPush]] = {}
    for push in pushes:
        by_key.setdefault(push.key, []).append(push)
    refused: dict[DirectedKey, str] = {}
    while by_key:
        try:
            async with store.connection() as connection:
                written, faults = await _store_once(connection, by_key)
        except _BAD as error:
            return refused | await _store_apart(store, by_key, error)
        refused |= faults
        by_key = {key: entries for key, entries in by_key.items() if key not in written and key not in faults}
    return refused


async def _store_apart(
    store: Store, by_key: Mapping[DirectedKey, Sequence[DirectedPush]], error: Exception
) -> dict[DirectedKey, str]:
    """Halve a batch that cannot be written, until the one object is found that it stumbles over."""
    keys = list(by_key)
    if len(keys) == 1:
        return {keys[0]: f"{type(error).__name__}: {error}"}
    middle = len(keys) // 2
    refused: dict[DirectedKey, str] = {}
    for part in (keys[:middle], keys[middle:]):
        refused |= await store_pushes(store, [push for key in part for push in by_key[key]])
    return refused


async def _store_once(
    connection: Connection, by_key: Mapping[DirectedKey, Sequence[DirectedPush]]
) -> tuple[set[DirectedKey], dict[DirectedKey, str]]:
    """Which objects are as they should be now, and which cannot be; the others were changed by somebody else meanwhile."""
    faults: dict[DirectedKey, str] = {}
    whole: list[tuple[DirectedKey, Held]] = []
    for key, pushes in by_key.items():
        try:
            if any(push.is_patch for push in pushes):
                continue
            held = _apply_all(pushes, None)
        except _NO_OBJECT as error:
            faults[key] = f"cannot be taken apart: {error}"
            continue
        if held is None:
            faults[key] = _TOO_LARGE
        else:
            whole.append((key, held))
    settled = await _replace(connection, whole)
    others = {key: pushes for key, pushes in by_key.items() if key not in settled and key not in faults}
    if others:
        merged, unmergeable = await _merge(connection, others)
        settled, faults = settled | merged, faults | unmergeable
    return settled, faults


async def _merge(
    connection: Connection, by_key: Mapping[DirectedKey, Sequence[DirectedPush]]
) -> tuple[set[DirectedKey], dict[DirectedKey, str]]:
    rows = {_key(row): row for row in await connection.fetch(SQL["read"], *_columns(list(by_key)))}
    merged = await asyncio.to_thread(_merge_all, by_key, rows)
    return merged.settled | await _write(connection, merged.changed), merged.faults


def _merge_all(by_key: Mapping[DirectedKey, Sequence[DirectedPush]], rows: Mapping[DirectedKey, Any]) -> _Merged:
    settled: set[DirectedKey] = set()
    faults: dict[DirectedKey, str] = {}
    changed: list[tuple[DirectedKey, Held, int]] = []
    for key, pushes in by_key.items():
        row = rows.get(key)
        before = None if row is None else Held(row["raw"].encode(), row["last_updated"], row["whole_at"])
        try:
            after = _apply_all(pushes, before)
        except _NO_OBJECT as error:
            faults[key] = f"cannot be taken apart: {error}"
            continue
        if after is None:
            faults[key] = _TOO_LARGE
        elif after == before:
            settled.add(key)
        else:
            changed.append((key, after, 1 if row is None else row["revision"] + 1))
    return _Merged(settled, faults, changed)


def _apply_all(pushes: Sequence[DirectedPush], before: Held | None) -> Held | None:
    held = before
    for push in pushes:
        held = apply_push(push, held)
        if held is None:
            break
    return held


async def _replace(connection: Connection, rows: Sequence[tuple[DirectedKey, Held]]) -> set[DirectedKey]:
    keys = [key for key, _ in rows]
    if not keys:
        return set()
    raws = [held.raw.decode() for _, held in rows]
    left = await connection.fetch(SQL["replace"], *_columns(keys), raws, [held.last_updated for _, held in rows])
    return set(keys) - {keys[row["number"] - 1] for row in left}


async def _write(connection: Connection, rows: Sequence[tuple[DirectedKey, Held, int]]) -> set[DirectedKey]:
    keys = [key for key, _, _ in rows]
    if not keys:
        return set()
    left = await connection.fetch(
        SQL["write"],
        *_columns(keys),
        [held.raw.decode() for _, held, _ in rows],
        [held.last_updated for _, held, _ in rows],
        [held.whole_at for _, held, _ in rows],
        [revision for _, _, revision in rows],
    )
    return set(keys) - {keys[row["number"] - 1] for row in left}


async def read_part(connection: Connection, inbox: Inbox, *, after: int, offset: int, limit: int) -> InboxPart:
    """Objects behind the number `after`, skipping `offset`, at most `limit`; all of it from one snapshot."""
    view = (*columns(inbox.addressee), inbox.module, inbox.date_from, inbox.date_to)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(SQL["page"], *view, after, offset, limit + 1)
        total = await connection.fetchval(SQL["count"], *view)
    kept = rows[:limit]
    last = kept[-1]["directed_id"] if kept else after
    return InboxPart(tuple(row["raw"].encode() for row in kept), last, len(rows) > limit, total)


async def forget_older(store: Store, before: datetime) -> int:
    """Objects whose own clock is older go, a bounded number in one statement; says how many.

    Raises:
        StoreUnavailable: Postgres is away; some may be gone.
    """
    total = 0
    while True:
        async with store.connection() as connection:
            done: str = await connection.execute(SQL["forget_old"], before, _MOST_FORGOTTEN_AT_ONCE)
        gone = int(done.rsplit(" ", 1)[1])
        total += gone
        if gone < _MOST_FORGOTTEN_AT_ONCE:
            return total


def _key(row: Any) -> DirectedKey:
    addressee = PartyId(row["country_code"], row["party_id"])
    owner = PartyId(row["owner_country_code"], row["owner_party_id"])
    return DirectedKey(row["platform_id"], addressee, row["module"], owner, row["object_id"])


def _columns(keys: Sequence[DirectedKey]) -> tuple[list[str], ...]:
    return (
        [key.platform_id for key in keys],
        [key.addressee.country_code for key in keys],
        [key.addressee.party_id for key in keys],
        [key.module for key in keys],
        [key.owner.country_code for key in keys],
        [key.owner.party_id for key in keys],
        [key.object_id for key in keys],
    )
