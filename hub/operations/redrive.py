"""Putting dead letters back where they came from, or discarding them.

A letter is put back inside the transaction that notes it. If that fails half way it may be put back twice, never be called put
back without being it: a push that comes twice is recognised as a repetition (D-28), an outcome by its id.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hub.messaging.dead_letters import DeadLetters, Letter, LetterPlace, open_dead_letters
from hub.messaging.topics import BULK_REQUESTS, OUTCOMES, PUSHES, REQUESTS, Topics
from hub.operations.dead_letters import SCAN_SECONDS, Desk, no_such_letter, twins_of
from hub.operations.declined import Declined, Reason
from hub.store import dead_letters as dispositions
from hub.store import operators
from hub.store.dead_letters import Action, Disposition, Place
from hub.store.pool import Connection

SWEEP_SECONDS: Final = 35.0
"""With the time of one letter more, still less than the command line waits."""
MOST_SWEPT: Final = 2_000
"""Letters of one partition that one sweep takes."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was done with one letter; `count`: how often something was done with it by now."""

    place: str
    source: str | None
    action: Action
    count: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was done with the open letters, oldest first.

    `twins`: letters discarded since their record lies in another letter. `refused` counts by reason those that stay open.
    `left`: those that this sweep did not come to.
    """

    action: Action
    settled: int
    twins: int
    refused: Mapping[str, int]
    left: int = 0


async def settle(
    desk: Desk, action: Action, *, operator: str, place: LetterPlace, again: bool = False
) -> Settled | Declined:
    """Put a letter's record back, as it was, onto the topic and partition that it came from; or discard the letter.

    Declined where something was done with it before, unless `again`. A request to one party is never put back: its caller
    is gone, and what it asked for must not happen late.

    Raises:
        LogUnavailable: Kafka has not acknowledged the record; it may still arrive. The letter is open.
    """
    async with open_dead_letters(desk.bootstrap, desk.topics) as letters:
        letter = await letters.read(place)
        if letter is None:
            return no_such_letter(place)
        return await _settle(desk, letters.epoch, action, operator, letter, again=again)


async def sweep(desk: Desk, action: Action, *, operator: str) -> Sweep:
    """Do the same with the open letters, in the order of their sources; a record that lies twice goes back once."""
    until = time.monotonic() + SWEEP_SECONDS
    async with open_dead_letters(desk.bootstrap, desk.topics) as letters:
        async with desk.store.connection() as connection:
            settled = await dispositions.in_spans(connection, letters.epoch, letters.spans)
        wanted = {number: _oldest_open(number, span, settled) for number, span in letters.spans.items()}
        found, _ = await letters.scan(wanted, until=time.monotonic() + SCAN_SECONDS)
        waiting = sorted((letter for letter in found if letter.place not in settled), key=_order)
        made = await _sweep(desk, letters, action, operator, waiting, twins_of(found), until)
    left = letters.total - len(settled) - made.settled - made.twins - sum(made.refused.values())
    return replace(made, left=max(left, 0))


async def _sweep(
    desk: Desk,
    letters: DeadLetters,
    action: Action,
    operator: str,
    waiting: Sequence[Letter],
    twins: Collection[Place],
    until: float,
) -> Sweep:
    done = discarded = 0
    refused: dict[str, int] = {}
    for letter in waiting:
        if time.monotonic() > until:
            break
        is_twin = action is Action.REDRIVEN and letter.place in twins and unfit(letter, desk.topics) is None
        wanted = Action.DISCARDED if is_twin else action
        whole = await letters.read(letter.place) if wanted is Action.REDRIVEN else letter
        made = await _settle(desk, letters.epoch, wanted, operator, whole, again=False) if whole else None
        if isinstance(made, Declined):
            refused[made.message] = refused.get(made.message, 0) + 1
        elif made:
            done, discarded = done + (not is_twin), discarded + is_twin
    return Sweep(action, done, discarded, refused)


async def _settle(
    desk: Desk, epoch: str, action: Action, operator: str, letter: Letter, *, again: bool
) -> Settled | Declined:
    declined = unfit(letter, desk.topics) if action is Action.REDRIVEN else None
    if declined:
        return declined
    source = str(letter.source) if letter.source else ""
    async with desk.store.transaction() as connection:
        before = None if again else await _before(connection, epoch, action, letter.place, source)
        if before:
            return _settled_before(letter.place, before)
        count = await dispositions.dispose(connection, epoch, letter.place, source, action, operator, again=again)
        if count is None:
            return Declined(Reason.CONFLICT, f"dead letter {letter.place} is just being settled by somebody else")
        detail = {"source": source, "count": count}
        subject = f"dead-letter/{letter.place}"
        await operators.add_audit(connection, operator, f"dead_letter.{action}", subject, detail)
        if action is Action.REDRIVEN:
            await desk.put_back(letter)
    return Settled(str(letter.place), source or None, action, count)


async def _before(
    connection: Connection, epoch: str, action: Action, place: LetterPlace, source: str
) -> Disposition | None:
    """What was done before that stands against this."""
    found = await dispositions.of_place(connection, epoch, place)
    if found is None and action is Action.REDRIVEN:
        twin = await dispositions.of_source(connection, epoch, source)
        return twin if twin and twin.action is Action.REDRIVEN else None
    return found


def unfit(letter: Letter, topics: Topics) -> Declined | None:
    """Why a letter cannot be put back, whatever was done with it."""
    if letter.source is None:
        return Declined(Reason.CONFLICT, "its headers do not say where it came from: it can only be discarded")
    if letter.source.topic in {topics.name(REQUESTS), topics.name(BULK_REQUESTS)}:
        return Declined(
            Reason.CONFLICT,
            "a request to one party is sent at most once and its caller is gone: it can only be discarded",
        )
    spec = next((spec for spec in (PUSHES, OUTCOMES) if topics.name(spec) == letter.source.topic), None)
    if spec is None or letter.source.partition >= topics.partitions(spec):
        place = f"{letter.source.topic}/{letter.source.partition}"
        return Declined(Reason.CONFLICT, f"nothing reads {place} here: it can only be discarded")
    return None


def _settled_before(place: LetterPlace, before: Disposition) -> Declined:
    held = LetterPlace(*before.place)
    what = f"dead letter {place} was {before.action}"
    if held != place:
        what = f"the record of dead letter {place} was {before.action} as {held}"
    return Declined(
        Reason.CONFLICT, f"{what} by {before.operator} at {before.at:%Y-%m-%dT%H:%M:%SZ}: --again does it again"
    )


def _oldest_open(number: int, span: range, settled: Collection[Place]) -> range:
    """The beginning of a partition that holds its oldest open letters, as many as one sweep takes."""
    stop, counted = span.start, 0
    while stop < span.stop and counted < MOST_SWEPT:
        counted += (number, stop) not in settled
        stop += 1
    return range(span.start, stop)


def _order(letter: Letter) -> tuple[Any, ...]:
    source = letter.source
    return (source is None, source or (), letter.place)
