"""The fan-out: stores every broadcast push, chooses its audience and hands it to the receivers' lanes.

What the group takes away is dropped at once: Kafka is the log, the next owner reads it again. So all state that belongs to an
assignment lives in one `_Assignment`, which is replaced whole. An offset is committed only when every receiver is done with its
record (`hub.delivery.window`).

Rules BP-*, OB-*; decisions D-11, D-12, D-28.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg

from hub.delivery.health import Health
from hub.delivery.window import Window
from hub.errors import Invalid, StoreUnavailable
from hub.messaging.broker import BatchConsumer
from hub.messaging.codec import decode
from hub.messaging.dead_letters import bury
from hub.messaging.records import Record
from hub.messaging.topics import PUSHES
from hub.model.change import Applied, Change, Position, Result, Sending
from hub.model.delivery import Entry, Place, Receiver
from hub.model.envelope import Envelope
from hub.model.outcome import Verdict
from hub.routing.push import read_push
from hub.store.receivers import report_load
from hub.store.units import store_changes
from hub.telemetry import (
    DELIVERIES_IN_FLIGHT,
    DELIVERIES_WAITING,
    DELIVERIES_WAITING_BYTES,
    PUSHES_STORED,
    STORE_BATCH_PUSHES,
    STORE_BATCH_SECONDS,
    get_logger,
)
from workers.app import WorkerContext
from workers.deliveries import Deliveries
from workers.evidence import Evidence
from workers.push_outcomes import push_outcome
from workers.receivers import Receivers

log = get_logger(__name__)

_COMMIT_SECONDS: Final = 0.05
_STORE_RETRY_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.5
_LOADS_KEPT_SECONDS: Final = 5.0
_FINISH_SECONDS: Final = 5.0
_MOST_BATCHES: Final = 4
_MOST_WAITING: Final = 100_000
_MOST_WAITING_BYTES: Final = 128 * 2**20
_MOST_UNWRITTEN: Final = 50_000

Push = tuple[Envelope, Change, Position]


async def run(context: WorkerContext) -> None:
    """Fan out until told to stop; what is under way is finished, the rest is left to the next owner.

    Raises:
        UnknownEnvelopeVersion: a newer release has written to the log; nothing of it is lost.
    """
    fanout = Fanout(context)
    await fanout.start()
    context.ready()
    try:
        await fanout.run_until(context.stopping)
    finally:
        await fanout.stop()


class _Assignment:
    """Everything that belongs to the partitions as they are assigned now."""

    def __init__(
        self,
        partitions: frozenset[int],
        context: WorkerContext,
        epoch: str,
        healths: dict[Receiver, Health],
        known: Receivers,
        evidence: Evidence,
    ) -> None:
        everything = context.topics.partitions(PUSHES)
        self.partitions = partitions
        self.windows = {partition: Window() for partition in partitions}
        self.batches: deque[Sequence[Record]] = deque()
        self.deliveries = Deliveries(
            context,
            log_epoch=epoch,
            partitions=partitions,
            limit=max(1, context.settings.receiver_concurrency * len(partitions) // everything),
            share=len(partitions) / everything,
            healths=healths,
            known=known,
            evidence=evidence,
            release=self._release,
        )
        self.has_begun = asyncio.Event()
        self.is_over = False

    def _release(self, receiver: Receiver, place: Place) -> None:
        self.windows[place.partition].release(place.offset, receiver)

    def end(self) -> None:
        """Nothing of it counts any more."""
        self.is_over = True
        self.batches.clear()
        self.deliveries.cut_off()
        self.has_begun.set()

    async def look(self) -> None:
        """Begin if that is still to be done, then see who is parked, back or catching up.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        if not self.has_begun.is_set():
            await self.deliveries.begin()
            self.has_begun.set()
        await self.deliveries.look()


class Fanout:
    """One member of the fan-out group."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._consumer = BatchConsumer(
            bootstrap=context.bootstrap,
            topic=context.topics.name(PUSHES),
            group=context.topics.group("fanout"),
            handle=self._take,
            on_assigned=self._assign,
            on_revoked=lambda _: self._assign(frozenset()),
        )
        self._epoch = ""
        self._healths: dict[Receiver, Health] = {}
        self._receivers = Receivers(context.store)
        self._evidence = Evidence(context.store)
        self._now = self._new_assignment(frozenset())
        self._arrived = asyncio.Event()
        self._to_look = asyncio.Event()
        self._is_paused = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Join the group and begin.

        Raises:
            LogUnavailable: the broker does not answer.
            StoreUnavailable: Postgres does not.
        """
        self._epoch = await self._consumer.log_epoch()
        await self._receivers.refresh()
        self._evidence.start()
        self._tasks = [
            asyncio.create_task(self._process_for_ever(), name="fanout"),
            asyncio.create_task(self._commit_for_ever(), name="fanout offsets"),
            asyncio.create_task(self._look_for_ever(), name="fanout receivers"),
        ]
        await self._consumer.start()

    async def run_until(self, stopping: asyncio.Event) -> None:
        """Return when told to stop; raise what ended a task before, so that the process ends and is started anew."""
        told = asyncio.create_task(stopping.wait())
        try:
            done, _ = await asyncio.wait({told, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Take nothing more, finish the requests under way, commit, leave the group."""
        self._consumer.pause(self._now.partitions)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._now.deliveries.finish(_FINISH_SECONDS)
        await self._commit(self._now)
        self._now.end()
        await self._consumer.stop()
        await self._evidence.stop()

    def _assign(self, partitions: frozenset[int]) -> None:
        """Begin anew with these partitions; requests under way for the old ones are cut off, their owner repeats them."""
        self._now.end()
        self._now = self._new_assignment(partitions)
        self._is_paused = False
        self._to_look.set()
        log.info("partitions.assigned", partitions=sorted(partitions))

    def _new_assignment(self, partitions: frozenset[int]) -> _Assignment:
        return _Assignment(partitions, self._context, self._epoch, self._healths, self._receivers, self._evidence)

    async def _take(self, records: Sequence[Record]) -> None:
        ours = [record for record in records if record.partition in self._now.partitions]
        if ours:
            self._now.batches.append(ours)
            self._arrived.set()
            self._press()

    def _press(self) -> None:
        """Stop or go on fetching by how much waits; polling goes on, so that the group keeps us."""
        batches = len(self._now.batches)
        deliveries = self._now.deliveries
        entries, size = deliveries.waiting
        unwritten = deliveries.unwritten / _MOST_UNWRITTEN
        fullness = max(entries / _MOST_WAITING, size / _MOST_WAITING_BYTES, unwritten, 2 * deliveries.crowding)
        if batches >= _MOST_BATCHES or fullness > 1:
            if not self._is_paused:
                self._consumer.pause(self._now.partitions)
            self._is_paused = True
        elif self._is_paused and not batches and fullness < 1 / 2:
            self._consumer.resume(self._now.partitions)
            self._is_paused = False

    async def _process_for_ever(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._now.batches:
                assignment = self._now
                await assignment.has_begun.wait()
                if not assignment.batches:
                    break
                await self._process(assignment, assignment.batches.popleft())
                self._press()

    async def _process(self, assignment: _Assignment, records: Sequence[Record]) -> None:
        """Store a batch, bury what cannot be, and offer the rest to its receivers in one go, in order."""
        pushes, bad = self._read(records)
        assignment.deliveries.expect(_offsets(pushes))
        applied = await self._store(assignment, pushes)
        bad |= {place: made for place, made in applied.items() if isinstance(made, Invalid)}
        for record in records:
            error = bad.get(_place(record))
            if error is not None and not assignment.is_over:
                await bury(self._context.durable, self._context.topics, record, error)
        if assignment.is_over:
            return
        for record in records:
            place = _place(record)
            made = applied.get(place)
            if isinstance(made, Applied):
                envelope, change, _ = pushes[place]
                self._spread(assignment, place, envelope, change, made)
            else:
                assignment.windows[place.partition].add(place.offset, ())
        assignment.deliveries.pump()

    def _read(self, records: Sequence[Record]) -> tuple[dict[Place, Push], dict[Place, Invalid]]:
        """The pushes in a batch, and the records that are none."""
        pushes: dict[Place, Push] = {}
        bad: dict[Place, Invalid] = {}
        for record in records:
            appended_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
            position = Position(self._epoch, record.offset, appended_at, record.partition)
            try:
                envelope = decode(record)
                change = read_push(envelope, accepts_stale=self._accepts_stale(envelope))
                pushes[_place(record)] = envelope, change, position
            except Invalid as error:
                bad[_place(record)] = error
        return pushes, bad

    def _accepts_stale(self, envelope: Envelope) -> bool:
        platform = self._context.keeper.current.platforms.get(envelope.platform_id)
        return platform is not None and platform.accepts_stale

    async def _store(self, assignment: _Assignment, pushes: Mapping[Place, Push]) -> dict[Place, Applied | Invalid]:
        """Store a batch, however long the database is away; empty when the assignment ended meanwhile."""
        changes = [(change, position) for _, change, position in pushes.values()]
        while not assignment.is_over:
            try:
                with STORE_BATCH_SECONDS.time():
                    made = await store_changes(self._context.store, changes)
                STORE_BATCH_PUSHES.observe(len(changes))
                return dict(zip(pushes, made, strict=True))
            except (StoreUnavailable, asyncpg.PostgresError) as error:
                log.warning("pushes.not_stored", count=len(changes), error=repr(error))
                await asyncio.sleep(_STORE_RETRY_SECONDS)
        return {}

    def _spread(self, assignment: _Assignment, place: Place, envelope: Envelope, change: Change, made: Applied) -> None:
        """Offer a stored push to every receiver of its audience."""
        receivers: tuple[Receiver, ...] = ()
        if made.sending is not Sending.NOTHING:
            receivers = tuple(assignment.deliveries.audience(envelope, is_touch=made.is_touch))
        assignment.windows[place.partition].add(place.offset, receivers)
        is_raw = made.sending is Sending.RAW
        entry = Entry(
            key=change.target,
            place=place,
            envelope=envelope,
            is_raw=True,
            replaces_all=change.replaces_all,
            is_loose=made.is_loose,
        )
        assignment.deliveries.offer(receivers, entry if is_raw else entry.as_current())
        kinds = set(made.results)
        for result in kinds:
            PUSHES_STORED.labels(result.value).inc()
        is_stale = kinds == {Result.STALE}
        kind, verdict = ("push.stale", Verdict.STALE) if is_stale else ("push.stored", Verdict.ACCEPTED)
        detail = f"{', '.join(sorted(kinds))}; {len(receivers)} receivers"
        self._context.outcomes.note(push_outcome(envelope, kind, verdict, detail))

    async def _look_for_ever(self) -> None:
        """See twice a second how the receivers do, and say what waits for them."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._to_look.wait()
            self._to_look.clear()
            assignment = self._now
            try:
                await self._receivers.refresh()
                await assignment.look()
                await self._report(assignment)
            except (StoreUnavailable, asyncpg.PostgresError) as error:
                log.warning("receivers.not_read", error=repr(error))

    async def _report(self, assignment: _Assignment) -> None:
        loads = assignment.deliveries.loads()
        DELIVERIES_IN_FLIGHT.set(sum(load.in_flight for load in loads))
        DELIVERIES_WAITING.set(sum(load.waiting for load in loads))
        DELIVERIES_WAITING_BYTES.set(sum(load.waiting_bytes for load in loads))
        async with self._context.store.connection() as connection:
            await report_load(
                connection,
                self._context.keeper.process_id,
                loads,
                kept_seconds=_LOADS_KEPT_SECONDS,
            )

    async def _commit_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self._commit(self._now)
            self._press()

    async def _commit(self, assignment: _Assignment) -> None:
        offsets = {
            partition: offset
            for partition, window in assignment.windows.items()
            if (offset := window.to_commit()) is not None
        }
        if not offsets or assignment.is_over or not await self._consumer.commit(offsets):
            return
        for partition, offset in offsets.items():
            assignment.windows[partition].committed(offset)


def _offsets(places: Iterable[Place]) -> dict[int, range]:
    """The offsets by partition, from the first to the last."""
    found: dict[int, range] = {}
    for partition, offset in places:
        known = found.get(partition)
        found[partition] = range(known.start if known else offset, offset + 1)
    return found


def _place(record: Record) -> Place:
    return Place(record.partition, record.offset)
