"""How a receiver does: how many requests it may get now, and when its trouble has lasted too long.

Trouble is no answer, or one that no OCPI platform in order gives (401, 403, 429, 5xx, no OCPI). While it lasts one request at a
time tries, after pauses that grow; the receiver itself may ask for a longer pause by Retry-After.

Rules AU-13, BP-16; decision D-21.
"""

from dataclasses import dataclass
from typing import Final

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 2.0
LONGEST_RETRY_AFTER_SECONDS: Final = 60.0


@dataclass(slots=True)
class Health:
    """What the latest attempts told. Times are monotonic seconds."""

    failures: int = 0
    troubled_since: float | None = None
    rests_until: float = 0.0
    asked_until: float = 0.0
    """Until when the receiver itself asked to be left alone: a success that was under way does not end that."""

    def well(self) -> None:
        """It answered as a platform that can judge the content: all trouble is over."""
        self.failures = 0
        self.troubled_since = None
        self.rests_until = 0.0

    def trouble(self, now: float, *, retry_after: float | None = None) -> None:
        """An attempt met trouble: the next one waits."""
        pause: float = min(FIRST_PAUSE_SECONDS * 2 ** min(self.failures, 8), LONGEST_PAUSE_SECONDS)
        if retry_after is not None:
            self.asked_until = max(self.asked_until, now + min(retry_after, LONGEST_RETRY_AFTER_SECONDS))
        self.failures += 1
        if self.troubled_since is None:
            self.troubled_since = now
        self.rests_until = max(self.rests_until, now + pause)

    @property
    def next_try(self) -> float:
        """When the next attempt may begin."""
        return max(self.rests_until, self.asked_until)

    def allowed(self, now: float, limit: int) -> int:
        """How many requests may be under way now, of `limit` in good health."""
        if now < self.next_try:
            return 0
        return limit if self.troubled_since is None else 1

    def is_lost(self, now: float, patience: float) -> bool:
        """Whether trouble has lasted longer than `patience` seconds, so that nothing should wait for it any more."""
        return self.troubled_since is not None and now - self.troubled_since > patience


def retry_after_seconds(value: str | None) -> float | None:
    """The seconds of a Retry-After header; None where there is none or it is no whole number (a date is not followed)."""
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 9:
        return None
    return float(value)
