"""Delivers what the fan-out chose: every receiver through a lane of its own.

A lane's order and limits are pure (`hub.delivery.lane`), as is what trouble means (`hub.delivery.health`); here are the attempts.
Entitlement, URL and token are read from the directory right before each attempt, and the current state of a unit inside the
slot. What a receiver in trouble cannot take is given up in one place (`_give_up`).

Rules BP-05, BP-12, BP-13, BP-16, AU-13; decisions D-03, D-21, D-22.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import asyncpg

from hub.delivery.content import Content, current_content, raw_content
from hub.delivery.health import Health, retry_after_seconds
from hub.delivery.judge import Judgement, judge_answer, judge_failure
from hub.delivery.lane import Lane
from hub.delivery.prepare import Attempt, prepare
from hub.errors import PartnerError, StoreUnavailable
from hub.model.delivery import Entry, Place, Receiver
from hub.model.envelope import Envelope
from hub.model.outcome import Leg, Outcome, Verdict, object_name
from hub.ocpi.headers import REQUEST_ID
from hub.ocpi.modules import Interface, TrafficClass, segments
from hub.routing.audience import Audiences
from hub.routing.rewrite import join
from hub.store.units import read_current
from hub.telemetry import DELIVERIES, DELIVERIES_COALESCED, PARTNER_SECONDS, get_logger
from workers.app import WorkerContext

log = get_logger(__name__)

_HOLD_SECONDS: Final = 0.5
_FINAL: Final = frozenset({Verdict.DELIVERED, Verdict.REFUSED})


@dataclass(slots=True)
class _Line:
    """A receiver's lane, how it does, and when the hub itself lets the lane go on."""

    receiver: Receiver
    lane: Lane
    health: Health
    held_until: float = 0.0
    alarm: asyncio.TimerHandle | None = None


class Deliveries:
    """The lanes of one assignment; all of them end with it.

    `limit` is how many requests may be under way to one receiver here; `healths` outlive the assignment; `release` is told every
    record that a receiver no longer needs.
    """

    def __init__(
        self,
        context: WorkerContext,
        *,
        log_epoch: str,
        limit: int,
        healths: dict[Receiver, Health],
        release: Callable[[Receiver, Place], None],
    ) -> None:
        self._context = context
        self._log_epoch = log_epoch
        self._limit = limit
        self._healths = healths
        self._release = release
        self._patience = context.settings.push_seconds
        self._audiences = Audiences(context.keeper.current)
        self._lines: dict[Receiver, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._being_stored: Mapping[int, range] = {}
        self._offered = asyncio.Event()
        self._is_closing = False

    @property
    def waiting(self) -> tuple[int, int]:
        """Entries and bytes that wait in all lanes."""
        lanes = [line.lane for line in self._lines.values()]
        return sum(lane.waiting for lane in lanes), sum(lane.waiting_bytes for lane in lanes)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return all(line.lane.is_idle for line in self._lines.values())

    def audience(self, envelope: Envelope) -> Iterable[Receiver]:
        """Who receives a push by the directory as it is now."""
        return self._known().of(envelope.platform_id, envelope.from_party, envelope.module)

    def expect(self, offsets: Mapping[int, range]) -> None:
        """Records of these offsets by partition are being stored; `pump` says that they were offered.

        A current state that is read meanwhile and shows one of them waits until then, so that the lane knows which of its entries
        are older than what was shown.
        """
        self._being_stored = offsets
        self._offered.clear()

    def offer(self, receivers: Iterable[Receiver], entry: Entry) -> None:
        """Put a record into the lanes of its receivers; `pump` sends."""
        for receiver in receivers:
            lane = self._line(receiver).lane
            saved = lane.coalesced
            lane.offer(entry)
            if lane.coalesced > saved:
                DELIVERIES_COALESCED.inc(lane.coalesced - saved)

    def pump(self) -> None:
        """What was expected is offered: start as many requests as all lanes let go now."""
        self._being_stored = {}
        self._offered.set()
        for line in self._lines.values():
            self._pump(line)

    async def finish(self, timeout: float) -> None:
        """Start nothing more and let what is under way end; what then still runs is cut off."""
        self._is_closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        tasks = list(self._tasks)
        self.cut_off()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut_off(self) -> None:
        """End at once: the next owner of the partitions sends again what was under way."""
        self._is_closing = True
        for line in self._lines.values():
            if line.alarm is not None:
                line.alarm.cancel()
        for task in self._tasks:
            task.cancel()

    def _known(self) -> Audiences:
        directory = self._context.keeper.current
        if self._audiences.directory is not directory:
            self._audiences = Audiences(directory)
        return self._audiences

    def _line(self, receiver: Receiver) -> _Line:
        line = self._lines.get(receiver)
        if line is None:
            health = self._healths.setdefault(receiver, Health())
            line = self._lines[receiver] = _Line(receiver, Lane(partial(self._release, receiver)), health)
        return line

    def _pump(self, line: _Line) -> None:
        if self._is_closing or not line.lane.is_ready:
            return
        now = time.monotonic()
        allowed = 0 if now < line.held_until else line.health.allowed(now, self._limit)
        while (entry := line.lane.take(allowed)) is not None:
            task = asyncio.create_task(self._deliver(line, entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if allowed == 0:
            self._wake(line, max(line.held_until, line.health.next_try) - now)

    def _wake(self, line: _Line, seconds: float) -> None:
        if line.alarm is not None:
            line.alarm.cancel()
        line.alarm = asyncio.get_running_loop().call_later(seconds + 0.001, self._pump, line)

    async def _deliver(self, line: _Line, entry: Entry) -> None:
        try:
            await self._attempt(line, entry)
        except (StoreUnavailable, asyncpg.PostgresError) as error:
            log.warning("current.not_read", to_party=str(line.receiver.party), error=str(error))
            self._hold(line, entry)
        except Exception:
            log.exception("delivery.failed", to_party=str(line.receiver.party), object=_subject(entry.envelope))
            self._give_up(line, [entry], Verdict.TROUBLED, "a fault of the hub")
            line.lane.done(entry)
        self._pump(line)

    async def _attempt(self, line: _Line, entry: Entry) -> None:
        """One attempt, with the directory as it is when the request is made."""
        content = raw_content(entry) if entry.is_raw else await self._read_current(line, entry)
        audiences, envelope = self._known(), entry.envelope
        if not self._context.keeper.may_send:
            self._hold(line, entry)
            return
        if line.receiver not in audiences.of(envelope.platform_id, envelope.from_party, envelope.module):
            self._note(line, entry, "delivery.withdrawn", Verdict.UNREACHABLE, "not entitled or not connected any more")
            line.lane.done(entry)
            return
        if content is None:
            self._note(line, entry, "delivery.withdrawn", Verdict.UNREACHABLE, "nothing is held of it any more")
            line.lane.done(entry)
            return
        attempt = self._request(audiences, line.receiver, entry, content)
        started = time.monotonic()
        judgement = await self._send(attempt)
        seconds = time.monotonic() - started
        PARTNER_SECONDS.labels(envelope.module).observe(seconds)
        self._note_attempt(line, entry, judgement, attempt.headers[REQUEST_ID], seconds)
        self._settle(line, entry, judgement)

    async def _read_current(self, line: _Line, entry: Entry) -> Content | None:
        async with self._context.store.connection() as connection:
            found = await read_current(connection, entry.key)
        expected = self._being_stored.get(entry.place.partition, ())
        offsets = [unit.offset for unit in found if unit.epoch == self._log_epoch]
        if any(offset in expected for offset in offsets):
            await self._offered.wait()
        line.lane.shows(entry, max(offsets, default=-1))
        return current_content(entry, found)

    def _request(self, audiences: Audiences, receiver: Receiver, entry: Entry, content: Content) -> Attempt:
        """TO the receiving party, FROM the hub, a new request id, the sender's correlation id."""
        envelope = entry.envelope
        platform = audiences.directory.platforms[receiver.platform_id]
        assert platform.token is not None, "an audience holds only platforms with a token"
        return prepare(
            method=content.method,
            url=join(platform.endpoints[envelope.module, Interface.RECEIVER], content.tail, envelope.query),
            body=content.body,
            content_type=envelope.content_type,
            token=platform.token,
            to_party=receiver.party,
            from_party=audiences.directory.hub_party,
            request_id=str(uuid.uuid4()),
            correlation_id=envelope.correlation_id,
        )

    async def _send(self, attempt: Attempt) -> Judgement:
        body = attempt.body or None
        try:
            came = await self._context.partners.send(
                attempt.method, attempt.url, attempt.headers, body, timeout=self._patience
            )
        except PartnerError as error:
            return judge_failure(error, datetime.now(UTC))
        return judge_answer(
            http_status=came.http_status,
            headers=came.headers,
            content=came.body,
            method=attempt.method,
            traffic=TrafficClass.PUSH,
            now=datetime.now(UTC),
        )

    def _settle(self, line: _Line, entry: Entry, judgement: Judgement) -> None:
        """Release the record, or keep it for a receiver in trouble until patience has run out."""
        lane, health = line.lane, line.health
        if judgement.verdict in _FINAL:
            if health.troubled_since is not None:
                log.info("receiver.recovered", to_party=str(line.receiver.party))
            health.well()
            lane.done(entry)
            return
        now = time.monotonic()
        if health.troubled_since is None:
            log.warning("receiver.troubled", to_party=str(line.receiver.party), verdict=judgement.verdict.value)
        health.trouble(now, retry_after=retry_after_seconds(judgement.headers.get("retry-after")))
        if health.is_lost(now, self._patience):
            others = lane.withdraw()
            self._give_up(line, [entry, *others], judgement.verdict, "the receiver is in trouble for too long")
            lane.done(entry)
            for other in others:
                lane.release(other)
        elif entry.tried_at is not None and now - entry.tried_at > self._patience:
            self._give_up(line, [entry], judgement.verdict, "this request meets trouble for too long")
            lane.done(entry)
        else:
            lane.again(entry, now)

    def _hold(self, line: _Line, entry: Entry) -> None:
        """The hub itself cannot go on now: the lane waits, its receiver had no part in it."""
        line.held_until = time.monotonic() + _HOLD_SECONDS
        line.lane.again(entry, None)

    def _give_up(self, line: _Line, entries: Sequence[Entry], verdict: Verdict, why: str) -> None:
        """What the receiver will not get from these records; they are released right after (BP-16)."""
        log.warning("deliveries.given_up", to_party=str(line.receiver.party), count=len(entries), reason=why)
        for entry in entries:
            self._note(line, entry, "delivery.given_up", verdict, why)

    def _note(self, line: _Line, entry: Entry, kind: str, verdict: Verdict, detail: str) -> None:
        DELIVERIES.labels(verdict.value).inc()
        outcome = outcome_of(entry.envelope, kind, verdict, receiver=line.receiver, detail=detail)
        self._context.outcomes.note(outcome)

    def _note_attempt(self, line: _Line, entry: Entry, judgement: Judgement, request_id: str, seconds: float) -> None:
        DELIVERIES.labels(judgement.verdict.value).inc()
        detail = judgement.detail if entry.is_raw else f"current state; {judgement.detail}".rstrip("; ")
        outcome = outcome_of(
            entry.envelope,
            "delivery.attempted",
            judgement.verdict,
            receiver=line.receiver,
            request_id=request_id,
            http_status=judgement.http_status if judgement.is_partners else None,
            ocpi_status=judgement.ocpi_status,
            detail=detail or None,
            elapsed_ms=seconds * 1000,
        )
        self._context.outcomes.note(outcome)


def outcome_of(
    envelope: Envelope,
    kind: str,
    verdict: Verdict,
    *,
    receiver: Receiver | None = None,
    request_id: str = "",
    http_status: int | None = None,
    ocpi_status: int | None = None,
    detail: str | None = None,
    elapsed_ms: float | None = None,
) -> Outcome:
    """What one step of a push came to; without a receiver it is about the push itself."""
    return Outcome(
        at=int(time.time() * 1000),
        outcome_id=str(uuid.uuid4()),
        correlation_id=envelope.correlation_id,
        request_id=request_id or envelope.request_id,
        leg=Leg.FANOUT,
        kind=kind,
        verdict=verdict,
        platform_id=receiver.platform_id if receiver else envelope.platform_id,
        from_party=str(envelope.from_party),
        to_party=str(receiver.party) if receiver else None,
        ocpi_version=envelope.version,
        module=envelope.module,
        interface=envelope.interface.value,
        method=envelope.method,
        object=_subject(envelope),
        http_status=http_status,
        ocpi_status=ocpi_status,
        detail=detail,
        elapsed_ms=elapsed_ms,
    )


def _subject(envelope: Envelope) -> str:
    return object_name(envelope.module, *segments(envelope.tail))
