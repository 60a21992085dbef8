"""Why a use case did not do what it was asked: a value, since it is an expected end."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """What kind of refusal it is; the doors turn it into their own codes."""

    NOT_FOUND = "not_found"
    INVALID = "invalid"
    """The request contradicts itself or the hub's own identity."""
    CONFLICT = "conflict"
    """Something else holds what was asked for, or stands in a state that does not allow it."""
    PARTNER_FAILED = "partner_failed"
    """The partner's system did not do its part; nothing changed here."""


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing was changed; `message` says why and what to do, in one line."""

    reason: Reason
    message: str


def no_such_platform(platform_id: str) -> Declined:
    """The refusal that every use case on one platform begins with."""
    return Declined(Reason.NOT_FOUND, f"there is no platform {platform_id}")
