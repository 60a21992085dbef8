"""What became of records for their receivers: taken, refused, missed or withdrawn.

Each is noted for the ledger; what has to outlive this process is written down (`workers.missed`) before the record is released.

Rules BP-12, BP-16; decisions D-04, D-13.
"""

from collections.abc import Sequence
from functools import partial

from hub.delivery.content import Content
from hub.model.delivery import Entry, Receiver
from hub.model.outcome import Verdict
from hub.model.unit import UnitKey
from hub.store import receivers
from hub.telemetry import DELIVERIES
from workers.app import WorkerContext
from workers.attempts import Attempted, is_unknown, refusal
from workers.lines import Line
from workers.missed import MissedWriter
from workers.push_outcomes import delivery_outcome
from workers.readings import Reading
from workers.receivers import Receivers


class Settlement:
    """The endings of one assignment. `writer` writes them down."""

    def __init__(self, context: WorkerContext, known: Receivers) -> None:
        self._context = context
        self._receivers = known
        self._refused: set[tuple[Receiver, UnitKey]] = set()
        self.writer = MissedWriter(context.store)

    async def begin(self, partitions: Sequence[int]) -> None:
        """Read what receivers have refused of these partitions.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        async with self._context.store.connection() as connection:
            self._refused = await receivers.read_refused(connection, partitions)

    def for_refuser(self, receiver: Receiver, entry: Entry) -> Entry:
        """What a receiver gets of a unit that it refused before: the current state, whole where it refused the whole (BP-16)."""
        if (receiver, entry.key.root) in self._refused:
            return entry.as_whole() if not entry.is_loose else entry
        return entry.as_current() if (receiver, entry.key) in self._refused and not entry.is_loose else entry

    def take(self, line: Line, entry: Entry, content: Content, reading: Reading | None, made: Attempted) -> None:
        """The receiver judged the content: taken, refused, or refused since it does not know the object."""
        key = entry.key if reading is None else reading.key
        receiver, partition = line.receiver, self._partition(entry, reading)
        if reading is not None:
            self.writer.clear(reading.seen)
        is_taken = made.judgement.verdict is Verdict.DELIVERED or (
            content.method == "DELETE" and is_unknown(made.judgement)
        )
        if is_taken:
            if (receiver, key) in self._refused:
                self._refused.discard((receiver, key))
                self.writer.accept(receiver, key)
            line.lane.done(entry)
            return
        line.lane.land(entry)
        release = partial(line.lane.release, entry)
        if is_unknown(made.judgement) and (key.evse_uid or content.method == "PATCH") and not entry.is_loose:
            line.has_marks = True
            self.writer.miss(receiver, key.root, partition, release)
            return
        self._refused.add((receiver, key))
        self.writer.refuse(refusal(receiver, key, partition, content, made), release)

    def put_aside(self, line: Line, entry: Entry, why: str) -> None:
        """The entry under way is not delivered: its receiver misses it."""
        line.lane.land(entry)
        self.miss(line, [entry], why)

    def miss(self, line: Line, entries: Sequence[Entry], why: str) -> None:
        """Mark for a receiver what it did not get of these records; they are released when that is written (BP-16).

        What a mark asked for is marked still.
        """
        for entry in entries:
            if entry.place is None:
                continue
            release = partial(line.lane.release, entry.as_current())
            if self._receivers.standing(line.receiver).catches_up:
                line.has_marks = True
                self.writer.miss(line.receiver, entry.key, entry.place.partition, release)
                self._note(line, entry, "delivery.parked", why)
            else:
                release()
                self._note(line, entry, "delivery.given_up", why)

    def withdraw(self, line: Line, entry: Entry, reading: Reading | None, why: str) -> None:
        """Nothing is to be sent any more."""
        if reading is not None:
            self.writer.clear(reading.seen)
        if entry.place is not None:
            self._note(line, entry, "delivery.withdrawn", why)
        line.lane.done(entry)

    def note_attempt(self, line: Line, entry: Entry, content: Content, made: Attempted) -> None:
        """One request, whatever it came to."""
        judgement, platform = made.judgement, self._context.keeper.current.platforms.get(line.receiver.platform_id)
        DELIVERIES.labels(judgement.verdict.value).inc()
        detail = judgement.detail if entry.is_raw else f"current state; {judgement.detail}".rstrip("; ")
        self._context.outcomes.note(
            delivery_outcome(
                line.receiver,
                entry,
                "delivery.attempted",
                judgement.verdict,
                correlation_id=made.correlation_id,
                request_id=made.request_id,
                version=platform.version if platform else None,
                method=content.method,
                http_status=judgement.http_status if judgement.is_partners else None,
                ocpi_status=judgement.ocpi_status,
                detail=detail,
                elapsed_ms=made.seconds * 1000,
            )
        )

    def _note(self, line: Line, entry: Entry, kind: str, detail: str) -> None:
        assert entry.envelope is not None, "only a record has a story"
        DELIVERIES.labels(kind.removeprefix("delivery.")).inc()
        correlation_id = entry.envelope.correlation_id
        self._context.outcomes.note(
            delivery_outcome(
                line.receiver, entry, kind, Verdict.UNREACHABLE, correlation_id=correlation_id, detail=detail
            )
        )

    def _partition(self, entry: Entry, reading: Reading | None) -> int:
        """Whose records are about the entry's unit."""
        if entry.place is not None:
            return entry.place.partition
        assert reading is not None, "what a mark asks for is read"
        return reading.found[0].partition
