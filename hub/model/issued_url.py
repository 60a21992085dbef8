"""URLs that the hub made in place of a partner's: a response_url, a CDR's Location, the next page."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hub.ocpi.parties import PartyId


class IssuedKind(StrEnum):
    """What stands behind the URL."""

    COMMAND = "command"
    PROFILE = "profile"
    CDR = "cdr"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class IssuedUrl:
    """One URL. Only `bound_platform_id` may use it (CB-06, PG-10); the request then goes to `target_url` at the target.

    `url_id` is 128 random bits in hex; the partner's own URL is never part of it (CB-07).
    """

    url_id: str
    kind: IssuedKind
    bound_platform_id: str
    bound_party: PartyId
    target_platform_id: str
    target_party: PartyId
    target_url: str
    correlation_id: str
    expires_at: datetime | None
