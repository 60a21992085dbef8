"""The calling side of the relay: one request to its end, with the receiver's own answer or the hub's reason why there is none.

Whoever calls it has committed what must be committed before. Entitlement, URL and token are those of the directory at this
moment, and nothing leaves after `start_by`.

Source: rules RT-*, CB-*, OF-*; decisions D-01, D-03, D-04, D-07, D-19.
"""

import asyncio
import secrets
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from hub.delivery.judge import Judgement
from hub.delivery.prepare import prepare
from hub.messaging.topics import BULK_REPLIES, REPLIES, TopicSpec
from hub.model import trace
from hub.model.directory import Directory
from hub.model.envelope import Envelope
from hub.model.issued_url import IssuedKind, IssuedUrl
from hub.model.outcome import Leg, Outcome, Verdict
from hub.ocpi.parties import PartyId
from hub.ocpi.status import (
    INTERNAL,
    RECEIVER_NOT_CONNECTED,
    RECEIVER_SILENT,
    ROUTING_FAULT,
    STORE_UNAVAILABLE,
    Refusal,
    body,
)
from hub.routing.decide import Destination
from hub.routing.directed import is_directed_push
from hub.routing.plan import (
    LONGEST_URL,
    PAGE_PARAMETER,
    Parsed,
    Plan,
    call_url,
    destination_now,
    issued_from_answer,
)
from hub.routing.rewrite import link_header, next_link
from hub.store import issued_urls
from hub.telemetry import PARTNER_CALLS, PARTNER_SECONDS, get_logger
from workers.app import WorkerContext
from workers.calls import call
from workers.directed import Directed
from workers.evidence import Evidence
from workers.planning import STORE_SECONDS

log = get_logger(__name__)

_PAGE_LIFE: Final = timedelta(days=1)
_HEADROOM_BYTES: Final = 2**17
"""What the headers of a reply may weigh."""
_JSON: Final = "application/json"
_calls: Final = cache(PARTNER_CALLS.labels)
_call_seconds: Final = cache(PARTNER_SECONDS.labels)
_THEIRS: Final = frozenset({Verdict.DELIVERED, Verdict.REFUSED})
"""Verdicts that only the receiver can have caused, also where the hub made the body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller: status, headers to pass on, body, and who answered."""

    http_status: int
    headers: dict[str, str]
    body: bytes
    answered_by: PartyId


def reply_topic(parsed: Parsed) -> TopicSpec:
    """Where the caller of this request waits."""
    return BULK_REPLIES if parsed.is_bulk else REPLIES


class Calling:
    """Calls receivers; calls under way are bounded by destination and class, and beyond that the answer is immediate."""

    def __init__(self, context: WorkerContext, evidence: Evidence) -> None:
        self._context = context
        self._evidence = evidence
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self.directed = Directed(context.store)

    async def answer(self, parsed: Parsed, planned: Plan | Refusal) -> Answer:
        """What the caller of this request gets, whatever happens."""
        try:
            return await self._carry_out(parsed, planned)
        except Exception:
            log.exception("request.failed", correlation_id=parsed.envelope.correlation_id)
            return self.refuse(parsed.envelope, Refusal(INTERNAL, INTERNAL.message))

    async def _carry_out(self, parsed: Parsed, planned: Plan | Refusal) -> Answer:
        envelope = parsed.envelope
        if isinstance(planned, Refusal):
            return self.refuse(envelope, planned)
        directory = self._context.keeper.current
        destination = destination_now(planned, directory)
        if isinstance(destination, Refusal):
            return self.refuse(envelope, destination)
        refusal = self._too_late(envelope)
        if refusal is not None:
            return self.refuse(envelope, refusal)
        slot = (destination.platform_id, parsed.operation.traffic.value)
        if self._in_flight[slot] >= self._context.settings.relay_concurrency:
            return self.refuse(
                envelope, Refusal(ROUTING_FAULT, f"Too many requests to {destination.party} are under way")
            )
        self._in_flight[slot] += 1
        try:
            return await self._call(planned, destination, directory)
        finally:
            self._in_flight[slot] -= 1

    def _too_late(self, envelope: Envelope) -> Refusal | None:
        if time.time() * 1000 >= min(envelope.start_by, envelope.deadline):
            return Refusal(RECEIVER_SILENT, "The hub could not send the request in time; nothing was sent")
        if not self._context.keeper.may_send:
            return Refusal(STORE_UNAVAILABLE, "The hub cannot confirm its directory; nothing was sent")
        return None

    async def _call(self, made: Plan, destination: Destination, directory: Directory) -> Answer:
        envelope = made.parsed.envelope
        token = directory.platforms[destination.platform_id].token
        url = call_url(made, destination)
        if token is None or not url:
            return self.refuse(envelope, Refusal(RECEIVER_NOT_CONNECTED, f"{destination.party} is not connected"))
        if len(url) > LONGEST_URL:
            return self.refuse(
                envelope, Refusal(ROUTING_FAULT, "The URL would be longer than the hub calls; nothing was sent")
            )
        attempt = prepare(
            method=envelope.method,
            url=url,
            body=made.body,
            content_type=envelope.content_type,
            token=token,
            to_party=envelope.to_party or destination.party,
            from_party=envelope.from_party,
            request_id=str(uuid.uuid4()),
            correlation_id=envelope.correlation_id,
            traceparent=self._shown_trace(envelope),
        )
        judgement, _, seconds = await call(
            self._context.partners,
            self._evidence,
            destination.platform_id,
            attempt,
            traffic=made.parsed.operation.traffic,
            timeout=max(0.01, envelope.deadline / 1000 - time.time()),
            start_within=max(0.01, envelope.start_by / 1000 - time.time()),
        )
        self._note_call(made, destination, judgement, attempt.headers["X-Request-ID"], seconds)
        if judgement.verdict is Verdict.DELIVERED and is_directed_push(made.parsed):
            await self.directed.keep(made, destination)
        return await self._answer(made, destination, directory, judgement, url)

    def _shown_trace(self, envelope: Envelope) -> str:
        shows = self._context.settings.trace_partners
        return trace.child(envelope.traceparent, secrets.token_hex(8)) if shows else ""

    async def _answer(
        self, made: Plan, destination: Destination, directory: Directory, judgement: Judgement, called: str
    ) -> Answer:
        parsed = made.parsed
        if len(judgement.body) > reply_topic(parsed).largest_record_bytes - _HEADROOM_BYTES:
            return self.refuse(parsed.envelope, Refusal(ROUTING_FAULT, "The answer is larger than the hub carries"))
        headers = dict(judgement.headers)
        location, link = headers.pop("location", None), headers.pop("link", None)
        if judgement.verdict is Verdict.DELIVERED and parsed.operation.kind == "CDR":
            issued = issued_from_answer(
                IssuedKind.CDR, location, called, made, destination, directory, secrets.token_hex(16), None
            )
            await self._issue(issued)
            headers["location"] = f"{self._base(parsed)}/receiver/cdrs/{issued.url_id}"
        following = next_link(link) if link and parsed.is_bulk else None
        if following:
            until = datetime.now(UTC) + _PAGE_LIFE
            issued = issued_from_answer(
                IssuedKind.PAGE, following, called, made, destination, directory, secrets.token_hex(16), until
            )
            if not issued.target_url:
                return self.refuse(parsed.envelope, Refusal(ROUTING_FAULT, "The Link to the next page leads elsewhere"))
            if not await self._issue(issued):
                return self.refuse(
                    parsed.envelope, Refusal(STORE_UNAVAILABLE, "The hub cannot keep the next page's URL")
                )
            page = f"{self._base(parsed)}/sender/{parsed.envelope.module}?{PAGE_PARAMETER}={issued.url_id}"
            headers["link"] = link_header(page)
        is_theirs = judgement.is_partners or judgement.verdict in _THEIRS
        answered_by = destination.party if is_theirs else directory.hub_party
        return Answer(judgement.http_status, headers, judgement.body, answered_by)

    def _base(self, parsed: Parsed) -> str:
        return f"{self._context.settings.ocpi_url}/{parsed.envelope.version}"

    async def _issue(self, issued: IssuedUrl) -> bool:
        """Store a URL that an answer will hold; whatever becomes of it, the receiver's answer stands."""
        try:
            async with asyncio.timeout(STORE_SECONDS), self._context.store.connection() as connection:
                await issued_urls.issue(connection, [issued])
        except Exception as error:
            log.error("issued_url.not_stored", kind=issued.kind.value, error=repr(error))
            return False
        return True

    def refuse(self, envelope: Envelope, refusal: Refusal) -> Answer:
        """The hub's own answer, which is told to the ledger."""
        hub = self._context.keeper.current.hub_party
        self._context.outcomes.note(
            outcome_of(
                envelope,
                "request.refused",
                Verdict.REFUSED,
                http_status=refusal.status.http,
                ocpi_status=refusal.status.ocpi,
                detail=refusal.message,
            )
        )
        headers = {"content-type": _JSON}
        if refusal.retry_after_seconds is not None:
            headers["retry-after"] = str(refusal.retry_after_seconds)
        content = body(refusal.status, datetime.now(UTC), message=refusal.message)
        return Answer(refusal.status.http, headers, content, hub)

    def _note_call(
        self, made: Plan, destination: Destination, judgement: Judgement, request_id: str, seconds: float
    ) -> None:
        envelope = made.parsed.envelope
        _calls(envelope.module, judgement.verdict.value).inc()
        _call_seconds(envelope.module).observe(seconds)
        self._context.outcomes.note(
            outcome_of(
                envelope,
                "delivery.attempted",
                judgement.verdict,
                request_id=request_id,
                platform_id=destination.platform_id,
                to_party=str(destination.party),
                http_status=judgement.http_status if judgement.is_partners else None,
                ocpi_status=judgement.ocpi_status,
                detail=judgement.detail or None,
                elapsed_ms=seconds * 1000,
            )
        )


def outcome_of(
    envelope: Envelope,
    kind: str,
    verdict: Verdict,
    *,
    request_id: str | None = None,
    platform_id: str | None = None,
    to_party: str | None = None,
    http_status: int | None = None,
    ocpi_status: int | None = None,
    detail: str | None = None,
    elapsed_ms: float | None = None,
) -> Outcome:
    """One fact about this request, for the ledger."""
    return Outcome(
        at=int(time.time() * 1000),
        outcome_id=secrets.token_hex(16),
        correlation_id=envelope.correlation_id,
        request_id=request_id or envelope.request_id,
        leg=Leg.RELAY,
        kind=kind,
        verdict=verdict,
        platform_id=platform_id or envelope.platform_id,
        from_party=str(envelope.from_party),
        to_party=to_party or (str(envelope.to_party) if envelope.to_party else None),
        ocpi_version=envelope.version,
        module=envelope.module,
        interface=envelope.interface.value,
        method=envelope.method,
        http_status=http_status,
        ocpi_status=ocpi_status,
        detail=detail,
        elapsed_ms=elapsed_ms,
        trace_id=trace.trace_id(envelope.traceparent),
    )
