"""Objects of which only patches are known, and the attempts at fetching them from their owners.

An attempt is a lease: until it has run out or is put off nobody else tries. Decision D-12.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from hub.model.unit import Place, UnitKey
from hub.ocpi.parties import PartyId
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("incomplete")


class Lacking(NamedTuple):
    """An object to fetch. `tail` and `query` are those of the patch's URL, `tries` counts this attempt.

    `wrong_answers` counts those after which the object was still not had since its owner answered something else.

    `known` is the last record applied to the object, its parts included: what comes later is newer than what is fetched now.
    """

    root: UnitKey
    platform_id: str
    tail: str
    query: str
    tries: int
    wrong_answers: int
    known: Place


@dataclass(frozen=True, slots=True)
class IncompleteObject:
    """An object of which patches only are known. `detail` is why the last attempt failed; no `next_try_at`: none is planned."""

    module: str
    party: str
    object_id: str
    platform_id: str
    platform_name: str | None
    units: int
    since: datetime
    tries: int
    next_try_at: datetime | None
    is_given_up: bool
    detail: str


async def show(connection: Connection, owner: PartyId | None, *, limit: int) -> tuple[IncompleteObject, ...]:
    """Objects of which only patches are known, the longest waiting first: of one owner or of all."""
    place = (owner.folded.country_code, owner.folded.party_id) if owner else (None, None)
    return tuple(IncompleteObject(**row) for row in await connection.fetch(SQL["show"], *place, limit))


async def take(
    connection: Connection, *, limit: int, seconds: float, per_platform: int, asked: Sequence[str]
) -> list[Lacking]:
    """Take objects that are due, for so many seconds.

    No more of a platform's than `per_platform`, of which those are gone that it is `asked` for now: one entry for each.
    """
    return [
        Lacking(
            root=UnitKey(row["module"], row["country_code"], row["party_id"], row["object_id"]),
            platform_id=row["platform_id"],
            tail=row["tail"],
            query=row["query"],
            tries=row["tries"],
            wrong_answers=row["wrong_answers"],
            known=Place(row["log_epoch"], row["log_offset"]),
        )
        for row in await connection.fetch(SQL["take"], limit, seconds, per_platform, asked)
    ]


async def put_off(
    connection: Connection,
    root: UnitKey,
    *,
    seconds: float,
    detail: str = "",
    is_wrong: bool = False,
    is_given_up: bool = False,
) -> None:
    """Try again in so many seconds; one that is given up stays, until a later patch."""
    await connection.execute(SQL["put_off"], *root[:4], seconds, is_given_up, detail, is_wrong)


async def tidy(connection: Connection) -> None:
    """Forget the attempts at what is whole by now."""
    await connection.execute(SQL["tidy"])
