"""The ledger: writes every outcome to Postgres, each once, and commits its position only afterwards.

A record holds one outcome or several. A redelivered outcome is known by its id, so a crash between the write and the commit
changes neither rows nor counts. A record that is none, or that holds what no column can, goes to the dead letters and holds up
nobody; its good outcomes are written. Postgres or Kafka away: it waits and goes on by itself, with bounded records in memory.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from hub.errors import Invalid, LogUnavailable, StoreUnavailable
from hub.messaging.broker import BatchConsumer
from hub.messaging.codec import decode_outcomes, readable_outcomes
from hub.messaging.dead_letters import bury
from hub.messaging.producer import Producer
from hub.messaging.records import Record
from hub.messaging.topics import OUTCOMES, Topics
from hub.store import directed, issued_urls, routes
from hub.store.exchanges import Row, add_outcomes, keep_days, row_of
from hub.store.pool import Store
from hub.telemetry import OUTCOMES_STORED, get_logger
from workers.app import WorkerContext

log = get_logger(__name__)

WORKER: Final = "ledger"
_FETCH_RECORDS: Final = 500
_BATCH_BYTES: Final = 1_048_576
"""Two thousand outcomes at most, more or less, which one statement writes."""
_MOST_WAITING_BYTES: Final = 8_388_608
_RECORD_BYTES: Final = 256
_RETRY_SECONDS: Final = 0.5
_DIRECTED_KEPT: Final = timedelta(days=400)
"""How long Sessions and CDRs stay listed: a year, and a month to settle it (decision 0008)."""
_HOUSEKEEPING_SECONDS: Final = 3600.0
_HOUSEKEEPING_RETRY_SECONDS: Final = 60.0

Entry = tuple[Record, Row]
BadRecord = tuple[Record, Exception]


async def run(context: WorkerContext) -> None:
    """Write outcomes until told to stop; what was read is written first."""
    ledger = Ledger(
        store=context.store,
        bootstrap=context.bootstrap,
        topics=context.topics,
        dead_letters=context.durable,
        retention_days=context.settings.exchange_retention_days,
    )
    await ledger.start()
    context.ready()
    try:
        await ledger.run_until(context.stopping)
    finally:
        await ledger.stop()


class Ledger:
    """One ledger process. `dead_letters` is a durable producer that the caller starts and stops."""

    def __init__(
        self, *, store: Store, bootstrap: str, topics: Topics, dead_letters: Producer, retention_days: int
    ) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._topics = topics
        self._retention_days = retention_days
        self._waiting: deque[Record] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._consumer = BatchConsumer(
            bootstrap=bootstrap,
            topic=topics.name(OUTCOMES),
            group=topics.group(WORKER),
            handle=self._take,
            on_assigned=self._settle,
            on_revoked=self._forget,
            max_records=_FETCH_RECORDS,
        )

    async def start(self) -> None:
        """Begin to read and to write; the days are made first, so that rows find theirs.

        Raises:
            LogUnavailable: the broker does not answer.
        """
        pause = await self._keep_days()
        await self._consumer.start()
        self._tasks = [
            asyncio.create_task(self._write_for_ever(), name="ledger"),
            asyncio.create_task(self._keep_house(pause), name="ledger days"),
        ]

    async def run_until(self, stopping: asyncio.Event) -> None:
        """Return when told to stop; raise what ended a task before, so that the process ends and is started anew."""
        told = asyncio.create_task(stopping.wait())
        try:
            done, _ = await asyncio.wait({told, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
        for task in done:
            task.result()

    async def stop(self, timeout: float = 5.0) -> None:
        """Write what was read, for at most `timeout` seconds, and leave the group."""
        self._consumer.pause(self._consumer.assigned)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.stop()

    async def _take(self, records: Sequence[Record]) -> None:
        self._waiting.extend(records)
        self._waiting_bytes += sum(map(room_of, records))
        self._idle.clear()
        self._wake.set()
        self._settle(self._consumer.assigned)

    def _settle(self, partitions: frozenset[int]) -> None:
        """Fetch from these partitions while there is room."""
        if self._waiting_bytes >= _MOST_WAITING_BYTES:
            self._consumer.pause(partitions)
        else:
            self._consumer.resume(partitions)

    def _forget(self, partitions: frozenset[int]) -> None:
        """Their next owner reads them again."""
        self._waiting = deque(record for record in self._waiting if record.partition not in partitions)
        self._waiting_bytes = sum(map(room_of, self._waiting))

    async def _write_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._next_batch()
                self._settle(self._consumer.assigned)
                await self._write(batch)
            self._idle.set()

    def _next_batch(self) -> list[Record]:
        batch: list[Record] = []
        taken_bytes = 0
        while self._waiting and taken_bytes < _BATCH_BYTES:
            batch.append(self._waiting.popleft())
            taken_bytes += room_of(batch[-1])
        self._waiting_bytes -= taken_bytes
        return batch

    async def _write(self, batch: Sequence[Record]) -> None:
        """Write one batch, however long that takes, and commit it if its partitions are still ours."""
        epoch = self._consumer.epoch
        buried: set[Record] = set()
        while epoch == self._consumer.epoch:
            try:
                await self._write_once(batch, buried)
            except (StoreUnavailable, LogUnavailable, asyncpg.PostgresError) as error:
                log.warning("outcomes.not_written", count=len(batch), error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if epoch == self._consumer.epoch:
                await self._consumer.commit({record.partition: record.offset + 1 for record in batch})
            return

    async def _write_once(self, batch: Sequence[Record], buried: set[Record]) -> None:
        """Store what can be stored, then bury the rest, each record once however often the batch is tried."""
        entries: list[Entry] = []
        bad: list[BadRecord] = []
        for record in batch:
            try:
                outcomes = decode_outcomes(record.value)
            except Invalid as error:
                bad.append((record, error))
                outcomes = readable_outcomes(record.value)
            for outcome in outcomes:
                try:
                    entries.append((record, row_of(outcome)))
                except Invalid as error:
                    bad.append((record, error))
        stored = await self._store_all(entries, bad)
        OUTCOMES_STORED.inc(stored)
        log.debug("outcomes.stored", outcomes=stored, repeated=len(entries) - stored, bad=len(bad))
        for record, why in sorted(bad, key=lambda entry: entry[0].offset):
            if record not in buried:
                await bury(self._dead_letters, self._topics, record, why)
                buried.add(record)

    async def _store_all(self, entries: Sequence[Entry], bad: list[BadRecord]) -> int:
        """Write what the table can hold and add to `bad` what it cannot: on a data error the batch is halved."""
        try:
            async with self._store.transaction() as connection:
                return await add_outcomes(connection, [row for _, row in entries])
        except asyncpg.DataError as error:
            if len(entries) == 1:
                bad.append((entries[0][0], error))
                return 0
        middle = len(entries) // 2
        return await self._store_all(entries[:middle], bad) + await self._store_all(entries[middle:], bad)

    async def _keep_house(self, pause: float) -> None:
        while True:
            await self._forget_directed()
            await asyncio.sleep(pause)
            pause = await self._keep_days()

    async def _keep_days(self) -> float:
        """Make and drop days, forget routes and URLs that ran out; returns the seconds until that is due again."""
        try:
            dropped = await keep_days(self._store, datetime.now(UTC).date(), self._retention_days)
            async with self._store.transaction() as connection:
                forgotten = await routes.forget_expired(connection) + await issued_urls.forget_expired(connection)
        except (StoreUnavailable, asyncpg.PostgresError) as error:
            log.warning("exchange_days.not_kept", error=repr(error))
            return _HOUSEKEEPING_RETRY_SECONDS
        log.info("exchange_days.kept", dropped=dropped, forgotten=forgotten)
        return _HOUSEKEEPING_SECONDS

    async def _forget_directed(self) -> None:
        """Apart from the days, since nothing waits for it."""
        try:
            forgotten = await directed.forget_older(self._store, datetime.now(UTC) - _DIRECTED_KEPT)
        except (StoreUnavailable, asyncpg.PostgresError) as error:
            log.warning("directed.not_forgotten", error=repr(error))
        else:
            log.info("directed.forgotten", count=forgotten)


def room_of(record: Record) -> int:
    """Bytes that a record takes while it waits; an empty one takes some too."""
    around = len(record.key or b"") + sum(len(name) + len(text or b"") for name, text in record.headers)
    return _RECORD_BYTES + around + len(record.value)
