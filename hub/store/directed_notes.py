"""Notes of directed objects: a receiver has a Location, Tariff or Token from a push to it alone.

Its copy is not what is held for all, so no catch-up, first fill or resync writes over it: of a Location it is sent the EVSEs. A
live push to all that it confirms ends the note, if that began after the note was made. Decision D-04; rules RT-18, RT-19.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hub.model.delivery import Receiver
from hub.model.unit import UnitKey
from hub.store.pool import Connection
from hub.store.receivers import columns
from hub.store.statements import load_statements

SQL: Final = load_statements("directed_notes")


class Copy(NamedTuple):
    """A receiver's copy of a root object, and how many seconds ago it confirmed it, or was begun to be sent it."""

    receiver: Receiver
    root: UnitKey
    age_seconds: float


async def note(connection: Connection, copies: Sequence[Copy]) -> None:
    """These copies come from pushes to their receivers alone."""
    if copies:
        await connection.execute(SQL["note"], *_columns(copies))


async def who_has_any(connection: Connection, receivers: Sequence[Receiver]) -> frozenset[Receiver]:
    """Which of these receivers have notes."""
    by_row = {columns(receiver): receiver for receiver in receivers}
    places = [[place[number] for place in by_row] for number in range(3)]
    return frozenset(by_row[tuple(row)] for row in await connection.fetch(SQL["who_has_any"], *places))


async def forget(connection: Connection, copies: Sequence[Copy]) -> None:
    """These copies are what is held for all; what was noted after they were begun to be sent stays."""
    if copies:
        await connection.execute(SQL["forget"], *_columns(copies))


async def spread_mark(connection: Connection, receiver: Receiver, root: UnitKey, marking: int) -> None:
    """Mark the parts of an object in place of the whole of it."""
    await connection.execute(SQL["spread_mark"], *columns(receiver), *root[:4], marking)


def _columns(copies: Sequence[Copy]) -> tuple[list[str] | list[float], ...]:
    places = [(*columns(copy.receiver), *copy.root[:4]) for copy in copies]
    return *([place[number] for place in places] for number in range(7)), [copy.age_seconds for copy in copies]
