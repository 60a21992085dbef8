"""One attempt to deliver: what is said, and what the receiver answered.

Entitlement, URL and token are taken from the directory right before the request.

Rules BP-05, BP-13, AU-13; decisions D-03, D-22.
"""

import secrets
import uuid
from dataclasses import dataclass
from typing import Final

from hub.delivery.content import Content
from hub.delivery.judge import Judgement
from hub.delivery.prepare import prepare
from hub.model.delivery import Entry, Receiver
from hub.model.directory import Directory, Platform
from hub.model.trace import child
from hub.model.unit import UnitKey
from hub.ocpi.modules import Interface, TrafficClass
from hub.partners.client import PartnerClient
from hub.routing.rewrite import join
from hub.store.receivers import Refused
from workers.calls import call
from workers.evidence import Evidence

_UNKNOWN: Final = frozenset({2003, 2004})
"""OCPI codes by which a receiver says that it does not know the object."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """What one request came to."""

    judgement: Judgement
    request_id: str
    correlation_id: str
    began: float
    seconds: float
    token: str

    def used(self, platform: Platform) -> bool:
        """Whether the request was made with the token that the platform has now."""
        return platform.token is not None and platform.token.value == self.token


async def attempt(
    partners: PartnerClient,
    directory: Directory,
    receiver: Receiver,
    entry: Entry,
    content: Content,
    patience: float,
    evidence: Evidence,
    *,
    shows_trace: bool = False,
) -> Attempted:
    """Send one request: TO the receiving party, FROM the hub, a new request id, the sender's correlation id."""
    platform = directory.platforms[receiver.platform_id]
    assert platform.token is not None, "a platform without a token is parked"
    envelope = entry.envelope
    correlation_id = envelope.correlation_id if envelope else str(uuid.uuid4())
    request = prepare(
        method=content.method,
        url=join(platform.endpoints[entry.key.module, Interface.RECEIVER], content.tail, content.query),
        body=content.body,
        content_type=envelope.content_type if envelope and entry.is_raw else "",
        token=platform.token,
        to_party=receiver.party,
        from_party=directory.hub_party,
        request_id=str(uuid.uuid4()),
        correlation_id=correlation_id,
        traceparent=child(envelope.traceparent, secrets.token_hex(8)) if envelope and shows_trace else "",
    )
    judgement, began, seconds = await call(
        partners, evidence, platform.platform_id, request, traffic=TrafficClass.PUSH, timeout=patience
    )
    request_id = request.headers["X-Request-ID"]
    return Attempted(judgement, request_id, correlation_id, began, seconds, platform.token.value)


def is_unknown(judgement: Judgement) -> bool:
    """Whether the receiver refused since it does not know the object."""
    return judgement.http_status == 404 or judgement.ocpi_status in _UNKNOWN


def refusal(receiver: Receiver, key: UnitKey, partition: int, content: Content, made: Attempted) -> Refused:
    """What is kept of a refusal: what was sent of which unit, and what the receiver answered."""
    judgement = made.judgement
    return Refused(
        receiver,
        key,
        partition,
        content.method,
        judgement.http_status,
        judgement.ocpi_status,
        judgement.detail,
        made.correlation_id,
    )
