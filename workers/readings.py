"""Current states as their receivers are about to be sent them, read for many slots at a time.

A slot asks when its turn has come. What is asked while a reading is under way goes into the next one, so the database and this
process pay for a few statements where hundreds of units wait, and a unit that several receivers are to get is read once. The
marks on a unit are read before its state: a send covers only what it showed.

Decision D-04; rule BP-16.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hub.delivery.content import Content, current_content
from hub.errors import StoreUnavailable
from hub.model.delivery import Entry, Receiver
from hub.model.unit import Unit, UnitKey
from hub.store import directed_notes, marks, units
from hub.store.marks import Seen
from hub.store.pool import Connection, Store

_MOST_AT_ONCE: Final = 64
_MOST_READINGS: Final = 2
"""Readings under way; each has a connection of its own."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The current state of a unit as it was read, and the markings that were on it before that.

    `key` is that of the whole object where a mark asks for all of it. `content` is None where nothing is held. `is_directed`: the
    receiver has a copy of the object of its own, so marks on it ask for its parts only (D-04).
    """

    key: UnitKey
    content: Content | None
    seen: list[Seen]
    found: tuple[Unit, ...] = ()
    is_directed: bool = False


class _Asked(NamedTuple):
    receiver: Receiver
    entry: Entry
    with_marks: bool
    answer: asyncio.Future[Reading]


class Readings:
    """Reads for the slots of one assignment; `spawn` runs a task that ends with the assignment."""

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._store = store
        self._spawn = spawn
        self._asked: list[_Asked] = []
        self._under_way = 0

    async def read(self, receiver: Receiver, entry: Entry, *, with_marks: bool) -> Reading:
        """The current state of the entry's unit; with the marks on it where the receiver has any.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        answer: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(receiver, entry, with_marks, answer))
        if self._under_way < _MOST_READINGS:
            self._under_way += 1
            self._spawn(self._answer_all())
        return await answer

    async def _answer_all(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked[:_MOST_AT_ONCE], self._asked[_MOST_AT_ONCE:]
                await self._answer(asked)
        finally:
            self._under_way -= 1

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        try:
            async with self._store.connection() as connection:
                made = await _read(connection, asked)
        except Exception as error:
            if len(asked) > 1 and not isinstance(error, StoreUnavailable):
                for each in asked:
                    await self._answer([each])
                return
            for each in asked:
                if not each.answer.done():
                    each.answer.set_exception(error)
            return
        for each, reading in zip(asked, made, strict=True):
            if not each.answer.done():
                each.answer.set_result(reading)


async def _read(connection: Connection, asked: Sequence[_Asked]) -> list[Reading]:
    roots = list(dict.fromkeys((each.receiver, each.entry.key.root) for each in asked if each.with_marks))
    trees = await marks.of_trees(connection, roots)
    plans = [
        await _plan(connection, each, *trees.get((each.receiver, each.entry.key.root), ([], False))) for each in asked
    ]
    states = await units.read_current(connection, {plan.key for plan in plans if plan.is_wanted})
    contents = {key: current_content(key, found) for key, found in states.items()}
    return [
        Reading(plan.key, contents.get(plan.key), plan.covered, states.get(plan.key, ()), plan.is_directed)
        for plan in plans
    ]


class _Plan(NamedTuple):
    key: UnitKey
    covered: list[Seen]
    is_directed: bool
    is_wanted: bool = True


async def _plan(connection: Connection, asked: _Asked, seen: list[Seen], is_directed: bool) -> _Plan:
    """What is to be read, and which marks a send of it covers."""
    entry = asked.entry
    on_whole = next((mark for mark in seen if not mark.key.evse_uid), None)
    if is_directed and on_whole is not None:
        await directed_notes.spread_mark(connection, *on_whole)
        if entry.place is None and not entry.key.evse_uid:
            return _Plan(entry.key, [], is_directed=True, is_wanted=False)
    is_whole = not entry.key.evse_uid or (on_whole is not None and not is_directed)
    key = entry.key.root if is_whole else entry.key
    return _Plan(key, seen if is_whole else [mark for mark in seen if mark.key == key], is_directed)
