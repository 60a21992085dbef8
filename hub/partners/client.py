"""Sends one request to a partner and reads one answer.

No redirects (the hub's token would follow them), no cookies, no proxies from the environment, the path byte for byte as given,
and an answer no larger than the limit, counted while reading and after decompression. A request is sent once: aiohttp's own
repetition on a stale connection is off, so at most once is kept here. Idle connections are closed after a few seconds,
sooner than servers usually do, which keeps a request from meeting a connection that its server is just closing.
"""

import asyncio
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from hub.errors import AddressRefused, AnswerTooLarge, PartnerSilent, PartnerUnreachable
from hub.partners.guard import AddressGuard
from hub.partners.resolver import PartnerResolver

_CONNECT_SECONDS: Final = 5.0
_KEEPALIVE_SECONDS: Final = 4.0
_DNS_CACHE_SECONDS: Final = 10
_LARGEST_HEADER_BYTES: Final = 32_768
_NEVER_ADDED: Final = ("User-Agent", "Content-Type")
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a partner answered; `headers` by lower-case name, of a repeated one the first, but every Link, joined."""

    http_status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_ms: float


class PartnerClient:
    """One pool of connections per host, shared by everything that a process sends."""

    def __init__(self, guard: AddressGuard, *, largest_answer_bytes: int, connections_per_host: int) -> None:
        self._guard = guard
        self._largest = largest_answer_bytes
        self._per_host = connections_per_host
        self._resolver = PartnerResolver()
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        start_within: float | None = None,
    ) -> Answer:
        """Send a request; `timeout` seconds is all the time there is, connecting included.

        Nothing is sent later than `start_within` seconds from now, however long a connection takes.

        Raises:
            AddressRefused: the guard does not let the URL or its address pass; nothing was sent.
            PartnerUnreachable: no connection; nothing was sent.
            PartnerSilent: no whole answer in time, or the connection broke; the partner may have acted.
            AnswerTooLarge: the answer is larger than the limit.
        """
        self._guard.check_url(url)
        started = time.monotonic()
        sent = _Sent()
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(method, url, headers, body, started, sent, start_within)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _translated(error, sent, timeout) from error

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        started: float,
        sent: "_Sent",
        start_within: float | None,
    ) -> Answer:
        target = URL(url, encoded=True)
        _sent.set(sent)
        async with self._session(target.scheme).request(
            method,
            target,
            headers=headers,
            data=body,
            allow_redirects=False,
            timeout=_TIMEOUT if start_within is None else _to_connect_within(start_within),
        ) as response:
            content = await self._read(response)
            kept: dict[str, str] = {}
            for name, value in response.headers.items():
                key = name.lower()
                kept[key] = f"{kept[key]}, {value}" if key == "link" and key in kept else kept.get(key, value)
            return Answer(response.status, kept, content, (time.monotonic() - started) * 1000)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole answer; a small one has come with its head."""
        if response.content.is_eof():
            content = response.content.read_nowait()
            self._check_size(response, content)
            return content
        parts = bytearray()
        async for chunk in response.content.iter_any():
            parts += chunk
            self._check_size(response, parts)
        return bytes(parts)

    def _check_size(self, response: aiohttp.ClientResponse, content: bytes | bytearray) -> None:
        if len(content) > self._largest:
            response.close()
            raise AnswerTooLarge(f"the answer is larger than {self._largest} bytes")

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        session = self._sessions.get(scheme)
        if session is None:
            session = self._sessions[scheme] = self._new_session(with_tls=scheme == "https")
        return session

    def _new_session(self, *, with_tls: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=self._per_host,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            resolver=self._resolver,
            socket_factory=self._guard.socket_factory(with_tls=with_tls),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
            request_class=_Request,
            skip_auto_headers=_NEVER_ADDED,
            trust_env=False,
            requote_redirect_url=False,
            max_line_size=_LARGEST_HEADER_BYTES,
            max_field_size=_LARGEST_HEADER_BYTES,
        )
        session._retry_connection = False
        return session


class _Sent:
    """Whether the request began to leave, so that the partner may have seen it."""

    def __init__(self) -> None:
        self.began = False


_sent: ContextVar[_Sent] = ContextVar("sent")
"""Of the request that the task makes. aiohttp's own tracing says the same, but parses the URL anew for each request."""


class _Request(ClientRequest):
    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        _sent.get().began = True
        return await super().send(conn)


def _to_connect_within(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=_CONNECT_SECONDS)


def _translated(error: Exception, sent: _Sent, timeout: float) -> Exception:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PermissionError):
        return AddressRefused(error.os_error.strerror or "this address may not be called")
    if not sent.began and isinstance(error, ValueError):
        return AddressRefused("the URL cannot be parsed")
    if not sent.began:
        return PartnerUnreachable(_reason(error))
    if isinstance(error, TimeoutError):
        return PartnerSilent(f"no answer within {timeout:.1f} s")
    return PartnerSilent(f"the connection broke before the answer was whole: {type(error).__name__}")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host name cannot be resolved"
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return "TLS could not be established"
    return f"no connection: {type(error).__name__}"
