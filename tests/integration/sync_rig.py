"""Sync workers as real processes, on a database in which platforms and units are written as registration and fan-out would."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg

from hub.messaging.topics import Topics
from tests.integration.fanout_rig import SECRETS_KEY
from tests.integration.partner_rig import eventually
from tests.integration.worker_processes import Workers, worker_env


class Rig(Workers):
    """One database, and as many sync workers as are started."""

    async def start(self) -> None:
        """Start a sync worker and wait until it is ready."""
        await self.start_worker("sync")

    async def run(self, sql: str, *arguments: object) -> None:
        """Change the database without telling anybody."""
        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.execute(sql, *arguments)
        finally:
            await connection.close()

    async def change(self, sql: str, *arguments: object) -> None:
        """Change the directory; every process is told."""
        connection = await asyncpg.connect(self.database_url)
        try:
            async with connection.transaction():
                await connection.execute(sql, *arguments)
                await connection.execute("update directory_version set version = version + 1")
                await connection.execute("select pg_notify('directory', version::text) from directory_version")
        finally:
            await connection.close()

    async def rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Rows from the database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    async def store(self, module: str, party: str, *object_ids: str) -> None:
        """Write root units of an owner as the fan-out would."""
        for object_id in object_ids:
            await self.run(
                "insert into unit (module, country_code, party_id, object_id, raw, last_updated, clock, log_epoch,"
                " log_partition, log_offset, platform_id, tail, query)"
                " values ($1, $2, $3, $4, '{}', now(), now(), 'e', 0, 0, gen_random_uuid(), '', '')",
                *(module, *party.split("/"), object_id),
            )

    async def marked(self, platform_id: str) -> list[str]:
        """The objects that a platform's parties still have to get."""
        sql = "select object_id from dirty_mark where platform_id = $1 order by object_id"
        return [row[0] for row in await self.rows(sql, platform_id)]

    async def until_marked(self, platform_id: str, *object_ids: str) -> None:
        """Wait until these and no others are marked."""

        async def is_so() -> bool:
            return await self.marked(platform_id) == sorted(object_ids)

        await eventually(is_so)

    async def until_filled(self, platform_id: str, *modules: str) -> None:
        """Wait until a platform is filled in these modules and no others."""

        async def is_so() -> bool:
            sql = "select module from receiver_fill where platform_id = $1 order by module"
            return [row[0] for row in await self.rows(sql, platform_id)] == sorted(modules)

        await eventually(is_so)

    async def until_told(self) -> None:
        """Wait until every sync worker holds the newest directory."""

        async def is_so() -> bool:
            sql = (
                "select coalesce(bool_and(version = (select version from directory_version)), false)"
                " from directory_holder where name = 'sync'"
            )
            return bool((await self.rows(sql))[0][0])

        await eventually(is_so)


@contextlib.asynccontextmanager
async def sync_rig(database_url: str, bootstrap: str, topics: Topics, folder: Path) -> AsyncIterator[Rig]:
    """A hub without platforms and without workers."""
    rig = Rig(database_url, worker_env(database_url, bootstrap, topics, SECRETS_KEY), folder)
    try:
        yield rig
    finally:
        await rig.kill_all()
