"""What each viewer of hubclientinfo was told, so that only news is sent, whatever restarts and however many processes send.

A process holds a viewer under a name while it tells it; whoever lost the lease writes nothing any more.

Rules HC-03, HC-04, HC-19; decisions D-18, D-26.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from hub.ocpi.parties import PartyId
from hub.routing.client_info import ClientInfo
from hub.store.leases import Held
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("client_infos")


async def lease(
    connection: Connection, viewers: Sequence[str], version: int, name: str, *, seconds: float, most: int
) -> list[Held]:
    """Take viewers that may not know yet what is true under a directory version; new viewers first."""
    await connection.execute(SQL["add_viewers"], viewers)
    rows = await connection.fetch(SQL["lease"], viewers, version, name, seconds, most)
    return [Held(row["viewer_id"], name) for row in rows]


async def renew(connection: Connection, held: Sequence[Held], seconds: float) -> None:
    """Hold these viewers for `seconds` from now, as far as they are still held."""
    await connection.execute(SQL["renew"], [one.held_id for one in held], [one.lease for one in held], seconds)


async def told(connection: Connection, viewer_id: str) -> list[ClientInfo]:
    """What a viewer was told last, for each role of a party."""
    return [
        ClientInfo(PartyId(row["country_code"], row["party_id"]), row["role"], row["status"], row["last_updated"])
        for row in await connection.fetch(SQL["told"], viewer_id)
    ]


async def note_told(connection: Connection, held: Held, info: ClientInfo, *, seconds: float) -> bool:
    """A viewer has got a ClientInfo; it stays held for `seconds`. False when the lease was lost."""
    row = (*info.key, info.status, info.last_updated)
    return await connection.fetchval(SQL["note_told"], *held, seconds, *row) is not None


async def finish(connection: Connection, held: Held, version: int) -> None:
    """A viewer knows all that is true under a directory version."""
    await connection.execute(SQL["finish"], *held, version)


async def give_back(connection: Connection, held: Held) -> None:
    """A viewer has still to be told something."""
    await connection.execute(SQL["give_back"], *held)


async def put_off(connection: Connection, held: Held) -> None:
    """A viewer does not take what it is told: try again later, each time later still."""
    await connection.execute(SQL["put_off"], *held)


async def try_now(connection: Connection, viewer_id: str) -> None:
    """A viewer came back: it need not wait for its pause to end."""
    await connection.execute(SQL["try_now"], viewer_id)


async def still_to_tell(connection: Connection, viewer_id: str, parties: Iterable[PartyId]) -> frozenset[PartyId]:
    """Of which of these parties, folded, a platform will be told and was not yet since it connected (D-26).

    None where it offers no hubclientinfo, is not connected, or does not take what it is told.
    """
    codes, ids = zip(*parties, strict=True)
    rows = await connection.fetch(SQL["still_to_tell"], viewer_id, codes, ids)
    return frozenset(PartyId(row["country_code"], row["party_id"]) for row in rows)


async def read_time(connection: Connection) -> datetime:
    """The database's time."""
    moment: datetime = await connection.fetchval(SQL["now"])
    return moment
