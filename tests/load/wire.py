"""HTTP/1.1 with as little work as possible, so that what is measured is the hub: one caller, one server.

Bodies have a Content-Length on both sides; chunked ones are not read.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final, NamedTuple, Self, cast
from urllib.parse import urlsplit

_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class Message(NamedTuple):
    """A request or an answer: its head as it came, without the blank line, and its body."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        """The HTTP status of an answer."""
        return int(self.head[9:12])

    def header(self, name: str) -> str | None:
        """One header's value."""
        found = re.search(rb"\r\n" + re.escape(name.encode()) + rb":[ \t]*([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else None


class _Reader(asyncio.Protocol):
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = b""
        self._body_begins = 0
        self._ends = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            if not self._ends and not self._find_ends():
                return
            if len(self._buffer) < self._ends:
                return
            message = Message(
                self._buffer[: self._body_begins - len(_END)], self._buffer[self._body_begins : self._ends]
            )
            self._buffer = self._buffer[self._ends :]
            self._ends = 0
            self.came(message)

    def _find_ends(self) -> bool:
        end = self._buffer.find(_END)
        if end < 0:
            return False
        length = _LENGTH.search(self._buffer, 0, end + 2)
        self._body_begins = end + len(_END)
        self._ends = self._body_begins + (int(length[1]) if length else 0)
        return True

    def came(self, message: Message) -> None:
        raise NotImplementedError


class Caller(_Reader):
    """A kept connection to a server, with one request under way at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[Message] | None = None

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the host of a URL."""
        parts = urlsplit(url)
        _, caller = await asyncio.get_running_loop().create_connection(cls, parts.hostname or "", parts.port or 0)
        return caller

    async def ask(self, request: bytes) -> Message:
        """Send bytes and give the answer.

        Raises:
            ConnectionError: the connection ended first.
        """
        if self.transport.is_closing():
            raise ConnectionResetError("closed")
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def came(self, message: Message) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(str(error)))

    def close(self) -> None:
        """End the connection."""
        self.transport.abort()


Answering = Callable[[Message], bytes | None]
"""Gives the bytes of the answer; None leaves the caller waiting."""


class _Serving(_Reader):
    def __init__(self, answering: Answering, open_ones: set["_Serving"]) -> None:
        super().__init__()
        self._answering = answering
        self._open_ones = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open_ones.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._open_ones.discard(self)

    def came(self, message: Message) -> None:
        answer = self._answering(message)
        if answer is not None:
            self.transport.write(answer)


class Listener:
    """A server on loopback that can go down, with its connections, and come back on the same port."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._open_ones: set[_Serving] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Serving(self._answering, self._open_ones), "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections and cut off those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Cut off the connections that are open."""
        for serving in list(self._open_ones):
            serving.transport.abort()


def request(method: str, target: str, headers: str, body: bytes = b"") -> bytes:
    """The bytes of a request; `headers` are whole lines."""
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: hub\r\n{headers}{length}\r\n".encode() + body


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """The bytes of an answer in JSON."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
