"""What every receiver was filled with: which owners' objects were marked for it when it became entitled to them.

A fill is marks, and the row that says so, in one transaction: it is done or it is not, and doing it again is harmless. A lock for
each receiver and module lets any number of processes share the work.

Rules AM-35, BP-16; decisions D-08, D-13, D-26.
"""

from collections.abc import Iterable
from typing import Final

from hub.model.delivery import Receiver
from hub.ocpi.parties import PartyId
from hub.routing.entitlement import Owners, Share
from hub.store import marks
from hub.store.pool import Connection
from hub.store.receivers import columns
from hub.store.statements import load_statements

SQL: Final = load_statements("fills")


async def read(connection: Connection) -> dict[Share, Owners]:
    """Every fill, with its owners."""
    return {
        Share(Receiver(row["platform_id"], PartyId(row["country_code"], row["party_id"])), row["module"]): _owners(
            row["owners"]
        )
        for row in await connection.fetch(SQL["fills"])
    }


async def take(connection: Connection, share: Share, version: int) -> Owners | None:
    """Lock a share for this transaction and read its owners.

    None when another process has it, or when the directory has gone on from `version`: whoever holds the newer one decides.
    """
    if not await connection.fetchval(SQL["lock"], *_place(share)):
        return None
    if await connection.fetchval(SQL["current"]) != version:
        return None
    return _owners(await connection.fetchval(SQL["owners"], *_place(share)) or ())


async def grant(connection: Connection, share: Share, owners: Iterable[PartyId], held: Owners, version: int) -> int:
    """Mark the objects of these owners and note it beside those held before; says how many were marked."""
    granted = sorted(owners)
    marked = 0
    if await catches_up(connection, share.receiver):
        marked = await marks.fill(connection, share.receiver, share.module, granted)
    await _note(connection, share, held | frozenset(granted), version)
    return marked


async def catches_up(connection: Connection, receiver: Receiver) -> bool:
    """Whether a receiver is sent what it missed; nobody changes that before the transaction ends."""
    return bool(await connection.fetchval(SQL["catch_up"], *columns(receiver)) != "none")


async def renew(connection: Connection, receiver: Receiver) -> None:
    """Fill a receiver anew with everything that it may see; a sync worker does it within seconds."""
    await connection.execute(SQL["renew"], *columns(receiver))


async def withdraw(
    connection: Connection, share: Share, owners: Owners, held: Owners, version: int, *, is_over: bool
) -> None:
    """Forget what the receiver missed and refused of these owners; with `is_over` the fill itself, so that a return is filled."""
    parties = sorted(owners)
    codes, ids = [party.country_code for party in parties], [party.party_id for party in parties]
    for statement in ("drop_marks", "drop_refusals"):
        await connection.execute(SQL[statement], *_place(share), codes, ids)
    if is_over:
        await connection.execute(SQL["forget"], *_place(share))
    else:
        await _note(connection, share, held - owners, version)


async def _note(connection: Connection, share: Share, owners: Owners, version: int) -> None:
    await connection.execute(SQL["note"], *_place(share), sorted(map(str, owners)), version)


def _place(share: Share) -> tuple[str, str, str, str]:
    return (*columns(share.receiver), share.module)


def _owners(texts: Iterable[str]) -> Owners:
    return frozenset(PartyId.parse(text) for text in texts)
