"""Whether a platform can be reached, by what calls to it have come to, and when to look again.

Functional calls come first: an answer to one is life, and while they are answered nobody looks. A call that fails, or a while
without any, makes the hub look: it asks for the platform's versions. Only looks change the standing, and never a single one. Two
failed looks in a row take a platform offline, two good ones bring it back; one that fell off again soon after it had come back
has to show more, so a platform that answers now and then stays where it is.

Times are those of one clock. Rules HC-14, HC-15, AM-39; decision D-10.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

FAILED_AGAIN: Final = timedelta(seconds=1.5)
TROUBLED_AGAIN: Final = timedelta(seconds=0.5)
RETURNED_AGAIN: Final = timedelta(seconds=0.2)
STEADY: Final = timedelta(minutes=10)
FAILED_LOOKS: Final = 2
FEWEST_GOOD_LOOKS: Final = 2
MOST_GOOD_LOOKS: Final = 8
_UNUSABLE: Final = frozenset({401, 403})


class Look(StrEnum):
    """What a look has shown."""

    ALIVE = "alive"
    UNUSABLE = "unusable"
    """It answers, but it does not take our token."""
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look: after `idle` without evidence, and every `offline` while a platform is away."""

    idle: timedelta
    offline: timedelta


@dataclass(frozen=True, slots=True)
class Presence:
    """What is known of one platform.

    `answered_at` and `failed_at` are the latest functional calls of either kind; `looked_at` is when the latest look began.
    `streak` counts the looks in a row that contradict `is_online`; `good_looks` is how many of them bring it back.
    """

    is_online: bool
    answered_at: datetime | None = None
    failed_at: datetime | None = None
    looked_at: datetime | None = None
    changed_at: datetime | None = None
    streak: int = 0
    good_looks: int = FEWEST_GOOD_LOOKS


def is_usable(http_status: int) -> bool:
    """Whether an answer of this status is a sign of life: all but those that do not take our token are."""
    return http_status not in _UNUSABLE


def look_of(http_status: int) -> Look:
    """What an answer to a look shows."""
    return Look.ALIVE if is_usable(http_status) else Look.UNUSABLE


def next_look(presence: Presence, pace: Pace) -> datetime | None:
    """When to look at a platform; None: now, for the first time."""
    if presence.looked_at is None:
        return None
    if not presence.is_online:
        if _is_after(presence.answered_at, presence.looked_at):
            return presence.answered_at
        return presence.looked_at + (RETURNED_AGAIN if presence.streak else pace.offline)
    alive_at = max(presence.answered_at or presence.looked_at, presence.looked_at)
    if presence.streak and not _is_after(presence.answered_at, presence.looked_at):
        return presence.looked_at + FAILED_AGAIN
    if presence.failed_at is not None and presence.failed_at > alive_at:
        return max(presence.failed_at, presence.looked_at + TROUBLED_AGAIN)
    return alive_at + pace.idle


def after_look(presence: Presence, look: Look, began_at: datetime, now: datetime, pace: Pace) -> Presence:
    """How a platform stands after a look that began at `began_at`."""
    looked = replace(presence, looked_at=began_at)
    if presence.is_online:
        return _while_online(looked, presence.looked_at, _is_good(presence, look, began_at, now, pace), now)
    if look is not Look.ALIVE:
        return replace(looked, streak=0)
    if presence.streak + 1 < presence.good_looks:
        return replace(looked, streak=presence.streak + 1)
    return replace(looked, is_online=True, streak=0, changed_at=now)


def _is_good(presence: Presence, look: Look, began_at: datetime, now: datetime, pace: Pace) -> bool:
    """Whether the platform works as far as one look can tell: what a functional call has shown meanwhile counts more."""
    if look is Look.ALIVE or _is_after(presence.answered_at, began_at):
        return True
    works = _is_after(presence.answered_at, now - pace.idle) and not _is_after(presence.failed_at, presence.answered_at)
    return look is Look.UNUSABLE and works


def _while_online(looked: Presence, looked_before: datetime | None, is_good: bool, now: datetime) -> Presence:
    if is_good:
        return replace(looked, streak=0)
    streak = 0 if looked_before and _is_after(looked.answered_at, looked_before) else looked.streak
    if streak + 1 < FAILED_LOOKS:
        return replace(looked, streak=streak + 1)
    is_steady = looked.changed_at is None or now - looked.changed_at >= STEADY
    good_looks = FEWEST_GOOD_LOOKS if is_steady else min(2 * looked.good_looks, MOST_GOOD_LOOKS)
    return replace(looked, is_online=False, streak=0, changed_at=now, good_looks=good_looks)


def _is_after(moment: datetime | None, other: datetime | None) -> bool:
    return moment is not None and (other is None or moment > other)
