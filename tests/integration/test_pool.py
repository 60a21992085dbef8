"""Connections go back to the pool without a question to the database, and yet as they came."""

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

import hub.store
from hub.store.pool import Store


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    made = await Store.open(database_url, size=1)
    yield made
    await made.close()


async def test_a_connection_that_listened_is_deaf_when_it_comes_back(store: Store) -> None:
    with pytest.warns(asyncpg.InterfaceWarning, match="active notification listener"):
        async with store.connection() as connection:
            await connection.add_listener("news", print)

    async with store.connection() as connection:
        assert await connection.fetch("select pg_listening_channels()") == []


async def test_a_transaction_that_was_left_open_is_rolled_back(store: Store) -> None:
    async with store.connection() as connection:
        await connection.execute("create table left_open (id int)")
        await connection.execute("begin; insert into left_open values (1)")

    async with store.connection() as connection:
        assert await connection.fetchval("select count(*) from left_open") == 0
        assert not connection.is_in_transaction()


async def test_a_statement_that_failed_leaves_a_connection_that_works(store: Store) -> None:
    with contextlib.suppress(Exception):
        async with store.transaction() as connection:
            await connection.execute("select 1/0")

    async with store.connection() as connection:
        assert await connection.fetchval("select 1") == 1


def test_no_statement_leaves_anything_in_its_session() -> None:
    """Nothing would undo it. What begins with `set` in an update is a clause of its statement."""
    for file in Path(hub.store.__path__[0]).glob("*.sql"):
        for statement in re.split(r"^-- name:.*$", file.read_text(), flags=re.M):
            text = re.sub(r"^--.*$", "", statement, flags=re.M).strip()
            assert not re.match(r"set (?!local)|listen|declare", text, re.I), file.name
            assert not re.search(r"pg_(try_)?advisory_lock\(|set_config\(", text, re.I), file.name
