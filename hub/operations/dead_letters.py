"""Dead letters as an operator sees them: records that nobody could understand, and what was done with each.

A letter's record stays in the log until it expires; what was done with it is a row in the store.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hub.errors import HubError
from hub.messaging.dead_letters import Letter, LetterPlace, open_dead_letters
from hub.messaging.topics import Topics
from hub.operations.declined import Declined, Reason
from hub.operations.withhold import Shown, shown_error, shown_record
from hub.store import dead_letters as dispositions
from hub.store.dead_letters import Disposition, Place
from hub.store.pool import Store

SCAN_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Desk:
    """What letters are worked on with; `put_back` appends a letter's record to where it came from."""

    store: Store
    topics: Topics
    bootstrap: str
    put_back: Callable[[Letter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LetterRow:
    """One letter in a list.

    `state` is open, redriven or discarded; `size` that of the record's body; `settled_count` how often something was done with
    it. `twin_of` is an earlier letter with the same source: one record, buried twice.
    """

    place: str
    at: datetime
    source: str | None
    error: str
    size: int
    state: str
    twin_of: str | None
    settled_by: str | None
    settled_at: datetime | None
    settled_count: int


@dataclass(frozen=True, slots=True)
class LetterList:
    """The newest letters, newest first. `total` and `open` count all that are kept; `is_whole`: the log was read in time."""

    letters: tuple[LetterRow, ...]
    total: int
    open: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class LetterDetail:
    """One letter with its record's own key and headers, and its body where that was asked for."""

    letter: LetterRow
    record: Shown


@dataclass(frozen=True, slots=True)
class LetterCount:
    """How many letters are kept, and with how many of them nothing was done yet."""

    total: int
    open: int


async def count_letters(store: Store, topics: Topics, bootstrap: str) -> LetterCount | None:
    """How many letters there are; None while the database or Kafka is away."""
    try:
        async with open_dead_letters(bootstrap, topics) as letters, store.connection() as connection:
            settled = await dispositions.count(connection, letters.epoch, letters.spans)
            return LetterCount(letters.total, letters.total - settled)
    except HubError:
        return None


async def list_letters(desk: Desk, *, limit: int, only_open: bool = False) -> LetterList:
    """The newest letters, newest first, `limit` at most. Twins are known among the letters read for it."""
    async with open_dead_letters(desk.bootstrap, desk.topics) as letters:
        async with desk.store.connection() as connection:
            settled = await dispositions.in_spans(connection, letters.epoch, letters.spans)
        left_out: Collection[Place] = settled.keys() if only_open else ()
        wanted = {number: _newest(number, span, left_out, limit) for number, span in letters.spans.items()}
        found, is_whole = await letters.scan(wanted, until=time.monotonic() + SCAN_SECONDS)
        total = letters.total
    twins = twins_of(found)
    shown = [letter for letter in found if letter.place not in left_out]
    shown.sort(key=lambda letter: (letter.at, letter.place), reverse=True)
    rows = tuple(_row(letter, settled.get(letter.place), twins.get(letter.place)) for letter in shown[:limit])
    return LetterList(rows, total, total - len(settled), is_whole)


async def show_letter(desk: Desk, place: LetterPlace, *, with_body: bool) -> LetterDetail | Declined:
    """One letter with the headers and key of its record; a body that may hold driver data is not shown."""
    async with open_dead_letters(desk.bootstrap, desk.topics) as letters:
        letter = await letters.read(place)
    if letter is None:
        return no_such_letter(place)
    async with desk.store.connection() as connection:
        settled = await dispositions.of_place(connection, letters.epoch, place)
        twin = await dispositions.of_source(connection, letters.epoch, str(letter.source))
    twin_of = LetterPlace(*twin.place) if twin and twin.place != place else None
    return LetterDetail(_row(letter, settled, twin_of), shown_record(letter, desk.topics, with_body=with_body))


def no_such_letter(place: LetterPlace) -> Declined:
    """The refusal that every use case on one letter begins with."""
    return Declined(Reason.NOT_FOUND, f"there is no dead letter {place} (any more)")


def twins_of(letters: Iterable[Letter]) -> dict[Place, LetterPlace]:
    """The letters whose record lies in an earlier one too, each with that one."""
    first: dict[str, LetterPlace] = {}
    twins: dict[Place, LetterPlace] = {}
    for letter in sorted(letters, key=lambda entry: (entry.at, entry.place)):
        if letter.source is None:
            continue
        earlier = first.setdefault(str(letter.source), letter.place)
        if earlier != letter.place:
            twins[letter.place] = earlier
    return twins


def _newest(number: int, span: range, left_out: Collection[Place], limit: int) -> range:
    """The end of a partition that holds its `limit` newest letters of those not left out."""
    start, counted = span.stop, 0
    while start > span.start and counted < limit:
        start -= 1
        counted += (number, start) not in left_out
    return range(start, span.stop)


def _row(letter: Letter, settled: Disposition | None, twin_of: LetterPlace | None) -> LetterRow:
    return LetterRow(
        place=str(letter.place),
        at=letter.at,
        source=str(letter.source) if letter.source else None,
        error=shown_error(letter),
        size=letter.size,
        state=settled.action.value if settled else "open",
        twin_of=str(twin_of) if twin_of else None,
        settled_by=settled.operator if settled else None,
        settled_at=settled.at if settled else None,
        settled_count=settled.count if settled else 0,
    )
