"""Listens to one channel of Postgres for as long as the process runs."""

import asyncio
from collections.abc import Callable

from hub.errors import StoreUnavailable
from hub.store.pool import Connection, Store
from hub.telemetry import get_logger

log = get_logger(__name__)

_AGAIN_SECONDS = 1.0


async def listen_for_ever(store: Store, channel: str, told: Callable[[], None]) -> None:
    """Call `told` on every notice, and once whenever listening begins: notices may have been missed before."""
    while True:
        try:
            async with store.connection() as connection:
                await _listen_on(connection, channel, told)
        except StoreUnavailable as error:
            log.warning("channel.not_listening", channel=channel, error=str(error))
        except Exception:
            log.exception("channel.not_listening", channel=channel)
        await asyncio.sleep(_AGAIN_SECONDS)


async def _listen_on(connection: Connection, channel: str, told: Callable[[], None]) -> None:
    """Listen until the connection ends."""
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    heard = lambda *_: told()  # noqa: E731
    await connection.add_listener(channel, heard)
    told()
    try:
        await ended.wait()
    finally:
        if not connection.is_closed():
            await connection.remove_listener(channel, heard)
