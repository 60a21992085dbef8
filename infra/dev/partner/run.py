"""The composition root: builds a platform from its options, opens its two doors, and keeps it going until it is told to stop."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from typing import Self

from infra.dev.partner.client import Client
from infra.dev.partner.control import Control, listen
from infra.dev.partner.handshake import HandshakeError, register
from infra.dev.partner.load import load_files
from infra.dev.partner.options import Options
from infra.dev.partner.platform import Platform
from infra.dev.partner.server import Door
from infra.dev.partner.state import keep, restore, save
from infra.dev.partner.tables import load_tables
from infra.dev.partner.words import VERSIONS_PATH

AGAIN_S = 0.5


class Partner:
    """One running platform. Used as an async context manager, or by `start` and `stop`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.control_url = ""
        self._exits = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it."""
        await self.stop()

    @property
    def versions_url(self) -> str:
        """Give where others begin with it."""
        return self._platform.base_url + VERSIONS_PATH

    @property
    def token(self) -> str | None:
        """Give the one-time token for someone who registers at it; None while it is registered."""
        return self._platform.connection.invitation

    async def start(self) -> None:
        """Load, listen, and register where the options say so.

        Raises:
            ValueError: a file cannot be read.
            OSError: a port cannot be had.
            HandshakeError: the hub refused, or did not answer in time.
        """
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise

    async def stop(self) -> None:
        """Save the state, cut all connections and free the ports."""
        await self._exits.aclose()

    async def _start(self) -> None:
        options = self.options
        client = await self._exits.enter_async_context(Client())
        platform = self._platform = Platform(options, load_tables(), client)
        remembered = restore(platform, options.state) if options.state else 0
        load_files(options.load, platform.parties, platform.own)
        door = Door(platform, options.port or remembered)
        await door.open()
        self._exits.push_async_callback(self._close, door)
        host = f"[{options.host}]" if ":" in options.host else options.host
        platform.base_url = (options.public_url or f"http://{host}:{door.port}").rstrip("/")
        runner, control_port = await listen(Control(platform, door).application(), options.control_port)
        self._exits.push_async_callback(runner.cleanup)
        self.control_url = f"http://127.0.0.1:{control_port}"
        if platform.connection.peer is None:
            await self._register()
        if platform.connection.peer is None and platform.connection.invitation is None:
            platform.connection.invite()
        if options.state:
            save(platform, options.state, door.port)
            platform.start(keep(platform, options.state, door.port))

    async def _register(self) -> None:
        url, token = self.options.hub_versions_url, self.options.hub_token
        if url is None or token is None:
            return None
        deadline = time.monotonic() + self.options.hub_wait_s
        while True:
            try:
                return await register(self._platform, url, token)
            except HandshakeError as error:
                if not error.passing or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def _close(self, door: Door) -> None:
        platform = self._platform
        platform.faults.clear()
        for task in list(platform.tasks):
            task.cancel()
        await asyncio.gather(*platform.tasks, return_exceptions=True)
        if self.options.state:
            save(platform, self.options.state, door.port)
        await door.close(reserve=False)
        door.release()


async def run(options: Options) -> None:
    """Start a platform, say `ready {...}` on stdout, and serve until SIGTERM or SIGINT.

    Raises:
        ValueError, OSError, HandshakeError: it could not start.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    partner = Partner(options)
    starting = asyncio.create_task(partner.start())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    stopping_at_once = starting.exception()
    if stopping_at_once is not None:
        stopping.cancel()
        raise stopping_at_once
    ready = {"versions_url": partner.versions_url, "control_url": partner.control_url, "token": partner.token}
    sys.stdout.write(f"ready {json.dumps(ready)}\n")
    sys.stdout.flush()
    try:
        await stopping
    finally:
        await partner.stop()
