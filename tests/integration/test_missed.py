"""What receivers missed and refused is written whatever one row of it is like."""

from collections.abc import AsyncIterator

import pytest

from hub.model.delivery import Receiver
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId
from hub.store.pool import Store
from hub.store.receivers import Refused
from tests.integration.fanout_rig import add_platform
from tests.integration.partner_rig import eventually
from workers.missed import MissedWriter


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    made = await Store.open(database_url, size=4)
    yield made
    await made.close()


def a_key(number: int) -> UnitKey:
    return UnitKey("locations", "NL", "CPO", f"L{number}", "")


async def test_a_row_that_cannot_be_held_keeps_no_other_from_being_written(store: Store, database_url: str) -> None:
    receiver = Receiver(await add_platform(database_url, "EMSP NL/MSP"), PartyId("NL", "MSP"))
    gone = Receiver("11111111-1111-1111-1111-111111111111", PartyId("NL", "OLD"))
    writer, released = MissedWriter(store), list[int]()

    for number in range(20):
        detail = "\x00" if number == 7 else "no"
        said = Refused(receiver, a_key(number), 0, "PUT", 200, 2001, detail, "correlation")
        writer.refuse(said, lambda number=number: released.append(number))  # type: ignore[misc]
        writer.miss(gone if number == 3 else receiver, a_key(number), 0, lambda: None)
    async with store.connection() as connection:
        assert await connection.fetchval("select count(*) from refusal") == 0

        async def is_written() -> bool:
            try:
                await writer.flush()
            except Exception:
                return False
            return True

        await eventually(is_written)
        assert await connection.fetchval("select count(*) from refusal") == 19
        assert await connection.fetchval("select count(*) from dirty_mark") == 19
    assert sorted(released) == list(range(20))
