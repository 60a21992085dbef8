"""The lane of one receiver: what waits for it, in which order, and how much is under way at once.

Within a root object order is kept and one request is under way at a time. Between owners the lane rotates, so that one storming
CPO holds up nobody else. A second record for a unit that still waits takes the first one's place as *current*: nothing is ever
overwritten but by newer state, and the receiver gets one request instead of two.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hub.model.delivery import Entry, Place
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId


@dataclass(slots=True)
class _Queue:
    """What waits for one root object; `in_flight` is the entry that is under way."""

    waiting: deque[Entry] = field(default_factory=deque)
    in_flight: Entry | None = None


class Lane:
    """A pure state machine. `release` is told every record that this receiver no longer needs."""

    def __init__(self, release: Callable[[Place], None]) -> None:
        self._release = release
        self._roots: dict[UnitKey, _Queue] = {}
        self._ready: OrderedDict[PartyId, OrderedDict[UnitKey, None]] = OrderedDict()
        self.in_flight = 0
        self.waiting = 0
        self.waiting_bytes = 0
        self.coalesced = 0
        self.blocked_until = 0.0
        self.failures = 0
        self.troubled_since: float | None = None

    def offer(self, entry: Entry) -> None:
        """Take a record for this receiver, later than all taken before of the same root."""
        queue = self._roots.setdefault(entry.root, _Queue())
        merged = self._drop_covered(queue, entry)
        self._append(queue, entry.as_current() if merged else entry)
        self._mark_ready(entry.root, queue)

    def _drop_covered(self, queue: _Queue, entry: Entry) -> bool:
        """Release what the new entry covers; whether one of them was of the very same unit."""
        same_unit = False
        kept: deque[Entry] = deque()
        for waiting in queue.waiting:
            if not entry.covers(waiting):
                kept.append(waiting)
                continue
            same_unit = same_unit or waiting.key == entry.key
            self._forget(waiting)
            self.coalesced += 1
            self._release(waiting.place)
        queue.waiting = kept
        return same_unit

    def take(self, now: float, limit: int) -> Entry | None:
        """The next entry to send, or None when nothing may be sent now; owners take turns."""
        if self.in_flight >= limit or now < self.blocked_until or not self._ready:
            return None
        owner, roots = next(iter(self._ready.items()))
        root, _ = roots.popitem(last=False)
        if roots:
            self._ready.move_to_end(owner)
        else:
            del self._ready[owner]
        queue = self._roots[root]
        entry = queue.waiting.popleft()
        self._forget(entry)
        queue.in_flight = entry
        self.in_flight += 1
        return entry

    def done(self, entry: Entry) -> None:
        """The entry is delivered, refused or given up: its record is released."""
        queue = self._landed(entry)
        self._release(entry.place)
        self._settle(entry.root, queue)

    def again(self, entry: Entry, blocked_until: float) -> None:
        """The receiver is in trouble: the entry waits in front, and the lane rests until then.

        Where a later record covers it by now, that one is sent in its place.
        """
        queue = self._landed(entry)
        self.blocked_until = max(self.blocked_until, blocked_until)
        later = next((waiting for waiting in queue.waiting if waiting.covers(entry)), None)
        if later is None:
            queue.waiting.appendleft(entry)
            self._count(entry)
        else:
            if later.key == entry.key and later.is_raw:
                position = queue.waiting.index(later)
                queue.waiting[position] = later.as_current()
            self.coalesced += 1
            self._release(entry.place)
        self._settle(entry.root, queue)

    def well(self) -> None:
        """The receiver answered as a platform that can judge: its trouble is over."""
        self.failures = 0
        self.troubled_since = None
        self.blocked_until = 0.0

    def troubled(self, now: float) -> float:
        """The receiver is in trouble; returns for how many seconds it has been."""
        self.failures += 1
        if self.troubled_since is None:
            self.troubled_since = now
        return now - self.troubled_since

    def withdraw(self, keep: Callable[[Entry], bool]) -> list[Entry]:
        """Remove the waiting entries that `keep` does not want and release them; returns what was removed."""
        gone: list[Entry] = []
        for root, queue in list(self._roots.items()):
            stays = deque(entry for entry in queue.waiting if keep(entry))
            gone += [entry for entry in queue.waiting if not keep(entry)]
            queue.waiting = stays
            if not stays:
                self._unready(root)
            self._settle(root, queue)
        for entry in gone:
            self._forget(entry)
            self._release(entry.place)
        return gone

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._roots

    def _landed(self, entry: Entry) -> _Queue:
        queue = self._roots[entry.root]
        assert queue.in_flight is entry
        queue.in_flight = None
        self.in_flight -= 1
        return queue

    def _append(self, queue: _Queue, entry: Entry) -> None:
        queue.waiting.append(entry)
        self._count(entry)

    def _count(self, entry: Entry) -> None:
        self.waiting += 1
        self.waiting_bytes += len(entry.envelope.body)

    def _forget(self, entry: Entry) -> None:
        self.waiting -= 1
        self.waiting_bytes -= len(entry.envelope.body)

    def _settle(self, root: UnitKey, queue: _Queue) -> None:
        if queue.waiting:
            self._mark_ready(root, queue)
        elif queue.in_flight is None:
            self._roots.pop(root, None)

    def _mark_ready(self, root: UnitKey, queue: _Queue) -> None:
        if queue.waiting and queue.in_flight is None:
            self._ready.setdefault(root.owner, OrderedDict())[root] = None

    def _unready(self, root: UnitKey) -> None:
        roots = self._ready.get(root.owner)
        if roots is not None:
            roots.pop(root, None)
            if not roots:
                del self._ready[root.owner]
