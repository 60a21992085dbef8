"""Catch-up: feeds a receiver's dirty marks into its lane, oldest first, a few at a time.

The lane paces it: what was fed is sent between live records, each as the current state of its unit, read inside the slot. A mark
goes when the send that covered it is done, unless it was made anew meanwhile.

Rules BP-16, OF-01; decision D-13.
"""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from hub.store import marks
from hub.store.pool import Store
from workers.lines import MARKS_AT_ONCE, Line

_BEGINNING: Final = (datetime.min.replace(tzinfo=UTC, year=1900), -1)


async def catch_up(store: Store, line: Line, partitions: Iterable[int], send: Callable[[Line], bool]) -> None:
    """Feed the marks of one receiver in these partitions, once through all of them.

    `send` starts what may be sent and says whether the receiver still gets anything; when it does not, this ends.

    Raises:
        StoreUnavailable: Postgres did not answer; a later look begins again.
    """
    waiting = deque(partitions)
    cursors = dict.fromkeys(waiting, _BEGINNING)
    while waiting:
        partition = waiting[0]
        async with store.connection() as connection:
            found = await marks.read_next(
                connection, line.receiver, partition, after=cursors[partition], limit=MARKS_AT_ONCE
            )
        if not found:
            waiting.popleft()
            continue
        cursors[partition] = (found[-1].since, found[-1].marking)
        waiting.rotate(-1)
        for mark in found:
            line.lane.offer_mark(mark.key)
        if not send(line):
            return
        line.watch_room()
        await line.room.wait()
