"""Dirty marks: a receiver still has to get the current state of a unit, once.

The one mechanism for what a receiver missed: parking, catch-up, first fill, resync, and a patch of something it did not know. A
mark has no content. Marking again gives it a new `marking`, and a send takes away only the markings that it saw before it read
the state, so what changes meanwhile is sent too.

Rules BP-16, OF-01; decisions D-12, D-13, D-21, D-26.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from hub.model.delivery import Receiver
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId
from hub.store.pool import Connection
from hub.store.receivers import columns
from hub.store.statements import load_statements

SQL: Final = load_statements("marks")


class Missed(NamedTuple):
    """A unit that a receiver did not get, and the partition whose owner will send it."""

    receiver: Receiver
    key: UnitKey
    partition: int


class Mark(NamedTuple):
    """A mark as it was read. Ordered by (since, marking) the oldest is first."""

    key: UnitKey
    since: datetime
    marking: int


class Seen(NamedTuple):
    """One marking that a send has covered."""

    receiver: Receiver
    key: UnitKey
    marking: int


async def mark(connection: Connection, missed: Sequence[Missed]) -> None:
    """Mark units for receivers. Idempotent but for the marking, which is new."""
    if missed:
        await connection.execute(SQL["mark"], *_columns(missed), [entry.partition for entry in missed])


async def fill(connection: Connection, receiver: Receiver, module: str, owners: Sequence[PartyId]) -> int:
    """Mark every whole object of a module that these owners have pushed; says how many."""
    codes = [owner.country_code for owner in owners]
    parties = [owner.party_id for owner in owners]
    done: str = await connection.execute(SQL["fill"], *columns(receiver), module, codes, parties)
    return int(done.rsplit(" ", 1)[1])


async def read_next(
    connection: Connection, receiver: Receiver, partition: int, *, after: tuple[datetime, int], limit: int
) -> list[Mark]:
    """The oldest marks of a receiver in a partition that may be sent now, behind `after` (since, marking)."""
    rows = await connection.fetch(SQL["next"], *columns(receiver), partition, *after, limit)
    return [Mark(UnitKey(*tuple(row)[:5]), row["since"], row["marking"]) for row in rows]


async def of_trees(
    connection: Connection, trees: Sequence[tuple[Receiver, UnitKey]]
) -> dict[tuple[Receiver, UnitKey], tuple[list[Seen], bool]]:
    """For receivers and objects that have marks: those on the object and its parts, to be read before their state.

    And whether a marked copy is the receiver's own.
    """
    if not trees:
        return {}
    places = [(*columns(receiver), *root[:4]) for receiver, root in trees]
    found: dict[tuple[Receiver, UnitKey], tuple[list[Seen], bool]] = {}
    for row in await connection.fetch(SQL["of_trees"], *([place[number] for place in places] for number in range(7))):
        receiver, root = tree = trees[row["number"] - 1]
        seen, _ = found.setdefault(tree, ([], row["is_directed"]))
        seen.append(Seen(receiver, root._replace(evse_uid=row["evse_uid"]), row["marking"]))
    return found


async def waiting(
    connection: Connection, receivers: Sequence[Receiver], partitions: Sequence[int]
) -> frozenset[Receiver]:
    """Which receivers have marks in these partitions."""
    ids = [receiver.platform_id for receiver in receivers]
    folded = [receiver.party.folded for receiver in receivers]
    by_row = {
        (r.platform_id, party.country_code, party.party_id): r for r, party in zip(receivers, folded, strict=True)
    }
    codes, parties = [party.country_code for party in folded], [party.party_id for party in folded]
    rows = await connection.fetch(SQL["waiting"], ids, codes, parties, partitions)
    return frozenset(by_row[tuple(row)] for row in rows)


async def clear(connection: Connection, seen: Sequence[Seen]) -> None:
    """Take away the markings that sends have covered; one that was made anew since stays."""
    if seen:
        await connection.execute(SQL["clear"], *_columns(seen), [entry.marking for entry in seen])


async def put_off(connection: Connection, receiver: Receiver, key: UnitKey) -> None:
    """A receiver fails on this unit while it takes others: try it again later, each time later still."""
    await connection.execute(SQL["put_off"], *columns(receiver), *key)


async def clear_before(connection: Connection, receiver: Receiver, module: str, moment: datetime) -> None:
    """A receiver has fetched all of a module, beginning at `moment`: earlier marks are done (D-13)."""
    await connection.execute(SQL["clear_before"], *columns(receiver), module, moment)


def _columns(rows: Sequence[Missed] | Sequence[Seen]) -> tuple[list[str], ...]:
    receivers = [columns(row.receiver) for row in rows]
    return (
        *([entry[place] for entry in receivers] for place in range(3)),
        *([row.key[place] for row in rows] for place in range(5)),
    )
