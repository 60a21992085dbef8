"""The envelope: one OCPI request in the form in which it travels through the log.

The metadata are Kafka headers, the value is the body exactly as the partner sent it, so that what is forwarded is what was
sent (RT-15). Times are Unix milliseconds.
"""

from enum import StrEnum

import msgspec

from hub.model.unit import Place
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId

ENVELOPE_VERSION = 1
"""Raised only with a change that an older worker would misread; such a worker stops (design: never dead-lettered)."""


class Scenario(StrEnum):
    """How the receiver is chosen. Source: OCPI 2.2.1, transport_and_format § Message Routing."""

    DIRECT = "direct"
    OPEN = "open"
    BROADCAST = "broadcast"
    CALLBACK = "callback"
    """To a URL that the hub issued: a command's result, a page, a CDR."""
    GET_ALL = "get_all"
    """A list of what all parties pushed: answered from the store, never on the log."""
    HELD = "held"
    """An owner looks at the hub's copy of its object: answered from the store, never on the log (D-29)."""


class Envelope(msgspec.Struct, frozen=True):
    """One request of a functional module.

    `tail` and `query` are raw, as received. `to_party` is None where the caller named nobody or the hub. `nonce`,
    `reply_partition`, `start_by` and `deadline` are empty or 0 in a push that nobody waits for. `known` stands only in what the
    hub itself fetched from an owner: the last record that was applied to the object before it asked.
    """

    version: str
    module: str
    interface: Interface
    method: str
    tail: str
    query: str
    scenario: Scenario
    platform_id: str
    from_party: PartyId
    to_party: PartyId | None
    request_id: str
    correlation_id: str
    content_type: str
    received_at: int
    body: bytes
    nonce: str = ""
    reply_partition: int = -1
    start_by: int = 0
    deadline: int = 0
    traceparent: str = ""
    known: Place | None = None


class Reply(msgspec.Struct, frozen=True):
    """An answer on its way back to the waiting ingress.

    `headers` holds only what the caller may see (Location, Link, X-Total-Count, X-Limit, Retry-After, routing pairs).
    """

    nonce: str
    http_status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
