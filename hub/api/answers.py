"""How the doors answer: the OCPI body, the echoed message ids and, on functional modules, the swapped routing pair.

Rules FM-03, FM-05, ID-01, ID-02, RT-08, AM-09, AM-10.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self

from starlette.responses import Response

from hub.ocpi.headers import CORRELATION_ID, REQUEST_ID, message_id, routing_headers
from hub.ocpi.parties import PartyId
from hub.ocpi.status import Refusal, Status, body

JSON = "application/json"
_WITHOUT_LENGTH = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class MessageIds:
    """The ids of the request that is answered; made by the hub where the client sent none."""

    request_id: str
    correlation_id: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self:
        """Read them from lower-case headers."""
        return cls(
            message_id(headers, REQUEST_ID) or str(uuid.uuid4()),
            message_id(headers, CORRELATION_ID) or str(uuid.uuid4()),
        )

    def headers(self) -> dict[str, str]:
        """As response headers."""
        return {REQUEST_ID: self.request_id, CORRELATION_ID: self.correlation_id}


def answer(
    status: Status,
    ids: MessageIds,
    *,
    message: str | None = None,
    data: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that the hub itself makes."""
    content = body(status, datetime.now(UTC), message=message, data=data)
    return Answered(status.http, {"Content-Type": JSON, **ids.headers(), **(headers or {})}, content)


class Answered(Response):
    """A response with exactly these headers and its length.

    Their values are text of any script, a partner's own: they leave as UTF-8, as they came.
    """

    def __init__(self, http_status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status_code = http_status
        self.body = content
        self.background = None
        self.raw_headers = [(_raw_name(name), value.encode()) for name, value in headers.items()]
        if http_status not in _WITHOUT_LENGTH:
            self.raw_headers.append((b"content-length", b"%d" % len(content)))


@cache
def _raw_name(name: str) -> bytes:
    return name.lower().encode("ascii")


def refuse(refusal: Refusal, ids: MessageIds, *, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that the hub refuses."""
    extra = dict(headers or {})
    if refusal.allow:
        extra["Allow"] = ", ".join(refusal.allow)
    if refusal.retry_after_seconds is not None:
        extra["Retry-After"] = str(refusal.retry_after_seconds)
    return answer(refusal.status, ids, message=refusal.message, headers=extra)


def from_hub(hub: PartyId, requester: PartyId | None) -> dict[str, str]:
    """The routing pair of an answer that the hub itself makes to a functional request."""
    return routing_headers(requester, hub) if requester else {}
