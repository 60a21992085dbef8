"""The relay: carries each request to one party, at most once, and brings the receiver's own answer back.

The order is the promise. Decide the receiver; commit the offset and store the routes and callback URLs that the request
establishes; only then call, within the deadline and never after `start_by`. A relay that dies after the commit has called at
most once; one that dies before it has called nobody, and the next owner of the partition begins anew. What needs nothing of the
store does not wait for it: without Postgres a request whose receiver is named goes on as before.

Source: rules RT-*, OR-*, CB-*, OF-*; decisions D-01, D-07, D-24.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from hub.errors import LogUnavailable, UndecodableRecord, UnknownEnvelopeVersion
from hub.messaging.broker import BatchConsumer, Membership
from hub.messaging.codec import decode, encode_reply
from hub.messaging.dead_letters import bury
from hub.messaging.records import Record
from hub.messaging.topics import BULK_REQUESTS, REQUESTS, TopicSpec
from hub.model.envelope import Reply
from hub.ocpi.modules import TrafficClass
from hub.routing.authorize import Owned, Poll
from hub.routing.plan import Parsed, parse
from hub.telemetry import get_logger
from workers.app import WorkerContext
from workers.authorizing import Authorizing
from workers.calling import Answer, Calling, reply_topic
from workers.evidence import Evidence
from workers.planning import Made, Planned, Planning, Recent

log = get_logger(__name__)

_COMMIT_RETRY_SECONDS: Final = 0.1
_NONCES_REMEMBERED: Final = 50_000
T = TypeVar("T")


async def run(context: WorkerContext) -> None:
    """Relay requests until told to stop; calls under way are finished first.

    Raises:
        UnknownEnvelopeVersion: a newer release has written to the log; nothing of it is lost.
    """
    evidence = Evidence(context.store)
    relay = Relay(context, evidence)
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
    evidence.start()
    for consumer in consumers:
        await consumer.start()
    context.ready()
    await context.stopping.wait()
    last_moment = asyncio.get_running_loop().time() + context.settings.drain_seconds
    await asyncio.gather(*(consumer.stop() for consumer in consumers))
    await relay.drain(last_moment)
    await evidence.stop()
    if relay.too_old is not None:
        raise relay.too_old


class Relay:
    """Handles batches of requests; each call to a partner is a task of its own."""

    def __init__(self, context: WorkerContext, evidence: Evidence) -> None:
        self._context = context
        self.consumers: dict[TopicSpec, BatchConsumer] = {}
        self.too_old: UnknownEnvelopeVersion | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calling = Calling(context, evidence)
        self._authorizing = Authorizing(context, self._calling, self._spawn)
        self._planning = Planning(context.store, context.settings)
        self._nonces = Recent[str](_NONCES_REMEMBERED)

    async def drain(self, last_moment: float) -> None:
        """Wait for the calls under way, each of which has its own deadline, until this moment of the loop's clock at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(last_moment):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        if self._tasks:
            log.warning("calls.cut_off", calls=len(self._tasks))
        await self._calling.directed.finish()

    async def handle(self, spec: TopicSpec, records: Sequence[Record]) -> None:
        """Commit a batch, then start its calls; a batch that is not ours any more is left to the next owner as it is."""
        if self.too_old is not None:
            return
        consumer = self.consumers[spec]
        membership = consumer.membership
        try:
            requests = await self._decode(records)
        except UnknownEnvelopeVersion as error:
            log.critical("worker.too_old", error=str(error))
            self.too_old = error
            self._context.stopping.set()
            return
        directory = self._context.keeper.current
        named, others = self._planning.begin(requests, directory)
        planning = asyncio.create_task(self._planning.finish(others, directory)) if others else None
        if not await self._commit(consumer, membership, records):
            log.warning("batch.abandoned", topic=spec.name, records=len(records))
            if planning:
                planning.cancel()
            return
        for parsed, planned in named:
            self._begin(parsed, planned)
        if planning:
            self._spawn(self._serve_planned(planning))

    async def _commit(self, consumer: BatchConsumer, membership: Membership, records: Sequence[Record]) -> bool:
        """Commit behind these records; while they are ours it is tried again, since without it nothing may be sent."""
        offsets = _next_offsets(records)
        while consumer.membership == membership:
            if await consumer.commit_as(membership, offsets):
                return True
            await asyncio.sleep(_COMMIT_RETRY_SECONDS)
        return False

    async def _decode(self, records: Sequence[Record]) -> list[Parsed]:
        requests: list[Parsed] = []
        broken: list[tuple[Record, UndecodableRecord]] = []
        for record in records:
            try:
                requests.append(parse(decode(record)))
            except UndecodableRecord as error:
                broken.append((record, error))
        for record, fault in broken:
            await bury(self._context.durable, self._context.topics, record, fault)
        return requests

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve_planned(self, planning: asyncio.Task[list[Planned]]) -> None:
        for parsed, planned in await planning:
            self._begin(parsed, planned)

    def _begin(self, parsed: Parsed, planned: Made) -> None:
        """Start one request, unless a record of the same request was read before (the swift producer may write one twice)."""
        if self._nonces.add(parsed.envelope.nonce):
            self._spawn(self._serve(parsed, planned))

    async def _serve(self, parsed: Parsed, planned: Made) -> None:
        """One request to its end: the call, its effects, the reply, which the producer then carries on its own."""
        if parsed.operation.traffic is TrafficClass.AUTHORIZE:
            answer = await self._authorizing.answer(parsed, planned)
        else:
            assert not isinstance(planned, Owned | Poll), "only authorizations are"
            answer = await self._calling.answer(parsed, planned)
        await self._reply(parsed, answer)

    async def _reply(self, parsed: Parsed, answer: Answer) -> None:
        envelope = parsed.envelope
        reply = Reply(
            envelope.nonce,
            answer.http_status,
            (*answer.headers.items(), ("from", str(answer.answered_by))),
            answer.body,
        )
        try:
            sent = await self._context.swift.begin(
                self._context.topics.name(reply_topic(parsed)),
                value=reply.body,
                headers=encode_reply(reply),
                partition=envelope.reply_partition,
            )
            sent.add_done_callback(partial(_tell_if_lost, envelope.correlation_id))
        except LogUnavailable as error:
            log.warning("reply.not_sent", correlation_id=envelope.correlation_id, error=str(error))
        except Exception:
            log.exception("reply.not_sent", correlation_id=envelope.correlation_id)


def _tell_if_lost(correlation_id: str, sent: "asyncio.Future[Any]") -> None:
    error = None if sent.cancelled() else sent.exception()
    if error is not None:
        log.warning("reply.not_sent", correlation_id=correlation_id, error=repr(error))


def _next_offsets(records: Sequence[Record]) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for record in records:
        offsets[record.partition] = max(offsets.get(record.partition, 0), record.offset + 1)
    return offsets
