"""Writes down, many at a time, what receivers missed, refused and got after all.

A record is released for a receiver only after the mark or the refusal that stands for it is committed: whatever was released is
either delivered or written down (`commit_covered`).
"""

import asyncio
from collections.abc import Callable
from typing import Final

import asyncpg

from hub.errors import StoreUnavailable
from hub.model.delivery import Receiver
from hub.model.unit import UnitKey
from hub.store import marks, receivers
from hub.store.marks import Missed, Seen
from hub.store.pool import Store
from hub.store.receivers import Refused
from hub.telemetry import MARKS_CLEARED, MARKS_WRITTEN, get_logger
from workers.planning import Recent

log = get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_MOST_ROWS: Final = 5000
_MARKINGS_REMEMBERED: Final = 50_000

Then = Callable[[], None]


class MissedWriter:
    """What one assignment has to write; everything is written in the order in which it was said."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._missed: dict[tuple[Receiver, UnitKey], Missed] = {}
        self._judged: dict[tuple[Receiver, UnitKey], Refused | None] = {}
        self._seen: dict[Seen, None] = {}
        self._covered = Recent[int](_MARKINGS_REMEMBERED)
        self._then: list[Then] = []
        self._has_work = asyncio.Event()
        self._writing = asyncio.Lock()

    def miss(self, receiver: Receiver, key: UnitKey, partition: int, then: Then) -> None:
        """Mark a unit for a receiver; `then` is called when that is committed."""
        self._missed[receiver, key] = Missed(receiver, key, partition)
        self._then.append(then)
        self._has_work.set()

    def refuse(self, refused: Refused, then: Then) -> None:
        """Keep a refusal; `then` is called when that is committed."""
        self._judged[refused.receiver, refused.key] = refused
        self._then.append(then)
        self._has_work.set()

    def accept(self, receiver: Receiver, key: UnitKey) -> None:
        """A receiver took what it had refused before."""
        self._judged[receiver, key] = None
        self._has_work.set()

    def clear(self, seen: list[Seen]) -> None:
        """A send has covered these markings."""
        self._seen |= dict.fromkeys(seen)
        for entry in seen:
            self._covered.add(entry.marking)
        self._has_work.set()

    def is_covered(self, seen: Seen) -> bool:
        """Whether a send has covered this marking: its row was read before it was taken away. No marking comes twice."""
        return seen.marking in self._covered

    async def write_for_ever(self) -> None:
        """Write whatever comes, however long the database is away."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self.flush()
            except (StoreUnavailable, asyncpg.PostgresError) as error:
                log.warning("marks.not_written", count=len(self._missed), error=repr(error))
                self._has_work.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> None:
        """Write what was said until now.

        Raises:
            StoreUnavailable: Postgres did not answer; it stays to be written.
        """
        async with self._writing:
            missed, judged, seen, then = dict(self._missed), dict(self._judged), list(self._seen), list(self._then)
            refused = [row for row in judged.values() if row is not None]
            async with self._store.transaction() as connection:
                await marks.clear(connection, seen)
                for first in range(0, len(missed), _MOST_ROWS):
                    await marks.mark(connection, list(missed.values())[first : first + _MOST_ROWS])
                await receivers.accept(connection, [place for place, row in judged.items() if row is None])
                await receivers.refuse(connection, refused)
            MARKS_WRITTEN.inc(len(missed))
            MARKS_CLEARED.inc(len(seen))
            for key, row in missed.items():
                if self._missed.get(key) is row:
                    del self._missed[key]
            for key, judgement in judged.items():
                if self._judged[key] is judgement:
                    del self._judged[key]
            for marking in seen:
                del self._seen[marking]
            del self._then[: len(then)]
        for act in then:
            act()
