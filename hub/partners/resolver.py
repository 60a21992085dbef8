"""Looks up partners' host names so that a slow name server holds up nobody but its own partner.

A look-up blocks a thread for as long as a name server is silent, and partners choose the names. In the event loop's few shared
threads a handful of such names would stop the calls to every partner. So each look-up has a thread of its own, their number is
bounded, and a host that was found before is called at its last known addresses when a new look-up does not answer soon. The
threads are daemons: a name server that is silent does not hold up the end of the process either.

Which address may be called is not decided here: the guard judges every address at connect time.
"""

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

MOST_LOOKUPS: Final = 64
MOST_KNOWN: Final = 10_000
PATIENCE_SECONDS: Final = 0.5
KNOWN_SECONDS: Final = 3600.0
"""How long the last known addresses of a host may stand in for a look-up that does not answer."""

_Name = tuple[str, int, socket.AddressFamily]
_Lookup = asyncio.Future[list[ResolveResult]]


class PartnerResolver(AbstractResolver):
    """Host names to addresses, for one event loop."""

    def __init__(self, *, most_lookups: int = MOST_LOOKUPS, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._most_lookups = most_lookups
        self._patience_seconds = patience_seconds
        self._under_way: dict[_Name, _Lookup] = {}
        self._known: dict[_Name, tuple[float, list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, or those last known where its name server is silent or has trouble.

        Raises:
            OSError: the name does not exist, or nothing is known of it and it cannot be looked up now.
            UnicodeError: it is no host name.
        """
        name = (host, port, family)
        known = self._last_known(name)
        lookup = self._under_way.get(name) or self._begin(name)
        if lookup is None:
            if known is None:
                raise OSError(errno.EAGAIN, "too many host names are being looked up")
            return known
        done, _ = await asyncio.wait({lookup}, timeout=None if known is None else self._patience_seconds)
        if known is not None and (not done or _is_passing(lookup.exception())):
            return known
        return lookup.result()

    async def close(self) -> None:
        """Nothing to close: look-ups that are under way end by themselves."""

    def _begin(self, name: _Name) -> _Lookup | None:
        """Look up in a new thread; None where too many are under way."""
        if len(self._under_way) >= self._most_lookups:
            return None
        loop = asyncio.get_running_loop()
        lookup = self._under_way[name] = loop.create_future()
        lookup.add_done_callback(partial(self._ended, name))
        threading.Thread(target=_ask, args=(loop, lookup, name), name="name look-up", daemon=True).start()
        return lookup

    def _ended(self, name: _Name, lookup: _Lookup) -> None:
        del self._under_way[name]
        if lookup.exception() is None:
            self._known.pop(name, None)
            self._known[name] = time.monotonic(), lookup.result()
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]

    def _last_known(self, name: _Name) -> list[ResolveResult] | None:
        found_at, addresses = self._known.get(name, (0.0, []))
        return addresses if addresses and time.monotonic() - found_at < KNOWN_SECONDS else None


def _ask(loop: asyncio.AbstractEventLoop, lookup: _Lookup, name: _Name) -> None:
    """Runs in a thread: ask the system and hand its word to the loop, if that is still there."""
    host, port, family = name
    settle: partial[None]
    try:
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        settle = partial(lookup.set_result, _addresses(host, port, found))
    except Exception as error:
        settle = partial(lookup.set_exception, error)
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)


def _addresses(host: str, port: int, found: Sequence[tuple[Any, ...]]) -> list[ResolveResult]:
    return [
        ResolveResult(
            hostname=host,
            host=_numeric(address),
            port=port,
            family=family,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for family, _, protocol, _, address in found
    ]


def _numeric(address: tuple[Any, ...]) -> str:
    """The address as text, a link-local one with its scope."""
    text = str(address[0])
    has_scope = len(address) == 4 and address[3] and "%" not in text
    return f"{text}%{address[3]}" if has_scope else text


def _is_passing(error: BaseException | None) -> bool:
    """Whether a look-up failed for a reason that says nothing about the name."""
    return isinstance(error, socket.gaierror) and error.errno in {socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM}
