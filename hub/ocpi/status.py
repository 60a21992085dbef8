"""The one table of (HTTP status, OCPI status code) pairs that the hub itself answers with, and the shape of an answer.

No other module writes such a number. A partner's own answer is relayed with its own pair.

Source: OCPI 2.2.1, status_codes; transport_and_format, Response format. Rules ST-01 … ST-14, AM-12, D-03, D-31.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec


@dataclass(frozen=True, slots=True)
class Status:
    """One answer of the hub: `http` and `ocpi` codes, and the message given when nothing better is known."""

    http: int
    ocpi: int
    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The hub does not do what was asked. `message` tells the partner's engineer what to change."""

    status: Status
    message: str
    allow: tuple[str, ...] = ()
    retry_after_seconds: int | None = None


SUCCESS: Final = Status(200, 1000, "Success")

TOKEN_MISSING: Final = Status(
    401, 2000, "The Authorization header is missing or not of the form: Token <credentials token>"
)
TOKEN_UNKNOWN: Final = Status(401, 2000, "This credentials token is not known here")
TOKEN_ONLY_REGISTERS: Final = Status(401, 2000, "A registration token opens versions and credentials only")
TOO_MANY_UNKNOWN_TOKENS: Final = Status(429, 2000, "Too many requests with unknown credentials tokens")
PLATFORM_SUSPENDED: Final = Status(403, 2000, "The operator of the hub has suspended this platform")
NOT_JSON: Final = Status(400, 2001, "The body is not valid JSON")
BODY_TOO_LARGE: Final = Status(413, 2001, "The body is larger than this hub accepts")
URL_UNKNOWN: Final = Status(404, 2000, "There is nothing at this URL")
METHOD_NOT_OFFERED: Final = Status(405, 2000, "This method is not offered at this URL")
WRONG_REGISTRATION_STATE: Final = Status(405, 2000, "The platform is not in the state that this method needs")
INVALID_PARAMETER: Final = Status(200, 2001, "Invalid or missing parameters")
FOREIGN_PARTY: Final = Status(200, 2001, "The party in OCPI-from-* is not one of this platform's")
OBJECT_NOT_FOUND: Final = Status(404, 2003, "The hub does not hold this object")
TOKEN_NOT_FOUND: Final = Status(404, 2004, "This token is not known")
ISSUED_URL_UNKNOWN: Final = Status(
    404, 2001, "This URL is not known here, has expired or was made for another platform"
)

CONNECT_BACK_FAILED: Final = Status(200, 3001, "The hub could not use your API")
NO_COMMON_VERSION: Final = Status(200, 3002, "There is no OCPI version that both sides speak at this endpoint")
ENDPOINTS_MISSING: Final = Status(200, 3003, "Endpoints that the hub needs are missing")

ROUTING_FAULT: Final = Status(200, 4000, "The hub could not deliver the request")
RECEIVER_UNKNOWN: Final = Status(200, 4001, "The receiving party is not known")
RECEIVER_SILENT: Final = Status(200, 4002, "The receiving party did not answer in time")
RECEIVER_NOT_CONNECTED: Final = Status(200, 4003, "The receiving party is not connected")

TOO_MANY_WAITING: Final = Status(503, 3000, "Too many requests are waiting for an answer; nothing was sent")
LOG_UNAVAILABLE: Final = Status(503, 3000, "The hub cannot take messages at the moment; nothing was sent")
STORE_UNAVAILABLE: Final = Status(503, 3000, "The hub's database is not available at the moment; nothing was sent")
INTERNAL: Final = Status(500, 3000, "The hub has met a fault of its own")

BY_HTTP_TOO: Final = {RECEIVER_SILENT.ocpi: 504, RECEIVER_NOT_CONNECTED.ocpi: 503}
"""HTTP statuses of these codes for peers that look at nothing else (D-02)."""

TABLE: Final[dict[str, Status]] = {name: value for name, value in globals().items() if isinstance(value, Status)}
"""Every pair by its name, for the test of completeness and for the API description."""

_encoder = msgspec.json.Encoder()


def timestamp(now: datetime) -> str:
    """An OCPI DateTime in UTC with whole seconds and a final `Z`."""
    return now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def body(status: Status, now: datetime, *, message: str | None = None, data: Any = None) -> bytes:
    """The JSON of an answer: `data` is left out when None. `data` may be a `msgspec.Raw` of ready JSON."""
    answer: dict[str, Any] = {} if data is None else {"data": data}
    answer["status_code"] = status.ocpi
    answer["status_message"] = message or status.message
    answer["timestamp"] = timestamp(now)
    return _encoder.encode(answer)
