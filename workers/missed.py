"""Writes down, many at a time, what receivers missed, refused and got after all.

A record is released for a receiver only after the mark or the refusal that stands for it is committed: whatever was released is
either delivered or written down (`commit_covered`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Generic, TypeVar

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
_POISON: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_MOST_ROWS: Final = 5000
_MARKINGS_REMEMBERED: Final = 50_000

Then = Callable[[], None]
_Key = tuple[Receiver, UnitKey]
K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


@dataclass(slots=True)
class _Said(Generic[T]):
    """What is to be written of one unit for one receiver, and what is done then."""

    row: T
    then: list[Then]


class MissedWriter:
    """What one assignment has to write, what was said first goes first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._missed: dict[_Key, _Said[Missed]] = {}
        self._judged: dict[_Key, _Said[Refused | None]] = {}
        self._seen: dict[Seen, None] = {}
        self._covered = Recent[int](_MARKINGS_REMEMBERED)
        self._rows = _MOST_ROWS
        self._has_work = asyncio.Event()
        self._writing = asyncio.Lock()

    def miss(self, receiver: Receiver, key: UnitKey, partition: int, then: Then) -> None:
        """Mark a unit for a receiver; `then` is called when that is committed."""
        _say(self._missed, (receiver, key), Missed(receiver, key, partition), [then])
        self._has_work.set()

    def refuse(self, refused: Refused, then: Then) -> None:
        """Keep a refusal; `then` is called when that is committed."""
        _say(self._judged, (refused.receiver, refused.key), refused, [then])
        self._has_work.set()

    def accept(self, receiver: Receiver, key: UnitKey) -> None:
        """A receiver took what it had refused before."""
        _say(self._judged, (receiver, key), None, [])
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

    @property
    def waiting(self) -> int:
        """How much is not yet written."""
        return len(self._missed) + len(self._judged) + len(self._seen)

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
                if not isinstance(error, _POISON):
                    await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> None:
        """Write what was said until now.

        Raises:
            StoreUnavailable: Postgres did not answer; it stays to be written.
        """
        async with self._writing:
            while self._missed or self._judged or self._seen:
                await self._write_some()

    async def _write_some(self) -> None:
        """Write a part and release it: much to write neither holds the loop nor outlasts the time of a statement.

        A row that Postgres cannot hold is found by halving the part; it is told and given up, so that it holds up no other.
        """
        missed, judged, seen = _first(self._missed, self._rows), dict[_Key, _Said[Refused | None]](), dict[Seen, None]()
        if self._rows > 1 or not missed:
            judged, seen = _first(self._judged, self._rows), _first(self._seen, self._rows)
        try:
            async with self._store.transaction() as connection:
                await marks.clear(connection, list(seen))
                await marks.mark(connection, [said.row for said in missed.values()])
                await receivers.accept(connection, [key for key, said in judged.items() if said.row is None])
                await receivers.refuse(connection, [said.row for said in judged.values() if said.row is not None])
        except BaseException as error:
            is_poison = isinstance(error, _POISON)
            if not is_poison or self._rows > 1:
                _put_back(self._missed, missed)
                _put_back(self._judged, judged)
                self._seen = seen | self._seen
                self._rows = max(1, self._rows // 2) if is_poison else self._rows
                raise
            units = [str(key) for _, key in (*missed, *judged)]
            log.error("mark.not_held", units=units, error=type(error).__name__)
        else:
            self._rows = min(_MOST_ROWS, self._rows * 2)
        MARKS_WRITTEN.inc(len(missed))
        MARKS_CLEARED.inc(len(seen))
        for act in chain.from_iterable(said.then for said in missed.values()):
            act()
        for act in chain.from_iterable(said.then for said in judged.values()):
            act()


def _say(what: "dict[_Key, _Said[T]]", key: _Key, row: T, then: Sequence[Then]) -> None:
    said = what.get(key)
    if said is None:
        what[key] = _Said(row, list(then))
    else:
        said.row = row
        said.then += then


def _first(what: dict[K, V], most: int) -> dict[K, V]:
    """Take out what was said first."""
    first = dict(islice(what.items(), most))
    if len(first) == len(what):
        what.clear()
    else:
        for key in first:
            del what[key]
    return first


def _put_back(what: "dict[_Key, _Said[T]]", first: "dict[_Key, _Said[T]]") -> None:
    """Nothing was written: what was said meanwhile of the same is newer."""
    since = dict(what)
    what.clear()
    what.update(first)
    for key, said in since.items():
        _say(what, key, said.row, said.then)
