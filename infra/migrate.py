"""Plain forward migrations: each file of `infra/migrations` once, in order, under an advisory lock.

Every file must be safe while the previous release still runs.
"""

import hashlib
from importlib.resources import files

import asyncpg

from hub.errors import ConfigurationError
from hub.store.pool import readable_url, translated

_LOCK = 0x6F637069


async def migrate(url: str) -> list[str]:
    """Bring the database to the newest schema; returns the names applied now.

    Raises:
        StoreUnavailable: the database does not answer.
        ConfigurationError: a migration that was applied has changed since.
    """
    with translated(), readable_url():
        connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        return await _apply_missing(connection)
    finally:
        await connection.close()


async def _apply_missing(connection: asyncpg.Connection) -> list[str]:
    await connection.execute(
        "create table if not exists migration (name text primary key, sha256 text not null,"
        " applied_at timestamptz not null default now())"
    )
    known = {row["name"]: row["sha256"] for row in await connection.fetch("select name, sha256 from migration")}
    applied = []
    for name, sql in migrations():
        digest = hashlib.sha256(sql.encode()).hexdigest()
        if name in known:
            if known[name] != digest:
                raise ConfigurationError(f"migration {name} was changed after it was applied")
            continue
        async with connection.transaction():
            await connection.execute(sql)
            await connection.execute("insert into migration (name, sha256) values ($1, $2)", name, digest)
        applied.append(name)
    return applied


def migrations() -> list[tuple[str, str]]:
    """Every migration as (name, SQL), in the order in which they apply."""
    folder = files("infra.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, folder.joinpath(name).read_text()) for name in names]
