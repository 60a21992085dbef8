"""Since when a party's objects are visible: since its platform listed it, as registration and operators write it (D-26)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.ocpi.parties import PartyId, Role
from hub.store import operators, platforms
from hub.store.platforms import ListedRole
from hub.store.pool import Connection, Store
from tests.integration.fanout_rig import add_platform


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    store = await Store.open(database_url, size=1)
    async with store.connection() as opened:
        yield opened
    await store.close()


@pytest.fixture
async def platform(database_url: str) -> str:
    """A platform with one party that an operator invited, and that has not registered yet."""
    return await add_platform(database_url, "CPO NL/CPO", status="invited")


async def listed(connection: Connection, platform: str, *parties: str) -> list[Any]:
    """The platform registers and lists these CPOs; since when each party of the platform is visible, by its id."""
    roles = [ListedRole(PartyId.parse(party), Role.CPO, party, "{}") for party in parties]
    await platforms.replace_roles(connection, platform, roles)
    return await since(connection)


async def since(connection: Connection) -> list[Any]:
    """Since when each party is visible, by its id."""
    return [row[0] for row in await connection.fetch("select visible_since from party order by party_id")]


async def test_a_party_is_visible_since_it_was_listed_first_and_since_then_only(
    connection: Connection, platform: str
) -> None:
    assert await since(connection) == [None]
    first = await listed(connection, platform, "NL/CPO")
    again = await listed(connection, platform, "NL/CPO")

    assert first != [None]
    assert again == first


async def test_a_party_that_was_dropped_is_visible_anew_when_it_is_listed_again(
    connection: Connection, platform: str
) -> None:
    first = await listed(connection, platform, "NL/CPO")
    await listed(connection, platform)
    again = await listed(connection, platform, "NL/CPO")

    assert again > first


async def test_a_party_that_only_the_handshake_named_is_visible_since_an_operator_invited_it(
    connection: Connection, platform: str
) -> None:
    first = await listed(connection, platform, "NL/CP2", "NL/CPO")
    await operators.invite_role(connection, platform, PartyId("NL", "CP2"), Role.CPO, is_listed=True)
    later = await since(connection)

    assert later[0] > first[0]
    assert later[1] == first[1]
