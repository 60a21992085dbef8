"""Whose copy of an object is its own: receivers that were pushed a Location, Tariff or Token alone, as the fan-out sees them.

The relay notes such a copy. It is over when the receiver takes a later push to all of the whole object, or does not know the
object any more. What was taken is remembered for some seconds, since a note may be written a moment after a push to all that
came later; it costs one small statement for each look, and nothing more while those receivers have no notes.

Decision D-04; rules RT-18, RT-19.
"""

import time
from typing import Final

from hub.delivery.content import Content
from hub.model.delivery import Entry, Receiver
from hub.model.outcome import Verdict
from hub.model.unit import UnitKey
from hub.store import directed_notes
from hub.store.directed_notes import Copy
from hub.store.pool import Connection, Store
from workers.attempts import Attempted, is_unknown
from workers.readings import Reading

_KEPT_SECONDS: Final = 2.0

Taken = dict[tuple[Receiver, UnitKey], float]
"""Whole objects that receivers took from pushes to all, and when those began, in monotonic seconds."""


class Copies:
    """What receivers lately took in one assignment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._taken: Taken = {}
        self._taken_before: Taken = {}
        self._turned_at = time.monotonic()

    async def judged(
        self, receiver: Receiver, entry: Entry, reading: Reading | None, content: Content, made: Attempted
    ) -> None:
        """A receiver has answered; only one that lacks what was noted of it waits for the store.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        key = entry.key if reading is None else reading.key
        if reading is not None and reading.is_directed and is_unknown(made.judgement):
            async with self._store.connection() as connection:
                await directed_notes.forget(connection, [Copy(receiver, key.root, 0.0)])
        elif (
            entry.place is not None
            and not key.evse_uid
            and content.method != "PATCH"
            and made.judgement.verdict is Verdict.DELIVERED
        ):
            self._taken[receiver, key] = made.began

    async def settle(self, connection: Connection) -> None:
        """End the notes of what was taken since.

        Raises:
            StoreUnavailable: Postgres did not answer; it is done later.
        """
        taken, now = self._taken_before | self._taken, time.monotonic()
        if taken:
            noted = await directed_notes.who_has_any(connection, list({receiver for receiver, _ in taken}))
            copies = [Copy(*place, now - began) for place, began in taken.items() if place[0] in noted]
            await directed_notes.forget(connection, copies)
        if now - self._turned_at >= _KEPT_SECONDS:
            self._taken_before, self._taken, self._turned_at = self._taken, {}, now
