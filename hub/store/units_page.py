"""A viewer's pages of units: whole objects in the order of creation, and how many there are."""

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
        (root_id, tuple(unit_of(row) for row in group)) for root_id, group in groupby(rows, key=lambda r: r["root_id"])
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
