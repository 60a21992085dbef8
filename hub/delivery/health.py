"""How a receiver does: how many requests it may get now and how often, and when its breaker opens.

Trouble is no answer, or one that no OCPI platform in order gives (401, 403, 429, 5xx, no OCPI). While it lasts one request at a
time tries, after pauses that grow. When it lasts, the breaker opens: nothing waits for this receiver any more, what it misses is
marked dirty, and one trial at a time finds out when it is back. The breaker is shared by all workers (`Standing`).

Rules AU-13, BP-16; decisions D-10, D-21.
"""

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from hub.model.directory import Platform, PlatformStatus

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 2.0
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
LONGEST_WAIT_SECONDS: Final = 2.0
"""A receiver that asks for a longer pause than this is parked until then."""
TROUBLE_SECONDS: Final = 1.0
TROUBLE_FAILURES: Final = 3
BURST_SECONDS: Final = 0.1
"""What a rate allows in this time may go at once: a timer that fires late costs no throughput."""


@dataclass(slots=True)
class Bucket:
    """Holds requests to a rate: in any second begin not more than it allows in 1.1 seconds, or one more than it allows."""

    tokens: float = 1.0
    filled_at: float = 0.0

    def free(self, now: float, rate: float) -> int:
        """How many requests may begin now; `rate` is what is allowed per second."""
        gained = max(0.0, now - self.filled_at) * rate
        self.tokens = min(self.tokens + gained, max(1.0, rate * BURST_SECONDS))
        self.filled_at = now
        return max(0, int(self.tokens))

    def spend(self, count: int) -> None:
        """So many have begun."""
        self.tokens -= count

    def seconds_to_next(self, rate: float) -> float:
        """How long after the last look at it another may begin."""
        return max(0.0, 1.0 - self.tokens) / rate


@dataclass(slots=True)
class Health:
    """What the latest attempts of this worker told. Times are monotonic seconds."""

    bucket: Bucket = field(default_factory=Bucket)
    failures: int = 0
    troubled_since: float | None = None
    rests_until: float = 0.0
    asked_until: float = 0.0
    well_at: float = 0.0

    @property
    def waits_until(self) -> float:
        """Until when nothing is sent: after trouble, or since the receiver has asked for it."""
        return max(self.rests_until, self.asked_until)

    def well(self, now: float) -> None:
        """It answered as a platform that can judge the content: all trouble is over."""
        self.failures = 0
        self.troubled_since = None
        self.rests_until = 0.0
        self.well_at = now

    def trouble(self, now: float, *, began: float) -> None:
        """An attempt that began at `began` met trouble: the next one waits."""
        pause: float = min(FIRST_PAUSE_SECONDS * 2 ** min(self.failures, 8), LONGEST_PAUSE_SECONDS)
        self.failures += 1
        if self.troubled_since is None:
            self.troubled_since = max(began, self.well_at)
        self.rests_until = max(self.rests_until, now + pause)

    def asked_to_wait(self, now: float, seconds: float) -> None:
        """The receiver wants a pause (D-21); that another request succeeds does not end it."""
        self.asked_until = max(self.asked_until, now + seconds)

    def allowed(self, now: float, limit: int) -> int:
        """How many requests may be under way now, of `limit` in good health."""
        if now < self.waits_until:
            return 0
        return limit if self.troubled_since is None else 1

    def opens_breaker(self, now: float, patience: float) -> bool:
        """Whether nothing should wait for it any more: several failures in a row over a second, or one for all of `patience`."""
        if self.troubled_since is None:
            return False
        lasted = now - self.troubled_since
        return lasted >= patience or (lasted >= TROUBLE_SECONDS and self.failures >= TROUBLE_FAILURES)


@dataclass(frozen=True, slots=True)
class Standing:
    """What all workers know of a receiver. Times are monotonic seconds of this process; None: not so."""

    is_paused: bool = False
    is_open: bool = False
    next_try_at: float = 0.0
    asked_until: float = 0.0
    catches_up: bool = True
    skips_touches: bool = False
    rate: float | None = None
    """Most requests that may begin each second, in all workers together."""

    def rate_of(self, share: float) -> float | None:
        """What of the rate is for a worker with this share of all partitions."""
        return None if self.rate is None else self.rate * share

    def parked(self, platform: Platform, now: float) -> str | None:
        """Why nothing is sent to a receiver on this platform now and what it misses is marked; None while it gets everything."""
        if platform.status is not PlatformStatus.CONNECTED or platform.token is None:
            return "not connected"
        if not platform.is_online:
            return "offline"
        if self.is_paused:
            return "paused by an operator"
        if now < self.asked_until:
            return "asked to wait"
        return "in trouble for too long" if self.is_open else None

    def may_be_tried(self, platform: Platform, now: float) -> bool:
        """Whether an open breaker alone parks it, and its next trial is due."""
        is_due = self.is_open and now >= self.next_try_at
        return is_due and self.parked(platform, now) == "in trouble for too long"


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, in seconds or as a date, up to a bound; None where it says nothing."""
    if value is None:
        return None
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return min(float(value), LONGEST_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        return None
    return min(max(0.0, (moment - now).total_seconds()), LONGEST_RETRY_AFTER_SECONDS)
