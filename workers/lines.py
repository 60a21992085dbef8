"""A receiver's line: its lane, how it does here, and whether it catches up."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from hub.delivery.health import Health
from hub.delivery.lane import Lane
from hub.model.delivery import Receiver
from hub.telemetry import DELIVERIES_PACED

MARKS_AT_ONCE: Final = 16
"""How many marks of one receiver wait in its lane at most: live records of the same owner wait behind these."""


@dataclass(slots=True)
class Line:
    """`held_until`: when the hub itself lets the lane go on. `is_trial`: its breaker is open and this worker tries it.

    `has_marks`: the receiver has dirty marks in the partitions of this worker. `room` is set when its lane can take more of them.
    """

    receiver: Receiver
    lane: Lane
    health: Health
    held_until: float = 0.0
    alarm: asyncio.TimerHandle | None = None
    is_trial: bool = False
    has_marks: bool = False
    catching_up: asyncio.Task[None] | None = None
    room: asyncio.Event = field(default_factory=asyncio.Event)

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
