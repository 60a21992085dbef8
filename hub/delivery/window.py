"""Which offset of a partition may be committed: the first record that some receiver still needs.

A record is released for a receiver when it is delivered, refused, superseded by a later unreleased record, or given up. Offsets
advance over records that all their receivers released, so whatever was not released is read again after a crash.
"""

from collections import OrderedDict
from collections.abc import Collection

from hub.model.delivery import Receiver


class Window:
    """The unreleased records of one partition under one assignment."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, set[Receiver]] = OrderedDict()
        self._next = -1
        self._committed = -1

    def add(self, offset: int, receivers: Collection[Receiver]) -> None:
        """A record was read; offsets come in rising order. Without receivers it is released at once."""
        assert offset >= self._next, "offsets of a partition only rise"
        self._next = offset + 1
        if receivers:
            self._open[offset] = set(receivers)

    def release(self, offset: int, receiver: Receiver) -> None:
        """A receiver no longer needs this record. Idempotent."""
        waiting = self._open.get(offset)
        if waiting is None:
            return
        waiting.discard(receiver)
        if not waiting:
            del self._open[offset]

    @property
    def next_offset(self) -> int:
        """The offset to commit: everything before it is released; -1 before the first record."""
        return next(iter(self._open), self._next)

    @property
    def unreleased(self) -> int:
        """Records that some receiver still needs."""
        return len(self._open)

    def to_commit(self) -> int | None:
        """The offset to commit, or None where it is committed already."""
        return self.next_offset if self.next_offset > self._committed else None

    def committed(self, offset: int) -> None:
        """The broker has this offset."""
        self._committed = max(self._committed, offset)
