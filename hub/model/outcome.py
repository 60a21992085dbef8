"""An outcome: one compact fact about one leg of one message, for the ledger. Never a body, a token or driver data."""

from enum import StrEnum
from typing import Final

import msgspec

_SHOWN_OF_TOKEN: Final = 2


class Leg(StrEnum):
    """Which part of the hub tells it."""

    INGRESS = "ingress"
    RELAY = "relay"
    FANOUT = "fanout"
    REGISTRATION = "registration"
    PRESENCE = "presence"
    SYNC = "sync"


class Verdict(StrEnum):
    """What one leg came to, in one word."""

    ACCEPTED = "accepted"
    """The hub took the message (a push is then durable)."""
    DELIVERED = "delivered"
    """The receiver answered with success."""
    REFUSED = "refused"
    """The hub or the receiver refused the content."""
    SILENT = "silent"
    """Sent, no whole answer in time."""
    UNREACHABLE = "unreachable"
    """Not sent: no connection, not connected, or the address guard."""
    TROUBLED = "troubled"
    """The receiver answered, but not as an OCPI platform that could judge the content (401, 403, 429, 5xx, no OCPI)."""
    STALE = "stale"
    """Older than what the hub holds: neither stored nor sent (D-11)."""
    ANSWERED = "answered"
    """The caller has got its answer."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the story of a message.

    `at` is Unix milliseconds; `kind` a dotted past tense such as `push.accepted`, `delivery.attempted`; `platform_id` the
    platform at the far end of this leg; `object` is `module/cc/party/id…` as far as known.
    """

    at: int
    outcome_id: str
    correlation_id: str
    request_id: str
    leg: Leg
    kind: str
    verdict: Verdict
    platform_id: str | None = None
    from_party: str | None = None
    to_party: str | None = None
    ocpi_version: str | None = None
    module: str | None = None
    interface: str | None = None
    method: str | None = None
    object: str | None = None
    http_status: int | None = None
    ocpi_status: int | None = None
    detail: str | None = None
    elapsed_ms: float | None = None
    trace_id: str | None = None


def object_name(module: str, *ids: str) -> str:
    """How an outcome names an object: `locations/NL/ENE/LOC1`. The uid of a Token is a driver's: only its beginning is kept."""
    if module == "tokens" and ids:
        ids = (*ids[:-1], f"{ids[-1][:_SHOWN_OF_TOKEN]}…")
    return "/".join((module, *ids))
