"""Requests that the platform makes: what goes into them, and what came back.

No redirects are followed, URLs are sent as they are written, and nothing is retried here. An answer that never came
is a value as well.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aiohttp
from yarl import URL

from infra.dev.partner.wire import NotJsonError, authorization, decode
from infra.dev.partner.words import Party

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, headers complete."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    @property
    def request_id(self) -> str | None:
        """Give its X-Request-ID."""
        return self.headers.get("X-Request-ID")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Without an HTTP answer `http_status` is None and `error` says why. Header names are lower case."""

    http_status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent_at: float = 0.0
    ms: float = 0.0
    error: str | None = None

    def json(self) -> Any:
        """Give the body as JSON value, or as text where it is none; None where it is empty."""
        if not self.body:
            return None
        try:
            return decode(self.body)
        except NotJsonError:
            return self.body.decode("utf-8", "replace")

    @property
    def status_code(self) -> int | None:
        """Give OCPI's status code, where the body has one."""
        body = self.json()
        code = body.get("status_code") if isinstance(body, dict) else None
        return code if isinstance(code, int) else None

    @property
    def succeeded(self) -> bool:
        """Say whether the peer took it: HTTP 2xx, and 1xxx where there is an envelope."""
        if self.http_status is None or not 200 <= self.http_status < 300:
            return False
        code = self.status_code
        return code is None or 1000 <= code < 2000

    def data(self) -> Any:
        """Give what the envelope carries.

        Raises:
            ValueError: there was no answer, or one without success.
        """
        body = self.json()
        if not self.succeeded or not isinstance(body, dict):
            message = body.get("status_message") if isinstance(body, dict) else None
            raise ValueError(self.error or f"HTTP {self.http_status}, status code {self.status_code}: {message}")
        return body.get("data")


def request_headers(token: str | None, from_party: Party | None, to_party: Party | None) -> dict[str, str]:
    """Make the headers of a request: new ids, the token, and the routing pairs of those parties that are given."""
    headers = {"X-Request-ID": str(uuid4()), "X-Correlation-ID": str(uuid4())}
    if token is not None:
        headers["Authorization"] = authorization(token)
    for party, direction in ((from_party, "from"), (to_party, "to")):
        if party is not None:
            headers[f"OCPI-{direction}-country-code"] = party.country_code
            headers[f"OCPI-{direction}-party-id"] = party.party_id
    return headers


class Client:
    """The platform's own connections to others. Used as an async context manager."""

    async def __aenter__(self) -> Self:
        """Open it."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, outgoing: Outgoing) -> Answer:
        """Make the request once and give what came of it."""
        sent_at, started = time.time(), time.perf_counter()
        try:
            async with self._session.request(
                outgoing.method,
                URL(outgoing.url, encoded=True),
                data=outgoing.body,
                headers=outgoing.headers,
                allow_redirects=False,
                skip_auto_headers=("Content-Type",),
            ) as response:
                body = await response.read()
                ms = (time.perf_counter() - started) * 1000
                shown = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, shown, body, sent_at, ms)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            ms = (time.perf_counter() - started) * 1000
            return Answer(None, sent_at=sent_at, ms=ms, error=f"{type(error).__name__}: {error}")


def sha256(content: bytes) -> str:
    """Digest bytes as lower-case hexadecimal."""
    return hashlib.sha256(content).hexdigest()
