"""The connection pool, and the one place where Postgres' and the network's errors become `StoreUnavailable`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import asyncpg

from hub.errors import ConfigurationError, StoreUnavailable

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

ACQUIRE_SECONDS = 5.0
STATEMENT_SECONDS = 20.0

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement on a connection whose end has come but is not noticed yet
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.ReadOnlySQLTransactionError,
)


class _Session(asyncpg.Connection):  # type: ignore[misc]
    """Goes back to the pool without a question to the database: our statements leave nothing in a session but what it listens to.

    An open transaction is rolled back all the same.
    """

    _has_listened = False

    async def add_listener(self, channel: str, callback: Any) -> None:
        self._has_listened = True
        await super().add_listener(channel, callback)

    def get_reset_query(self) -> str:
        return "unlisten *" if self._has_listened else ""


class Store:
    """A pool of connections to one database."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, size: int) -> "Store":
        """Connect.

        Raises:
            StoreUnavailable: the database does not answer or refuses.
            ConfigurationError: the URL is none.
        """
        with translated(), readable_url():
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=size,
                command_timeout=STATEMENT_SECONDS,
                timeout=ACQUIRE_SECONDS,
                connection_class=_Session,
                server_settings={
                    "plan_cache_mode": "force_custom_plan"
                },  # a plan made for empty tables is kept for hours
            )
        return cls(pool)

    async def close(self) -> None:
        """Close all connections; those in use are given up after a moment."""
        try:
            async with asyncio.timeout(3):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for single statements.

        Raises:
            StoreUnavailable: none could be had, or the database went away meanwhile.
        """
        with translated():
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction that is committed at the end and rolled back on an exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection


@contextlib.contextmanager
def readable_url() -> Iterator[None]:
    """Turn a URL that cannot be read into one line to the operator, without the URL: it may hold a password."""
    try:
        yield
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        raise ConfigurationError(f"HUB_POSTGRES_URL cannot be read: {type(error).__name__}") from error


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn errors that mean *the database is away* into `StoreUnavailable`; data errors pass."""
    try:
        yield
    except _AWAY as error:
        raise StoreUnavailable(f"Postgres: {type(error).__name__}: {error}") from error
