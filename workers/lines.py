"""A receiver's line: its lane, how it does here, and whether it catches up."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from hub.delivery.health import Health
from hub.delivery.lane import Lane
from hub.model.delivery import Receiver
from hub.telemetry import DELIVERIES_PACED

MARKS_AT_ONCE: Final = 16
"""How many marks of one receiver wait in its lane at most: live records of the same owner wait behind these."""

_ENTRY_BYTES: Final = 1024
"""What an entry weighs beside its body."""
_MOST_SECONDS_ALONE: Final = 15.0
_PACE_OVER: Final = 10
"""Answers over which a receiver's pace is smoothed."""


@dataclass(slots=True)
class Line:
    """`held_until`: when the hub itself lets the lane go on. `is_trial`: its breaker is open and this worker tries it.

    `pace`: seconds that it takes to answer, smoothed. `moved_at`: when it last answered, or began to be asked. `taken`: how many
    records its lane took lately. `has_marks`: it has dirty marks in the partitions of this worker. `room` is set when its lane
    can take more of them.
    """

    receiver: Receiver
    lane: Lane
    health: Health
    held_until: float = 0.0
    pace: float = 0.0
    moved_at: float = 0.0
    taken: float = 0.0
    alarm: asyncio.TimerHandle | None = None
    is_trial: bool = False
    has_marks: bool = False
    catching_up: asyncio.Task[None] | None = None
    room: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def weight(self) -> int:
        """What waits in the lane, in bytes."""
        return self.lane.waiting_bytes + self.lane.waiting * _ENTRY_BYTES

    def answered_in(self, seconds: float, now: float) -> None:
        """The receiver took so long for one request."""
        self.pace += (seconds - self.pace) / _PACE_OVER
        self.moved_at = now

    def seconds_left(self, now: float, limit: int, rate: float | None) -> float:
        """How long it needs for what waits, by what it takes now, `limit` requests at a time and at its rate."""
        silent = now - self.moved_at if self.lane.in_flight else 0.0
        each = max(self.pace, silent) / limit
        return self.lane.waiting * (each if rate is None else max(each, 1 / rate))

    def keep_rate(self, rate: float, begun: int, allowed: int) -> float:
        """Count requests that have begun; in how many seconds the lane goes on where the rate alone holds it back, else 0."""
        bucket = self.health.bucket
        bucket.spend(begun)
        if not self.lane.is_ready or self.lane.in_flight >= allowed:
            return 0.0
        DELIVERIES_PACED.inc(begun > 0)
        return bucket.seconds_to_next(rate)

    def watch_room(self) -> None:
        """Let the catch-up go on when few marks wait."""
        if self.lane.waiting_marks < MARKS_AT_ONCE // 2:
            self.room.set()
        else:
            self.room.clear()


def falls_behind(line: Line, lines: Iterable[Line], now: float, limit: int, rate: float | None) -> bool:
    """Whether a receiver takes less than others that are sent as much, or is in trouble.

    Where none is sent as much: whether it needs longer for what waits than a delivery may take. What waits for all alike is this
    worker's backlog, and no trouble of theirs.
    """
    if line.is_trial or line.health.troubled_since is not None:
        return True
    peers = sorted(
        other.weight for other in lines if other is not line and other.taken and other.taken >= line.taken / 2
    )
    if peers:
        return line.weight > 2 * peers[(len(peers) - 1) // 2]
    return line.seconds_left(now, limit, rate) > _MOST_SECONDS_ALONE
