"""The lane of one receiver: what waits for it, in which order, and what is under way.

Within a root object order is kept and one request is under way at a time. Between owners the lane rotates, so that one storming
CPO holds up nobody else. A second record for a unit that still waits takes the first one's place as *current*: nothing is ever
overwritten but by newer state, and the receiver gets one request instead of two. What dirty marks ask for waits in the same
queues, so that it keeps the same order.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hub.model.delivery import Entry, Place
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId

_Slot = tuple[UnitKey, Place | None]


@dataclass(slots=True)
class _Queue:
    """What waits for one root object, by unit and in order; `in_flight` is the entry that is under way.

    `shown` is the newest offset that a current state may have shown the receiver: no older bytes follow it.
    """

    waiting: dict[_Slot, Entry] = field(default_factory=dict)
    in_flight: Entry | None = None
    shown: int = -1


class Lane:
    """A pure state machine. `release` is told every record that this receiver no longer needs, once."""

    def __init__(self, release: Callable[[Place], None]) -> None:
        self._release = release
        self._roots: dict[UnitKey, _Queue] = {}
        self._ready: OrderedDict[PartyId, OrderedDict[UnitKey, None]] = OrderedDict()
        self.in_flight = 0
        self.waiting = 0
        self.waiting_bytes = 0
        self.waiting_marks = 0
        self.coalesced = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._roots

    @property
    def oldest(self) -> int | None:
        """When the record arrived that has waited or been under way longest, roughly; Unix milliseconds."""
        queue = next(iter(self._roots.values()), None)
        if queue is None:
            return None
        entry = queue.in_flight or next(iter(queue.waiting.values()))
        return entry.envelope.received_at if entry.envelope is not None else None

    @property
    def is_ready(self) -> bool:
        """Whether something waits that could be sent now."""
        return bool(self._ready)

    def offer(self, entry: Entry) -> None:
        """Take a record for this receiver, later than all taken before of the same root."""
        root = entry.key.root
        queue = self._roots.get(root)
        if queue is None:
            queue = self._roots[root] = _Queue()
        held = queue.waiting.get(_slot(entry))
        if held is not None:
            entry = entry.as_current()
        if entry.replaces_all:
            for covered in [waiting for waiting in queue.waiting.values() if entry.covers(waiting)]:
                del queue.waiting[_slot(covered)]
                self._supersede(covered)
        elif held is not None:
            self._supersede(held)
        queue.waiting[_slot(entry)] = entry
        self._count(entry, 1)
        self._settle(root, queue)

    def offer_mark(self, key: UnitKey) -> None:
        """Take what a dirty mark asks for: what waits for the unit brings it, as current, or it waits itself.

        It never takes the place of a record: the mark may be taken away before its turn.
        """
        queue = self._roots.setdefault(key.root, _Queue())
        entry = Entry.of_mark(key)
        held = queue.waiting.get(_slot(entry))
        if held is None:
            queue.waiting[_slot(entry)] = entry
            self._count(entry, 1)
        elif held.is_raw:
            self._count(held, -1)
            queue.waiting[_slot(held)] = current = held.as_current()
            self._count(current, 1)
        self._settle(key.root, queue)

    def take(self, limit: int) -> Entry | None:
        """The next entry to send while fewer than `limit` are under way; owners take turns."""
        if self.in_flight >= limit or not self._ready:
            return None
        owner, roots = next(iter(self._ready.items()))
        root, _ = roots.popitem(last=False)
        if roots:
            self._ready.move_to_end(owner)
        else:
            del self._ready[owner]
        queue = self._roots[root]
        entry = queue.waiting.pop(next(iter(queue.waiting)))
        self._count(entry, -1)
        if entry.place is not None and entry.place.offset < queue.shown and not entry.is_loose:
            entry = entry.as_current()
        queue.in_flight = entry
        self.in_flight += 1
        return entry

    def shows(self, entry: Entry, offset: int) -> None:
        """The entry under way shows the receiver a state up to `offset`; what made that state is offered before it lands."""
        queue = self._roots[entry.key.root]
        queue.shown = max(queue.shown, offset)

    def done(self, entry: Entry) -> None:
        """The entry under way is delivered, refused, given up or no longer wanted: its record is released."""
        self.land(entry)
        self.release(entry)

    def land(self, entry: Entry) -> None:
        """The entry under way has ended; its record is released later, by `release`."""
        self._settle(entry.key.root, self._land(entry))

    def again(self, entry: Entry, troubled_at: float | None, *, as_current: bool = False) -> None:
        """The entry under way was not delivered: it waits in front of its root object, or gives way to a later one.

        A later patch then goes in front as current: what lies between may build on what the receiver did not get. `troubled_at`
        is when the receiver was in trouble, None where it had no part in it. `as_current`: next time the current state goes.
        """
        queue = self._land(entry)
        if as_current and not entry.is_loose:
            entry = entry.as_current()
        is_mark = entry.place is None
        later = next((each for each in queue.waiting.values() if each.covers(entry) and (is_mark or each.place)), None)
        if later is None:
            entry = self._take_mark(queue, entry)
            if entry.tried_at is None and troubled_at is not None:
                entry = replace(entry, tried_at=troubled_at)
            queue.waiting = {_slot(entry): entry, **queue.waiting}
            self._count(entry, 1)
        else:
            self._supersede(entry, counted=False)
            is_patch = later.is_raw and later.envelope is not None and later.envelope.method == "PATCH"
            is_whole = later.replaces_all and not is_patch
            if not is_whole:
                self._bring_forward(queue, later)
        self._settle(entry.key.root, queue)

    def withdraw(self) -> list[Entry]:
        """Take out everything that waits, without releasing it: the caller says what becomes of it and calls `release`."""
        gone = [entry for queue in self._roots.values() for entry in queue.waiting.values()]
        for root, queue in list(self._roots.items()):
            queue.waiting = {}
            if queue.in_flight is None:
                del self._roots[root]
        self._ready.clear()
        self.waiting = self.waiting_bytes = self.waiting_marks = 0
        return gone

    def release(self, entry: Entry) -> None:
        """Release the record of an entry that was landed or withdrawn; a dirty mark has none."""
        if entry.place is not None:
            self._release(entry.place)

    def _land(self, entry: Entry) -> _Queue:
        queue = self._roots[entry.key.root]
        assert queue.in_flight is entry, "only what is under way can land"
        queue.in_flight = None
        self.in_flight -= 1
        return queue

    def _take_mark(self, queue: _Queue, entry: Entry) -> Entry:
        """What a mark asks for of the same unit is brought by the entry itself, as current."""
        mark = queue.waiting.pop(_slot(entry), None)
        if mark is None:
            return entry
        self._count(mark, -1)
        return entry.as_current()

    def _bring_forward(self, queue: _Queue, entry: Entry) -> None:
        """Put a waiting entry in front, as current."""
        del queue.waiting[_slot(entry)]
        self._count(entry, -1)
        current = entry.as_current()
        queue.waiting = {_slot(current): current, **queue.waiting}
        self._count(current, 1)

    def _supersede(self, entry: Entry, *, counted: bool = True) -> None:
        if counted:
            self._count(entry, -1)
        self.coalesced += entry.place is not None
        self.release(entry)

    def _count(self, entry: Entry, sign: int) -> None:
        self.waiting += sign
        self.waiting_bytes += sign * entry.body_bytes
        self.waiting_marks += sign * (entry.place is None)

    def _settle(self, root: UnitKey, queue: _Queue) -> None:
        if queue.in_flight is not None:
            return
        if queue.waiting:
            roots = self._ready.get(root.owner)
            if roots is None:
                roots = self._ready[root.owner] = OrderedDict()
            roots[root] = None
        else:
            self._roots.pop(root, None)


def _slot(entry: Entry) -> _Slot:
    """Entries of one unit share a place in the queue; a loose one keeps its own."""
    return entry.key, entry.place if entry.is_loose else None
