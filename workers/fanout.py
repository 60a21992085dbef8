"""The fan-out: stores every broadcast push, chooses its audience and delivers to each receiver through a lane of its own.

What the group takes away is dropped at once: Kafka is the log, the next owner reads it again. So all state that belongs to an
assignment lives in one `_Assignment`, which is replaced whole. An offset is committed only when every receiver is done with its
record.

Rules BP-*, OB-*; decisions D-11, D-12, D-28.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from hub.delivery.judge import Judgement, judge_answer, judge_failure
from hub.delivery.lane import Lane
from hub.delivery.prepare import Attempt, prepare
from hub.delivery.window import Window
from hub.errors import (
    Invalid,
    PartnerError,
    StoreUnavailable,
    UndecodableRecord,
    UnknownEnvelopeVersion,
)
from hub.messaging.broker import BatchConsumer
from hub.messaging.codec import decode
from hub.messaging.dead_letters import bury
from hub.messaging.records import Record
from hub.messaging.topics import PUSHES
from hub.model.delivery import Entry, Place, Receiver
from hub.model.directory import Directory
from hub.model.envelope import Envelope
from hub.model.outcome import Leg, Outcome, Verdict
from hub.model.unit import Change, Position, Result, Sending, Unit, assemble, key_of
from hub.ocpi.headers import REQUEST_ID
from hub.ocpi.modules import Interface, TrafficClass, find, segments
from hub.ocpi.patch import read_members
from hub.routing.admit import url_owner
from hub.routing.audience import audience, is_entitled
from hub.routing.open_keys import token_key
from hub.routing.rewrite import join
from hub.store import units
from hub.store.units import Stored, store_changes
from hub.telemetry import DELIVERIES, PARTNER_SECONDS, PUSHES_STORED, get_logger
from workers.app import WorkerContext

log = get_logger(__name__)

_COMMIT_SECONDS: Final = 0.05
_STORE_RETRY_SECONDS: Final = 0.5
_MOST_BATCHES: Final = 4
_MOST_WAITING: Final = 40_000
_MOST_WAITING_BYTES: Final = 128 * 2**20
_FIRST_BACKOFF_SECONDS: Final = 0.2
_LONGEST_BACKOFF_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 10.0
_ROOT_SEGMENTS: Final = 3
_EVSE_SEGMENTS: Final = 4

Read = tuple[Record, Envelope, Change]


async def run(context: WorkerContext) -> None:
    """Fan out until told to stop; what is under way is finished or left to the next owner."""
    fanout = Fanout(context)
    await fanout.start()
    context.ready()
    await context.stopping.wait()
    await fanout.stop()
    if fanout.fatal is not None:
        raise fanout.fatal


class _Assignment:
    """Everything that belongs to the partitions as they are assigned now."""

    def __init__(self, partitions: frozenset[int]) -> None:
        self.partitions = partitions
        self.windows = {partition: Window() for partition in partitions}
        self.lanes: dict[Receiver, Lane] = {}
        self.batches: deque[Sequence[Record]] = deque()
        self.is_over = False

    def lane(self, receiver: Receiver) -> Lane:
        """The lane of a receiver, made at its first record."""
        lane = self.lanes.get(receiver)
        if lane is None:
            lane = self.lanes[receiver] = Lane(partial(self._release, receiver))
        return lane

    def _release(self, receiver: Receiver, place: Place) -> None:
        self.windows[place.partition].release(place.offset, receiver)

    @property
    def waiting(self) -> tuple[int, int]:
        """Entries and bytes that wait in all lanes."""
        lanes = self.lanes.values()
        return sum(lane.waiting for lane in lanes), sum(lane.waiting_bytes for lane in lanes)


class Fanout:
    """One member of the fan-out group."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._topic = context.topics.name(PUSHES)
        self._consumer = BatchConsumer(
            bootstrap=context.bootstrap,
            topic=self._topic,
            group=context.topics.group("fanout"),
            handle=self._take,
            on_assigned=self._assigned,
            on_revoked=self._revoked,
        )
        self._now = _Assignment(frozenset())
        self._arrived = asyncio.Event()
        self._epoch = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._is_paused = False
        self.fatal: Exception | None = None

    async def start(self) -> None:
        """Join the group and begin."""
        self._epoch = await self._consumer.log_epoch()
        self._loops = [
            asyncio.create_task(self._process(), name="fanout process"),
            asyncio.create_task(self._commit_often(), name="fanout commit"),
        ]
        await self._consumer.start()

    async def stop(self) -> None:
        """Take nothing more, finish what is under way, commit, leave."""
        self._consumer.pause(self._now.partitions)
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline and not self._is_idle():  # noqa: ASYNC110 - many lanes, one look
            await asyncio.sleep(_COMMIT_SECONDS)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._commit(self._now)
        self._now.is_over = True
        await self._consumer.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_SECONDS)

    def _is_idle(self) -> bool:
        return not self._now.batches and all(lane.is_idle for lane in self._now.lanes.values())

    def _assigned(self, partitions: frozenset[int]) -> None:
        self._now.is_over = True
        self._now = _Assignment(partitions)
        self._is_paused = False
        log.info("partitions.assigned", partitions=sorted(partitions))

    def _revoked(self, _: frozenset[int]) -> None:
        self._now.is_over = True
        self._now = _Assignment(frozenset())

    async def _take(self, records: Sequence[Record]) -> None:
        self._now.batches.append(records)
        self._arrived.set()
        self._press()

    def _press(self) -> None:
        """Stop or go on fetching by how much waits; polling goes on, so that the group keeps us."""
        entries, size = self._now.waiting
        full = len(self._now.batches) >= _MOST_BATCHES or entries > _MOST_WAITING or size > _MOST_WAITING_BYTES
        calm = not self._now.batches and entries < _MOST_WAITING // 2 and size < _MOST_WAITING_BYTES // 2
        if full and not self._is_paused:
            self._is_paused = True
            self._consumer.pause(self._now.partitions)
        elif calm and self._is_paused:
            self._is_paused = False
            self._consumer.resume(self._now.partitions)

    async def _process(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._now.batches:
                assignment = self._now
                records = assignment.batches.popleft()
                try:
                    await self._process_batch(assignment, records)
                except UnknownEnvelopeVersion as error:
                    log.critical("worker.too_old", error=str(error))
                    self.fatal = error
                    self._context.stopping.set()
                    return
                self._press()

    async def _process_batch(self, assignment: _Assignment, records: Sequence[Record]) -> None:
        read = await self._read(assignment, records)
        stored = await self._store(assignment, read)
        if assignment.is_over:
            return
        directory = self._context.keeper.current
        made_of = {(item[0].partition, item[0].offset): (item, made) for item, made in zip(read, stored, strict=True)}
        for record in records:
            found = made_of.get((record.partition, record.offset))
            window = assignment.windows[record.partition]
            if found is None:
                window.add(record.offset, ())
                continue
            (_, envelope, change), made = found
            if isinstance(made, Invalid):
                await bury(self._context.durable, self._context.topics, record, made)
                window.add(record.offset, ())
                continue
            self._spread(assignment, record, envelope, change, made, directory)
        self._pump_all(assignment)

    async def _read(self, assignment: _Assignment, records: Sequence[Record]) -> list[Read]:
        read: list[Read] = []
        for record in records:
            try:
                envelope = decode(record)
                read.append((record, envelope, _change(envelope)))
            except (Invalid, msgspec.DecodeError, KeyError) as error:
                invalid = error if isinstance(error, Invalid) else UndecodableRecord(repr(error))
                await bury(self._context.durable, self._context.topics, record, invalid)
        return read

    async def _store(self, assignment: _Assignment, read: Sequence[Read]) -> list[Stored | Invalid]:
        changes = [
            (change, Position(self._epoch, record.offset, datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)))
            for record, _, change in read
        ]
        while not assignment.is_over:
            try:
                return await store_changes(self._context.store, changes)
            except StoreUnavailable as error:
                log.warning("pushes.not_stored", error=str(error), waiting=len(changes))
                await asyncio.sleep(_STORE_RETRY_SECONDS)
        return [Invalid("no longer ours")] * len(changes)

    def _spread(
        self,
        assignment: _Assignment,
        record: Record,
        envelope: Envelope,
        change: Change,
        made: Stored,
        directory: Directory,
    ) -> None:
        """Offer a stored push to every receiver of its audience."""
        for result in set(made.results):
            PUSHES_STORED.labels(result.value).inc()
        receivers: tuple[Receiver, ...] = ()
        if made.sending is not Sending.NOTHING:
            receivers = audience(directory, envelope.platform_id, envelope.from_party, envelope.module)
        assignment.windows[record.partition].add(record.offset, receivers)
        is_stale = set(made.results) == {Result.STALE}
        self._note(
            envelope,
            "push.stale" if is_stale else "push.stored",
            Verdict.STALE if is_stale else Verdict.ACCEPTED,
            detail=f"{'+'.join(sorted(set(made.results)))}, {len(receivers)} receivers",
        )
        entry = Entry(
            key=change.target,
            place=Place(record.partition, record.offset),
            envelope=envelope,
            is_raw=made.sending is Sending.RAW,
            is_loose=Result.INCOMPLETE in made.results,
        )
        for receiver in receivers:
            assignment.lane(receiver).offer(entry)

    def _pump_all(self, assignment: _Assignment) -> None:
        for receiver, lane in assignment.lanes.items():
            self._pump(assignment, receiver, lane)

    def _pump(self, assignment: _Assignment, receiver: Receiver, lane: Lane) -> None:
        """Start as many sends as the lane lets go now."""
        if assignment.is_over:
            return
        limit = self._limit(assignment)
        while (entry := lane.take(time.monotonic(), limit)) is not None:
            task = asyncio.create_task(self._deliver(assignment, receiver, lane, entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _limit(self, assignment: _Assignment) -> int:
        """This worker's share of the requests that may be in flight to one receiver."""
        everything = self._context.topics.partitions(PUSHES)
        return max(1, self._context.settings.receiver_concurrency * len(assignment.partitions) // everything)

    async def _deliver(self, assignment: _Assignment, receiver: Receiver, lane: Lane, entry: Entry) -> None:
        try:
            await self._attempt(assignment, receiver, lane, entry)
        except StoreUnavailable as error:
            log.warning("current.not_read", error=str(error))
            lane.again(entry, time.monotonic() + _STORE_RETRY_SECONDS)
        except Exception:
            log.exception("delivery.failed", to_party=str(receiver.party))
            lane.again(entry, time.monotonic() + _LONGEST_BACKOFF_SECONDS)
        self._pump(assignment, receiver, lane)

    async def _attempt(self, assignment: _Assignment, receiver: Receiver, lane: Lane, entry: Entry) -> None:
        """One attempt, with the directory as it is now."""
        directory = self._context.keeper.current
        envelope = entry.envelope
        if not self._context.keeper.may_send:
            lane.again(entry, time.monotonic() + 1.0)
            return
        if not is_entitled(directory, receiver, envelope.platform_id, envelope.from_party, envelope.module):
            self._note_delivery(receiver, entry, Verdict.UNREACHABLE, None, "not entitled or not connected any more")
            lane.done(entry)
            return
        content = await self._content(entry)
        if content is None or assignment.is_over:
            lane.done(entry)
            return
        attempt = _request(directory, receiver, entry, *content)
        started = time.monotonic()
        judgement = await self._send(attempt)
        seconds = time.monotonic() - started
        PARTNER_SECONDS.labels(envelope.module).observe(seconds)
        self._settle(receiver, lane, entry, judgement, attempt, seconds)

    async def _content(self, entry: Entry) -> tuple[str, bytes] | None:
        """Method and body: the record's own, or the current state read now; None where there is nothing left to send."""
        envelope = entry.envelope
        if entry.is_raw:
            return envelope.method, envelope.body
        async with self._context.store.connection() as connection:
            if entry.key.evse_uid:
                unit = await units.read_unit(connection, entry.key)
                return None if unit is None else _current((unit,), envelope)
            found = await units.read_root(connection, entry.key)
        return _current(found, envelope)

    async def _send(self, attempt: Attempt) -> Judgement:
        try:
            answer = await self._context.partners.send(
                attempt.method,
                attempt.url,
                attempt.headers,
                attempt.body or None,
                timeout=self._context.settings.push_seconds,
            )
        except PartnerError as error:
            return judge_failure(error, datetime.now(UTC))
        return judge_answer(
            http_status=answer.http_status,
            headers=answer.headers,
            content=answer.body,
            method=attempt.method,
            traffic=TrafficClass.PUSH,
            now=datetime.now(UTC),
        )

    def _settle(
        self, receiver: Receiver, lane: Lane, entry: Entry, judgement: Judgement, attempt: Attempt, seconds: float
    ) -> None:
        """Release the record, or keep it for a receiver in trouble until its patience has run out."""
        self._note_delivery(
            receiver, entry, judgement.verdict, judgement, judgement.detail, attempt.headers[REQUEST_ID], seconds
        )
        if judgement.verdict in {Verdict.DELIVERED, Verdict.REFUSED}:
            lane.well()
            lane.done(entry)
            return
        now = time.monotonic()
        if lane.troubled(now) > self._context.settings.push_seconds:
            lane.done(entry)
            self._give_up(receiver, lane)
            lane.blocked_until = now + _LONGEST_BACKOFF_SECONDS
        else:
            backoff = min(_FIRST_BACKOFF_SECONDS * 2 ** min(lane.failures, 8), _LONGEST_BACKOFF_SECONDS)
            lane.again(entry, now + backoff)
        asyncio.get_running_loop().call_later(
            max(0.0, lane.blocked_until - now) + 0.01, self._pump_later, receiver, lane
        )

    def _pump_later(self, receiver: Receiver, lane: Lane) -> None:
        if self._now.lanes.get(receiver) is lane:
            self._pump(self._now, receiver, lane)

    def _give_up(self, receiver: Receiver, lane: Lane) -> None:
        """The receiver has been in trouble for too long: what waits for it is not sent later (BP-16)."""
        for entry in lane.withdraw(lambda _: False):
            self._note_delivery(receiver, entry, Verdict.UNREACHABLE, None, "given up: the receiver is away")

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self._commit(self._now)
            self._press()

    async def _commit(self, assignment: _Assignment) -> None:
        offsets = {
            partition: offset
            for partition, window in assignment.windows.items()
            if (offset := window.to_commit()) is not None and offset >= 0
        }
        if not offsets or assignment.is_over or not await self._consumer.commit(offsets):
            return
        for partition, offset in offsets.items():
            assignment.windows[partition].committed(offset)

    def _note_delivery(
        self,
        receiver: Receiver,
        entry: Entry,
        verdict: Verdict,
        judgement: Judgement | None,
        detail: str,
        request_id: str = "",
        seconds: float | None = None,
    ) -> None:
        DELIVERIES.labels(verdict.value).inc()
        self._note(
            entry.envelope,
            "delivery.attempted" if judgement else "delivery.ended",
            verdict,
            request_id=request_id,
            platform_id=receiver.platform_id,
            to_party=str(receiver.party),
            http_status=judgement.http_status if judgement and judgement.is_partners else None,
            ocpi_status=judgement.ocpi_status if judgement else None,
            detail=("current state; " if not entry.is_raw else "") + detail or None,
            elapsed_ms=None if seconds is None else seconds * 1000,
        )

    def _note(
        self,
        envelope: Envelope,
        kind: str,
        verdict: Verdict,
        *,
        request_id: str = "",
        platform_id: str | None = None,
        to_party: str | None = None,
        http_status: int | None = None,
        ocpi_status: int | None = None,
        detail: str | None = None,
        elapsed_ms: float | None = None,
    ) -> None:
        self._context.outcomes.note(
            Outcome(
                at=int(time.time() * 1000),
                outcome_id=str(uuid.uuid4()),
                correlation_id=envelope.correlation_id,
                request_id=request_id or envelope.request_id,
                leg=Leg.FANOUT,
                kind=kind,
                verdict=verdict,
                platform_id=platform_id or envelope.platform_id,
                from_party=str(envelope.from_party),
                to_party=to_party,
                ocpi_version=envelope.version,
                module=envelope.module,
                interface=envelope.interface.value,
                method=envelope.method,
                object="/".join((envelope.module, *segments(envelope.tail))),
                http_status=http_status,
                ocpi_status=ocpi_status,
                detail=detail,
                elapsed_ms=elapsed_ms,
            )
        )


def _change(envelope: Envelope) -> Change:
    """What a push wants of the store.

    Raises:
        UndecodableRecord: its URL is none of a push.
    """
    match = find(envelope.version, envelope.module, envelope.interface, envelope.tail)
    owner = url_owner(match) if match else None
    if match is None or owner is None:
        raise UndecodableRecord(f"{envelope.interface}/{envelope.module}/{envelope.tail} is no URL of a push")
    query = dict(parse_qsl(envelope.query, keep_blank_values=True))
    parameters = match.parameters
    tokens = token_key(parameters["token_uid"], query) if "token_uid" in parameters else ""
    target, level = key_of(envelope.module, owner, parameters, tokens)
    members = {} if envelope.method == "DELETE" else read_members(envelope.body)
    return Change(target, level, envelope.method, members, envelope.platform_id, parameters.get("connector_id", ""))


def _current(found: tuple[Unit, ...], envelope: Envelope) -> tuple[str, bytes] | None:
    """The current state of a unit as a request: PUT of what it is, DELETE of what was deleted."""
    if not found or (found[0].key.evse_uid and found[0].raw is None):
        return None
    first = found[0]
    if first.is_incomplete:
        return envelope.method, envelope.body
    if first.is_tombstone:
        return "DELETE", b""
    if first.key.evse_uid:
        assert first.raw is not None
        return "PUT", first.raw
    return "PUT", assemble(first, found[1:])


def _request(directory: Directory, receiver: Receiver, entry: Entry, method: str, body: bytes) -> Attempt:
    """The request of one delivery: TO the receiver, FROM the hub, new request id, the sender's correlation id (BP-05, BP-13)."""
    envelope = entry.envelope
    platform = directory.platforms[receiver.platform_id]
    assert platform.token is not None
    tail = envelope.tail
    if not entry.is_raw:
        tail = "/".join(segments(tail)[: _EVSE_SEGMENTS if entry.key.evse_uid else _ROOT_SEGMENTS])
    return prepare(
        method=method,
        url=join(platform.endpoints[envelope.module, Interface.RECEIVER], tail, envelope.query),
        body=body,
        content_type=envelope.content_type,
        token=platform.token,
        to_party=receiver.party,
        from_party=directory.hub_party,
        request_id=str(uuid.uuid4()),
        correlation_id=envelope.correlation_id,
    )
