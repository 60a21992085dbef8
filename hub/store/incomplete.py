"""Objects of which only patches are known, and the attempts at fetching them from their owners.

An attempt is a lease: until it has run out or is put off nobody else tries. Decision D-12.
"""

from typing import Final, NamedTuple

from hub.model.unit import Place, UnitKey
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("incomplete")


class Lacking(NamedTuple):
    """An object to fetch. `tail` and `query` are those of the patch's URL, `tries` counts this attempt.

    `known` is the last record applied to the object, its parts included: what comes later is newer than what is fetched now.
    """

    root: UnitKey
    platform_id: str
    tail: str
    query: str
    tries: int
    known: Place


async def take(connection: Connection, *, limit: int, seconds: float) -> list[Lacking]:
    """Take objects that are due, for so many seconds."""
    rows = await connection.fetch(SQL["take"], limit, seconds)
    return [Lacking(UnitKey(*tuple(row)[:4]), *tuple(row)[4:8], known=Place(*tuple(row)[8:])) for row in rows]


async def put_off(
    connection: Connection, root: UnitKey, *, seconds: float, detail: str = "", is_given_up: bool = False
) -> None:
    """Try again in so many seconds; one that is given up stays, until a later patch."""
    await connection.execute(SQL["put_off"], *root[:4], seconds, is_given_up, detail)


async def tidy(connection: Connection) -> None:
    """Forget the attempts at what is whole by now."""
    await connection.execute(SQL["tidy"])
