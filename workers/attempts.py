"""One attempt to deliver: what is said, read inside the slot, and what the receiver answered.

Entitlement, URL and token are taken from the directory right before the request.

Rules BP-05, BP-13, AU-13; decisions D-03, D-04, D-22.
"""

import secrets
import uuid
from dataclasses import dataclass
from typing import Final

from hub.delivery.content import Content, current_content
from hub.delivery.judge import Judgement
from hub.delivery.prepare import prepare
from hub.model.delivery import Entry, Receiver
from hub.model.directory import Directory, Platform
from hub.model.trace import child
from hub.model.unit import Unit, UnitKey
from hub.ocpi.modules import Interface, TrafficClass
from hub.partners.client import PartnerClient
from hub.routing.rewrite import join
from hub.store import marks
from hub.store.directed_notes import spread_mark
from hub.store.marks import Seen
from hub.store.pool import Store
from hub.store.receivers import Refused
from hub.store.units import read_current
from workers.calls import call
from workers.evidence import Evidence

_UNKNOWN: Final = frozenset({2003, 2004})
"""OCPI codes by which a receiver says that it does not know the object."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The current state of a unit as it was read, and the markings that were on it before that.

    `key` is that of the whole object where a mark asks for all of it. `content` is None where nothing is held. `is_directed`: the
    receiver has a copy of the object of its own, so marks on it ask for its parts only (D-04).
    """

    key: UnitKey
    content: Content | None
    seen: list[Seen]
    found: tuple[Unit, ...] = ()
    is_directed: bool = False


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


async def read(store: Store, receiver: Receiver, entry: Entry, *, with_marks: bool) -> Reading:
    """The current state of the entry's unit; with the marks on it where the receiver has any.

    Raises:
        StoreUnavailable: Postgres did not answer.
    """
    async with store.connection() as connection:
        seen, is_directed = await marks.of_tree(connection, receiver, entry.key.root) if with_marks else ([], False)
        on_whole = next((mark for mark in seen if not mark.key.evse_uid), None)
        if is_directed and on_whole is not None:
            await spread_mark(connection, *on_whole)
            if entry.place is None and not entry.key.evse_uid:
                return Reading(entry.key, None, [], is_directed=True)
        is_whole = not entry.key.evse_uid or (on_whole is not None and not is_directed)
        key = entry.key.root if is_whole else entry.key
        found = await read_current(connection, key)
    covered = seen if is_whole else [mark for mark in seen if mark.key == key]
    return Reading(key, current_content(key, found), covered, found, is_directed)


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
