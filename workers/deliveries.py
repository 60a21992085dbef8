"""Delivers what the fan-out chose: every receiver through a lane of its own.

A lane's order and limits are pure (`hub.delivery.lane`), as is what trouble means (`hub.delivery.health`); here are the attempts
and what follows from them. A receiver that is parked (offline, breaker open, paused, asked to wait) gets nothing: what it misses
is marked dirty (`workers.missed`), and sent as the current state when it is back (`workers.catchup`).

Rules BP-05, BP-12, BP-13, BP-16, AU-13; decisions D-03, D-04, D-10, D-13, D-21, D-22, D-28.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import asyncpg

from hub.delivery.content import Content, raw_content
from hub.delivery.health import LONGEST_WAIT_SECONDS, Health, retry_after_seconds
from hub.delivery.lane import Lane
from hub.errors import StoreUnavailable
from hub.model.delivery import Entry, Place, Receiver
from hub.model.envelope import Envelope
from hub.model.outcome import Verdict
from hub.model.unit import UnitKey
from hub.routing.audience import Audiences
from hub.store import marks
from hub.store.receivers import Load
from hub.telemetry import DELIVERIES_COALESCED, PARTNER_SECONDS, get_logger
from workers.app import WorkerContext
from workers.attempts import Attempted, attempt
from workers.catchup import catch_up
from workers.copies import Copies
from workers.evidence import Evidence
from workers.lines import Line, falls_behind
from workers.readings import Reading, Readings
from workers.receivers import Receivers
from workers.settlement import Settlement

log = get_logger(__name__)

_HOLD_SECONDS: Final = 0.5
_TRIAL_MARGIN_SECONDS: Final = 5.0
_FINAL: Final = frozenset({Verdict.DELIVERED, Verdict.REFUSED})
_OF_THE_RECEIVER: Final = frozenset({401, 403, 429})
"""HTTP codes that say nothing of the unit that was sent."""
_AWAY: Final = (StoreUnavailable, asyncpg.PostgresError)


class Deliveries:
    """The lanes of one assignment; all of them end with it.

    `limit` is how many requests may be under way to one receiver here, `share` our part of its rate; `healths` outlive the
    assignment; `release` is told every record that a receiver no longer needs.
    """

    def __init__(
        self,
        context: WorkerContext,
        *,
        log_epoch: str,
        partitions: frozenset[int],
        limit: int,
        share: float,
        healths: dict[Receiver, Health],
        known: Receivers,
        evidence: Evidence,
        release: Callable[[Receiver, Place], None],
    ) -> None:
        self._context = context
        self._log_epoch = log_epoch
        self._partitions = sorted(partitions)
        self._limit = limit
        self._share = share
        self._healths = healths
        self._receivers = known
        self._evidence = evidence
        self._release = release
        self._patience = context.settings.push_seconds
        self._audiences = Audiences(context.keeper.current)
        self._lines: dict[Receiver, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settlement = Settlement(context, known)
        self._copies = Copies(context.store)
        self._readings = Readings(context.store, self._spawn)
        self._being_stored: Mapping[int, range] = {}
        self._offered = asyncio.Event()
        self._is_closing = False

    async def begin(self) -> None:
        """Read what receivers have refused of these partitions, then write whatever comes.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        await self._settlement.begin(self._partitions)
        if not self._is_closing:
            self._spawn(self._settlement.writer.write_for_ever())

    @property
    def waiting(self) -> tuple[int, int]:
        """Entries and bytes that wait in all lanes."""
        lanes = [line.lane for line in self._lines.values()]
        return sum(lane.waiting for lane in lanes), sum(lane.waiting_bytes for lane in lanes)

    @property
    def crowding(self) -> float:
        """How much of its budget the fullest lane holds among those that do not fall behind: it is this worker that is slow."""
        budget = self._context.settings.receiver_budget_bytes
        heavy = [line for line in self._lines.values() if line.weight > budget / 4]
        heavy.sort(key=lambda line: line.weight, reverse=True)
        return next((line.weight / budget for line in heavy if not self._falls_behind(line)), 0.0)

    @property
    def unwritten(self) -> int:
        """What became of deliveries and is not yet written down."""
        return self._settlement.writer.waiting

    def loads(self) -> list[Load]:
        """What waits in each lane that is not idle."""
        busy = [(line.receiver, line.lane) for line in self._lines.values() if not line.lane.is_idle]
        return [Load(who, lane.in_flight, lane.waiting, lane.waiting_bytes, lane.oldest) for who, lane in busy]

    def audience(self, envelope: Envelope, *, is_touch: bool) -> Iterable[Receiver]:
        """Who receives a push by the directory as it is now; a touch leaves out who does not want it (D-28)."""
        found = self._known().of(envelope.platform_id, envelope.from_party, envelope.module)
        if not is_touch:
            return found
        return [receiver for receiver in found if not self._receivers.standing(receiver).skips_touches]

    def expect(self, offsets: Mapping[int, range]) -> None:
        """Records of these offsets by partition are being stored; `pump` says that they were offered.

        A current state that is read meanwhile and shows one of them waits until then, so that the lane knows which of its entries
        are older than what was shown.
        """
        self._being_stored = offsets
        self._offered.clear()
        for line in self._lines.values():
            line.taken /= 2

    def offer(self, receivers: Iterable[Receiver], entry: Entry) -> None:
        """Put a record into the lanes of its receivers; `pump` sends. Who is parked misses it."""
        budget = self._context.settings.receiver_budget_bytes
        for receiver in receivers:
            line = self._line(receiver)
            why = self._parked(line)
            if why is not None:
                self._settlement.miss(line, [entry], why)
                continue
            lane = line.lane
            saved = lane.coalesced
            lane.offer(self._settlement.for_refuser(receiver, entry))
            line.taken += 1
            if lane.coalesced > saved:
                DELIVERIES_COALESCED.inc(lane.coalesced - saved)
            if line.weight > budget and self._falls_behind(line):
                self._settlement.miss(line, lane.withdraw(), "too much waits for it")

    def pump(self) -> None:
        """What was expected is offered: start as many requests as all lanes let go now."""
        self._being_stored = {}
        self._offered.set()
        for line in self._lines.values():
            self._pump(line)

    async def look(self) -> None:
        """See who has been parked or is back, who catches up, and whose trial is due.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        for line in self._lines.values():
            self._pump(line)
            self._end_trial(line)
        audiences, now = self._known(), time.monotonic()
        flowing, due = [], []
        for receiver in audiences.receivers:
            standing, platform = self._receivers.standing(receiver), audiences.directory.platforms[receiver.platform_id]
            if standing.parked(platform, now) is None:
                flowing.append(receiver)
            elif standing.may_be_tried(platform, now) and not self._is_tried(receiver):
                due.append(receiver)
        async with self._context.store.connection() as connection:
            marked = await marks.waiting(connection, [*flowing, *due], self._partitions)
            await self._copies.settle(connection)
        for receiver in due:
            if receiver in marked or not self._receivers.standing(receiver).catches_up:
                await self._try(receiver)
        for receiver in flowing:
            if receiver in marked:
                self._catch_up(self._line(receiver))
            elif receiver in self._lines and self._lines[receiver].catching_up is None:
                self._lines[receiver].has_marks = False

    async def finish(self, timeout: float) -> None:
        """Start nothing more and let what is under way end; what then still runs is cut off."""
        self._is_closing = True
        under_way = {task for task in self._tasks if task.get_name() == "delivery"}
        if under_way:
            await asyncio.wait(under_way, timeout=timeout)
        tasks = list(self._tasks)
        self.cut_off()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._settlement.writer.flush()
        except _AWAY as error:
            log.warning("marks.not_written", error=repr(error))

    def cut_off(self) -> None:
        """End at once: the next owner of the partitions sends again what was under way."""
        self._is_closing = True
        for line in self._lines.values():
            if line.alarm is not None:
                line.alarm.cancel()
        for task in self._tasks:
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str = "") -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _known(self) -> Audiences:
        directory = self._context.keeper.current
        if self._audiences.directory is not directory:
            self._audiences = Audiences(directory)
        return self._audiences

    def _line(self, receiver: Receiver) -> Line:
        line = self._lines.get(receiver)
        if line is None:
            health = self._healths.setdefault(receiver, Health())
            line = self._lines[receiver] = Line(receiver, Lane(partial(self._release, receiver)), health)
        return line

    def _falls_behind(self, line: Line) -> bool:
        rate = self._receivers.standing(line.receiver).rate_of(self._share)
        return falls_behind(line, self._lines.values(), time.monotonic(), self._limit, rate)

    def _parked(self, line: Line) -> str | None:
        """Why a receiver gets nothing now; a trial is let through."""
        platform = self._known().directory.platforms.get(line.receiver.platform_id)
        if platform is None:
            return "not connected"
        why = self._receivers.standing(line.receiver).parked(platform, time.monotonic())
        is_let_through = line.is_trial and self._receivers.standing(line.receiver).is_open
        return None if is_let_through and why == "in trouble for too long" else why

    def _is_tried(self, receiver: Receiver) -> bool:
        return receiver in self._lines and self._lines[receiver].is_trial

    async def _try(self, receiver: Receiver) -> None:
        """Begin a trial of a receiver whose breaker is open, unless another worker has it."""
        if await self._receivers.claim_trial(receiver, self._patience + _TRIAL_MARGIN_SECONDS):
            line = self._line(receiver)
            line.is_trial = True
            self._catch_up(line)

    def _catch_up(self, line: Line) -> None:
        line.has_marks = True
        if line.catching_up is None and not self._is_closing:
            line.catching_up = self._spawn(self._feed(line))

    async def _feed(self, line: Line) -> None:
        try:
            await catch_up(self._context.store, line, self._partitions, self._pump)
        except _AWAY as error:
            log.warning("marks.not_read", to_party=str(line.receiver.party), error=repr(error))
        finally:
            line.catching_up = None
            self._end_trial(line)

    def _end_trial(self, line: Line) -> None:
        """A trial that found nothing to send is over; who wants no catch-up is tried with the next record."""
        is_idle = line.catching_up is None and line.lane.is_idle
        if is_idle and self._receivers.standing(line.receiver).catches_up:
            line.is_trial = False

    def _pump(self, line: Line) -> bool:
        """Start what may be sent now; False where the receiver gets nothing."""
        line.is_trial = line.is_trial and self._receivers.standing(line.receiver).is_open
        why = self._parked(line)
        if why is not None:
            line.taken = 0.0
            self._settlement.miss(line, line.lane.withdraw(), why)
            line.room.set()
            return False
        line.watch_room()
        if self._is_closing or not line.lane.is_ready:
            return not self._is_closing
        now = time.monotonic()
        limit = 1 if line.is_trial else self._limit
        allowed = 0 if now < line.held_until else line.health.allowed(now, limit)
        before = line.lane.in_flight
        rate = self._receivers.standing(line.receiver).rate_of(self._share)
        room = allowed if rate is None else min(allowed, before + line.health.bucket.free(now, rate))
        while (entry := line.lane.take(room)) is not None:
            self._spawn(self._deliver(line, entry), "delivery")
        if before == 0:
            line.moved_at = now
        line.watch_room()
        if allowed == 0:
            self._wake(line, max(line.held_until, line.health.waits_until) - now)
        elif rate is not None and (pause := line.keep_rate(rate, line.lane.in_flight - before, allowed)):
            self._wake(line, pause)
        return True

    def _wake(self, line: Line, seconds: float) -> None:
        if line.alarm is not None:
            line.alarm.cancel()
        line.alarm = asyncio.get_running_loop().call_later(seconds + 0.001, self._pump, line)

    async def _deliver(self, line: Line, entry: Entry) -> None:
        try:
            await self._attempt(line, entry)
        except _AWAY as error:
            log.warning("current.not_read", to_party=str(line.receiver.party), error=str(error))
            self._hold(line, entry)
        except Exception:
            log.exception("delivery.failed", to_party=str(line.receiver.party), module=entry.key.module)
            self._settlement.put_aside(line, entry, "a fault of the hub")
        self._pump(line)

    async def _attempt(self, line: Line, entry: Entry) -> None:
        """One attempt, with the directory as it is when the request is made."""
        reading = None if entry.is_raw else await self._read(line, entry)
        content = raw_content(entry) if reading is None else reading.content
        why = self._parked(line)
        if why is not None:
            self._settlement.put_aside(line, entry, why)
        elif not self._context.keeper.may_send:
            self._hold(line, entry)
        elif reading is not None and entry.place is None and not reading.seen:
            line.lane.done(entry)
        elif content is None or not self._is_entitled(line.receiver, entry, content):
            gone = "nothing is held of it" if content is None else "not entitled any more"
            self._settlement.withdraw(line, entry, reading, gone)
        else:
            directory = self._known().directory
            made = await attempt(
                self._context.partners,
                directory,
                line.receiver,
                entry,
                content,
                self._patience,
                self._evidence,
                shows_trace=self._context.settings.trace_partners,
            )
            PARTNER_SECONDS.labels(entry.key.module).observe(made.seconds)
            line.answered_in(made.seconds, time.monotonic())
            self._settlement.note_attempt(line, entry, content, made)
            await self._settle(line, entry, content, reading, made)

    async def _read(self, line: Line, entry: Entry) -> Reading:
        """The current state; what it shows is offered to the lane before it is sent."""
        with_marks = line.has_marks or entry.place is None
        made = await self._readings.read(line.receiver, entry, with_marks=with_marks)
        offsets = {unit.offset for unit in made.found if unit.epoch == self._log_epoch}
        shown = self._being_stored.values()
        if any(offset in stored for stored in shown for offset in offsets):
            await self._offered.wait()
        line.lane.shows(entry, max(offsets, default=-1))
        seen = [marking for marking in made.seen if not self._settlement.writer.is_covered(marking)]
        return replace(made, seen=seen)

    def _is_entitled(self, receiver: Receiver, entry: Entry, content: Content) -> bool:
        return receiver in self._known().of(content.origin, entry.key.owner, entry.key.module)

    async def _settle(
        self, line: Line, entry: Entry, content: Content, reading: Reading | None, made: Attempted
    ) -> None:
        """Release the record, write down what became of it, or let it wait for a receiver in trouble."""
        if made.judgement.verdict in _FINAL:
            await self._take_for_well(line)
            await self._copies.judged(line.receiver, entry, reading, content, made)
            self._settlement.take(line, entry, content, reading, made)
        elif await self._has_new_token(line, made):
            line.lane.again(entry, None)
        else:
            await self._take_for_troubled(line, entry, made)

    async def _take_for_well(self, line: Line) -> None:
        if line.health.troubled_since is not None:
            log.info("receiver.answers_again", to_party=str(line.receiver.party))
        line.health.well(time.monotonic())
        line.is_trial = False
        if self._receivers.standing(line.receiver).is_open:
            await self._receivers.close(line.receiver)

    async def _has_new_token(self, line: Line, made: Attempted) -> bool:
        """After a 401 or 403: whether the directory, read anew, holds another token than the one that was shown (AU-13)."""
        if made.judgement.partner_http_status not in {401, 403}:
            return False
        await self._context.keeper.refresh()
        platform = self._known().directory.platforms.get(line.receiver.platform_id)
        return platform is not None and platform.token is not None and not made.used(platform)

    async def _take_for_troubled(self, line: Line, entry: Entry, made: Attempted) -> None:
        now, health, judgement = time.monotonic(), line.health, made.judgement
        if health.troubled_since is None:
            log.warning("receiver.troubled", to_party=str(line.receiver.party), verdict=judgement.verdict.value)
        health.trouble(now, began=made.began)
        seconds = retry_after_seconds(judgement.headers.get("retry-after"), datetime.now(UTC))
        health.asked_to_wait(now, seconds or 0.0)
        if seconds is not None and seconds > LONGEST_WAIT_SECONDS:
            line.is_trial = False
            await self._receivers.ask(line.receiver, seconds)
        elif line.is_trial or health.opens_breaker(now, self._patience):
            line.is_trial = False
            await self._receivers.open(line.receiver, judgement.detail or f"HTTP {judgement.http_status}")
        why = self._parked(line)
        if why is not None or (entry.tried_at is not None and now - entry.tried_at > self._patience):
            self._settlement.put_aside(line, entry, why or "this request meets trouble for too long")
            if judgement.verdict is Verdict.TROUBLED and judgement.partner_http_status not in _OF_THE_RECEIVER:
                await self._put_off(line.receiver, entry.key)
        else:
            line.lane.again(entry, now, as_current=seconds is not None)

    async def _put_off(self, receiver: Receiver, key: UnitKey) -> None:
        """The receiver answers, but not to this: the next trial takes another unit first."""
        try:
            async with self._context.store.connection() as connection:
                await marks.put_off(connection, receiver, key)
        except _AWAY as error:
            log.warning("mark.not_put_off", to_party=str(receiver.party), error=repr(error))

    def _hold(self, line: Line, entry: Entry) -> None:
        """The hub itself cannot go on now: the lane waits, its receiver had no part in it."""
        line.held_until = time.monotonic() + _HOLD_SECONDS
        line.lane.again(entry, None)
