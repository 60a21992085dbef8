"""Which offset of a partition may be committed: the first record that some receiver still needs.

A record is released for a receiver when it is delivered, refused, superseded by a later unreleased record, or given up. Offsets
advance over records that all their receivers released, so whatever was not released is read again after a crash
(`commit_covered`).
"""

from collections import OrderedDict
from collections.abc import Iterable

from hub.model.delivery import Receiver


class Window:
    """The unreleased records of one partition, for as long as one assignment lasts."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, set[Receiver]] = OrderedDict()
        self._next: int | None = None
        self._committed = -1

    def add(self, offset: int, receivers: Iterable[Receiver]) -> None:
        """A record was read; offsets come in rising order. Without receivers it is released at once."""
        assert self._next is None or offset >= self._next, "offsets of a partition only rise"
        self._next = offset + 1
        waiting = set(receivers)
        if waiting:
            self._open[offset] = waiting

    def release(self, offset: int, receiver: Receiver) -> None:
        """A receiver no longer needs this record. Idempotent."""
        waiting = self._open.get(offset)
        if waiting is None:
            return
        waiting.discard(receiver)
        if not waiting:
            del self._open[offset]

    @property
    def unreleased(self) -> int:
        """Records that some receiver still needs."""
        return len(self._open)

    def to_commit(self) -> int | None:
        """The offset to read next after a restart; None where it is committed already or nothing was read."""
        if self._next is None:
            return None
        first = next(iter(self._open), self._next)
        return first if first > self._committed else None

    def committed(self, offset: int) -> None:
        """The broker has this offset."""
        self._committed = max(self._committed, offset)
