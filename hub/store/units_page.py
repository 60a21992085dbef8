"""A viewer's pages: whole objects in the order of creation, and how many there are.

A page goes on behind the number of the last object seen. That number is given once and kept through every change, deletion and
return of an object, so what exists all along while a caller pages is on exactly one page, whatever comes, changes or goes
meanwhile. What appears behind the place reached is not on any page; it is younger than the crawl and was pushed or marked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from hub.model.unit import Unit
from hub.ocpi.parties import PartyId
from hub.store.pool import Connection
from hub.store.statements import load_statements
from hub.store.units import unit_of

SQL: Final = load_statements("units_page")


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer asks for: a module, the owners that it may see, and bounds on the newest clock of each tree.

    An owner comes with the moment since when it is visible, None where it always was: one that became visible since `date_from`
    is shown as if all that it holds had changed (D-26).
    """

    module: str
    owners: Mapping[PartyId, datetime | None]
    date_from: datetime | None
    date_to: datetime | None

    @property
    def new_owners(self) -> list[PartyId]:
        """The owners who became visible since `date_from`."""
        if self.date_from is None:
            return []
        return [owner for owner, since in self.owners.items() if since is not None and since >= self.date_from]


@dataclass(frozen=True, slots=True)
class Part:
    """Some objects of a view, each as root and parts; `last` is the number of the last one, `total` counts the whole view."""

    objects: tuple[tuple[Unit, ...], ...]
    last: int
    has_more: bool
    total: int


async def read_part(connection: Connection, view: View, *, after: int, offset: int, limit: int) -> Part:
    """Objects behind the number `after`, skipping `offset`, at most `limit`; all of it from one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(SQL["page"], *_view(view), after, offset, limit + 1)
        total = await connection.fetchval(SQL["count"], *_view(view))
    found = [(number, tuple(map(unit_of, group))) for number, group in groupby(rows, key=lambda row: row["root_id"])]
    kept = found[:limit]
    return Part(tuple(units for _, units in kept), kept[-1][0] if kept else after, len(found) > limit, total)


async def moment_before(connection: Connection) -> datetime:
    """A moment of the database's clock: whatever was marked before it is seen by what is read from now on.

    A transaction that is still open may have marked something whose state nobody sees yet, so it is not later than the
    beginning of any of them.
    """
    moment: datetime = await connection.fetchval(SQL["moment_before"])
    return moment


def _view(view: View) -> tuple[Any, ...]:
    return (
        view.module,
        *_columns(view.owners),
        view.date_from,
        view.date_to,
        *_columns(view.new_owners),
    )


def _columns(owners: Iterable[PartyId]) -> tuple[list[str], list[str]]:
    parties = list(owners)
    return [party.country_code for party in parties], [party.party_id for party in parties]
