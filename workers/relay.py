"""The relay: carries each request to one party, at most once, and brings the receiver's own answer back.

The order is the promise. Decide the receiver; store the routes and callback URLs that the request establishes; commit the
offset; only then call, within the deadline and never after `start_by`. A relay that dies after the commit has called at most
once; one that dies before it has called nobody, and the next owner of the partition begins anew.

Source: rules RT-*, OR-*, CB-*, OF-*; decisions D-01, D-07, D-24.
"""

import asyncio
import secrets
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from hub.delivery.judge import Judgement, judge_answer, judge_failure
from hub.delivery.prepare import prepare
from hub.errors import LogUnavailable, PartnerError, StoreUnavailable, UndecodableRecord, UnknownEnvelopeVersion
from hub.messaging.broker import BatchConsumer
from hub.messaging.codec import decode, encode_reply
from hub.messaging.dead_letters import bury
from hub.messaging.records import Record
from hub.messaging.topics import BULK_REPLIES, BULK_REQUESTS, REPLIES, REQUESTS, TopicSpec
from hub.model.directory import Directory
from hub.model.envelope import Envelope, Reply
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
from hub.routing.open_keys import Lookup
from hub.routing.plan import (
    PAGE_PARAMETER,
    IssuedId,
    Parsed,
    Plan,
    call_url,
    chosen,
    issued_from_answer,
    parse,
    plan,
    question,
    resolve,
)
from hub.routing.rewrite import link_header, next_link
from hub.store import issued_urls, routes
from hub.telemetry import PARTNER_CALLS, PARTNER_SECONDS, get_logger
from workers.app import WorkerContext

log = get_logger(__name__)

_STORE_SECONDS: Final = 1.0
_REPLY_SECONDS: Final = 5.0
_NONCES_REMEMBERED: Final = 50_000
_JSON: Final = "application/json"

Target = PartyId | IssuedUrl | None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What goes back to the caller: status, headers to pass on, body, and who answered."""

    http_status: int
    headers: dict[str, str]
    body: bytes
    answered_by: PartyId


async def run(context: WorkerContext) -> None:
    """Relay requests until told to stop; calls under way are finished first."""
    relay = Relay(context)
    consumers = [
        BatchConsumer(
            bootstrap=context.bootstrap,
            topic=context.topics.name(spec),
            group=context.topics.group(f"relay-{spec.name}"),
            handle=lambda records, spec=spec: relay.handle(spec, records),  # type: ignore[misc]
        )
        for spec in (REQUESTS, BULK_REQUESTS)
    ]
    relay.consumers = dict(zip((REQUESTS, BULK_REQUESTS), consumers, strict=True))
    for consumer in consumers:
        await consumer.start()
    context.ready()
    await context.stopping.wait()
    for consumer in consumers:
        await consumer.stop()
    await relay.drain()


class Relay:
    """Handles batches of requests; each call to a partner is a task of its own."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self.consumers: dict[TopicSpec, BatchConsumer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._nonces: OrderedDict[str, None] = OrderedDict()

    async def drain(self) -> None:
        """Wait for the calls under way; each has its own deadline."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def handle(self, spec: TopicSpec, records: Sequence[Record]) -> None:
        """Decide and commit a batch, then start its calls."""
        consumer = self.consumers[spec]
        epoch = consumer.epoch
        requests = await self._decode(records)
        directory = self._context.keeper.current
        plans = await self._plan(requests, directory)
        if consumer.epoch != epoch:
            return
        if not await consumer.commit(_next_offsets(records)):
            log.warning("batch.abandoned", topic=spec.name, records=len(records))
            return
        for parsed, planned in plans:
            self._spawn(parsed, planned)

    async def _decode(self, records: Sequence[Record]) -> list[Parsed]:
        requests: list[Parsed] = []
        for record in records:
            try:
                parsed = parse(decode(record))
            except UnknownEnvelopeVersion as error:
                log.critical("worker.too_old", error=str(error))
                self._context.stopping.set()
                return []
            except UndecodableRecord as error:
                await bury(self._context.durable, self._context.topics, record, error)
                continue
            if not self._seen(parsed.envelope.nonce):
                requests.append(parsed)
        return requests

    def _seen(self, nonce: str) -> bool:
        if nonce in self._nonces:
            return True
        self._nonces[nonce] = None
        if len(self._nonces) > _NONCES_REMEMBERED:
            self._nonces.popitem(last=False)
        return False

    async def _plan(self, requests: Sequence[Parsed], directory: Directory) -> list[tuple[Parsed, Plan | Refusal]]:
        asked = [(parsed, question(parsed)) for parsed in requests]
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                targets = await self._targets(asked)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("routes.not_read", error=repr(error))
            targets = [entry if isinstance(entry, PartyId | Refusal) else _no_store() for _, entry in asked]
        plans = [
            (parsed, target if isinstance(target, Refusal) else self._plan_one(parsed, target, directory))
            for (parsed, _), target in zip(asked, targets, strict=True)
        ]
        return await self._remember(plans)

    def _plan_one(self, parsed: Parsed, target: Target, directory: Directory) -> Plan | Refusal:
        settings = self._context.settings
        try:
            return plan(
                parsed,
                target,
                directory,
                now=datetime.now(UTC),
                ocpi_url=settings.ocpi_url,
                url_id=secrets.token_hex(16),
                url_life=timedelta(seconds=settings.callback_seconds),
            )
        except Exception:
            log.exception("request.not_planned", correlation_id=parsed.envelope.correlation_id)
            return Refusal(INTERNAL, INTERNAL.message)

    async def _targets(
        self, asked: Sequence[tuple[Parsed, PartyId | Lookup | IssuedId | Refusal]]
    ) -> list[Target | Refusal]:
        lookups = [entry for _, entry in asked if isinstance(entry, Lookup)]
        issued_ids = [entry.url_id for _, entry in asked if isinstance(entry, IssuedId)]
        if not lookups and not issued_ids:
            return [entry for _, entry in asked if isinstance(entry, PartyId | Refusal)]
        async with self._context.store.connection() as connection:
            found = await routes.find(connection, lookups)
            urls = await issued_urls.find(connection, issued_ids)
        return [
            chosen(entry, found[entry])
            if isinstance(entry, Lookup)
            else urls.get(entry.url_id)
            if isinstance(entry, IssuedId)
            else entry
            for _, entry in asked
        ]

    async def _remember(self, plans: list[tuple[Parsed, Plan | Refusal]]) -> list[tuple[Parsed, Plan | Refusal]]:
        """Store what the plans establish; a plan whose part could not be stored is not carried out."""
        new_routes = [route for _, made in plans if isinstance(made, Plan) for route in made.routes]
        new_urls = [made.issued for _, made in plans if isinstance(made, Plan) and made.issued]
        if not new_routes and not new_urls:
            return plans
        try:
            async with asyncio.timeout(_STORE_SECONDS), self._context.store.transaction() as connection:
                await routes.remember(connection, new_routes)
                await issued_urls.issue(connection, new_urls)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("routes.not_stored", error=repr(error))
            return [
                (parsed, _no_store() if isinstance(made, Plan) and (made.routes or made.issued) else made)
                for parsed, made in plans
            ]
        return plans

    def _spawn(self, parsed: Parsed, planned: Plan | Refusal) -> None:
        task = asyncio.create_task(self._serve(parsed, planned))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, parsed: Parsed, planned: Plan | Refusal) -> None:
        """One request to its end: the call, its effects, the reply."""
        envelope = parsed.envelope
        try:
            answer = await self._carry_out(parsed, planned)
        except Exception:
            log.exception("request.failed", correlation_id=envelope.correlation_id)
            answer = self._refusal(envelope, Refusal(INTERNAL, INTERNAL.message))
        await self._reply(parsed, answer)

    async def _carry_out(self, parsed: Parsed, planned: Plan | Refusal) -> _Answer:
        envelope = parsed.envelope
        if isinstance(planned, Refusal):
            return self._refusal(envelope, planned)
        directory = self._context.keeper.current
        destination = resolve(parsed, planned.to_party, planned.issued_target, directory)
        if isinstance(destination, Refusal):
            return self._refusal(envelope, destination)
        refusal = self._too_late(envelope)
        if refusal is not None:
            return self._refusal(envelope, refusal)
        slot = (destination.platform_id, parsed.operation.traffic.value)
        if self._in_flight[slot] >= self._context.settings.relay_concurrency:
            return self._refusal(
                envelope, Refusal(ROUTING_FAULT, f"too many requests to {destination.party} are under way")
            )
        self._in_flight[slot] += 1
        try:
            return await self._call(planned, destination, directory)
        finally:
            self._in_flight[slot] -= 1

    def _too_late(self, envelope: Envelope) -> Refusal | None:
        if time.time() * 1000 > envelope.start_by:
            return Refusal(RECEIVER_SILENT, "The hub could not send the request in time; nothing was sent")
        if not self._context.keeper.may_send:
            return Refusal(STORE_UNAVAILABLE, "The hub cannot confirm its directory; nothing was sent")
        return None

    async def _call(self, made: Plan, destination: Destination, directory: Directory) -> _Answer:
        envelope = made.parsed.envelope
        token = directory.platforms[destination.platform_id].token
        url = call_url(made, destination)
        if token is None or not url:
            return self._refusal(envelope, Refusal(RECEIVER_NOT_CONNECTED, f"{destination.party} is not connected"))
        attempt = prepare(
            method=envelope.method,
            url=url,
            body=made.body,
            content_type=envelope.content_type,
            token=token,
            to_party=destination.party,
            from_party=envelope.from_party,
            request_id=str(uuid.uuid4()),
            correlation_id=envelope.correlation_id,
        )
        started = time.monotonic()
        try:
            came = await self._context.partners.send(
                attempt.method,
                attempt.url,
                attempt.headers,
                attempt.body or None,
                timeout=max(0.05, envelope.deadline / 1000 - time.time()),
            )
        except PartnerError as error:
            judgement = judge_failure(error, datetime.now(UTC))
        else:
            judgement = judge_answer(
                http_status=came.http_status,
                headers=came.headers,
                content=came.body,
                method=envelope.method,
                traffic=made.parsed.operation.traffic,
                now=datetime.now(UTC),
            )
        self._note_call(made, destination, judgement, attempt.headers["X-Request-ID"], time.monotonic() - started)
        return await self._answer(made, destination, directory, judgement, url)

    async def _answer(
        self, made: Plan, destination: Destination, directory: Directory, judgement: Judgement, called: str
    ) -> _Answer:
        headers = dict(judgement.headers)
        location, link = headers.pop("location", None), headers.pop("link", None)
        parsed = made.parsed
        if judgement.verdict is Verdict.DELIVERED and parsed.operation.kind == "CDR":
            issued = issued_from_answer(
                IssuedKind.CDR, location, called, made, destination, directory, secrets.token_hex(16)
            )
            await self._issue(issued)
            headers["location"] = f"{self._base(parsed)}/receiver/cdrs/{issued.url_id}"
        following = next_link(link) if link and parsed.is_bulk else None
        if following:
            issued = issued_from_answer(
                IssuedKind.PAGE, following, called, made, destination, directory, secrets.token_hex(16)
            )
            if not issued.target_url:
                return self._refusal(parsed.envelope, Refusal(ROUTING_FAULT, "the next page's Link leads elsewhere"))
            await self._issue(issued)
            page = f"{self._base(parsed)}/sender/{parsed.envelope.module}?{PAGE_PARAMETER}={issued.url_id}"
            headers["link"] = link_header(page)
        answered_by = (
            destination.party
            if judgement.is_partners or judgement.verdict is Verdict.DELIVERED
            else directory.hub_party
        )
        return _Answer(judgement.http_status, headers, judgement.body, answered_by)

    def _base(self, parsed: Parsed) -> str:
        return f"{self._context.settings.ocpi_url}/{parsed.envelope.version}"

    async def _issue(self, issued: IssuedUrl) -> None:
        try:
            async with self._context.store.connection() as connection:
                await issued_urls.issue(connection, [issued])
        except StoreUnavailable as error:
            log.error("issued_url.not_stored", kind=issued.kind.value, error=str(error))

    async def _reply(self, parsed: Parsed, answer: _Answer) -> None:
        envelope = parsed.envelope
        reply = Reply(
            envelope.nonce,
            answer.http_status,
            (*answer.headers.items(), ("from", str(answer.answered_by))),
            answer.body,
        )
        try:
            await self._context.swift.send(
                self._context.topics.name(BULK_REPLIES if parsed.is_bulk else REPLIES),
                value=reply.body,
                headers=encode_reply(reply),
                partition=envelope.reply_partition,
                timeout=_REPLY_SECONDS,
            )
        except LogUnavailable as error:
            log.warning("reply.not_sent", correlation_id=envelope.correlation_id, error=str(error))

    def _refusal(self, envelope: Envelope, refusal: Refusal) -> _Answer:
        hub = self._context.keeper.current.hub_party
        self._context.outcomes.note(
            _outcome(
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
        return _Answer(refusal.status.http, headers, content, hub)

    def _note_call(
        self, made: Plan, destination: Destination, judgement: Judgement, request_id: str, seconds: float
    ) -> None:
        envelope = made.parsed.envelope
        PARTNER_CALLS.labels(envelope.module, judgement.verdict.value).inc()
        PARTNER_SECONDS.labels(envelope.module).observe(seconds)
        self._context.outcomes.note(
            _outcome(
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


def _outcome(
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
    return Outcome(
        at=int(time.time() * 1000),
        outcome_id=str(uuid.uuid4()),
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
    )


def _no_store() -> Refusal:
    return Refusal(STORE_UNAVAILABLE, STORE_UNAVAILABLE.message, retry_after_seconds=5)


def _next_offsets(records: Sequence[Record]) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for record in records:
        offsets[record.partition] = max(offsets.get(record.partition, 0), record.offset + 1)
    return offsets
