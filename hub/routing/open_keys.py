"""What to look up when a request names no receiver, and what to remember for later requests.

Rules OR-02, OR-08, OB-06; section 5 of the endpoint rules; decisions D-01, D-24.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from hub.ocpi.modules import Match, OpenKey, Operation
from hub.ocpi.parties import PartyId
from hub.ocpi.status import INVALID_PARAMETER, Refusal
from hub.ocpi.types import parse_datetime
from hub.routing.admit import DEFAULT_TOKEN_TYPE, url_owner

RESERVATION_GRACE: Final = timedelta(days=1)
LONGEST_RESERVATION: Final = timedelta(days=366)
SESSION_LIFE: Final = timedelta(days=90)
LONGEST_KEY: Final = 255
"""Longest key that is remembered; OCPI's ids have 36 characters."""


class RouteKind(StrEnum):
    """What a route is found by."""

    TOKEN = "token"  # noqa: S105
    LOCATION = "location"
    SESSION = "session"
    RESERVATION = "reservation"
    PROFILE = "profile"


class Side(StrEnum):
    """Which side of a route is wanted."""

    OWNER = "owner"
    COUNTERPART = "counterpart"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question to the routing tables. `known` is the other side where the request tells it; `key` is folded."""

    kind: RouteKind
    key: str
    wanted: Side
    known: PartyId | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the routing tables. `counterpart` is None where the data have an owner only."""

    kind: RouteKind
    key: str
    owner: PartyId
    counterpart: PartyId | None
    expires_at: datetime | None

    @property
    def is_for_good(self) -> bool:
        """Whether storing it again would change nothing."""
        return self.counterpart is None and self.expires_at is None


def open_lookup(
    operation: Operation, match: Match, query: Mapping[str, str], value: Any, from_party: PartyId
) -> Lookup | PartyId | Refusal:
    """How to find the receiver of an open routing request: the party itself where the body names it, else a question."""
    found = _lookup(operation, match, query, value, from_party)
    if isinstance(found, Lookup) and not can_be_kept(found.key):
        return Refusal(INVALID_PARAMETER, f"the {found.kind} id of this request is none")
    return found


def can_be_kept(key: str) -> bool:
    """Whether the store can hold and index it."""
    return len(key) <= LONGEST_KEY and "\0" not in key


def _lookup(
    operation: Operation, match: Match, query: Mapping[str, str], value: Any, from_party: PartyId
) -> Lookup | PartyId | Refusal:
    parameters = match.parameters
    key = operation.open_key
    if key is OpenKey.CDR_TOKEN_IN_BODY:
        return _cdr_token_party(value)
    if key is OpenKey.LOCATION_IN_PATH:
        return Lookup(RouteKind.LOCATION, parameters["location_id"].upper(), Side.OWNER)
    if key is OpenKey.TOKEN_IN_PATH:
        return Lookup(RouteKind.TOKEN, token_key(parameters["token_uid"], query), Side.OWNER)
    if key is OpenKey.SESSION_IN_PATH:
        return Lookup(RouteKind.SESSION, parameters["session_id"].upper(), Side.OWNER, from_party)
    if key is OpenKey.OWNED_SESSION:
        return Lookup(RouteKind.SESSION, parameters["session_id"].upper(), Side.COUNTERPART, url_owner(match))
    if key is OpenKey.PROFILE_SUBSCRIBER:
        return Lookup(RouteKind.PROFILE, parameters["session_id"].upper(), Side.COUNTERPART, from_party)
    return _in_body(key, value, from_party)


def _in_body(key: OpenKey, value: Any, from_party: PartyId) -> Lookup | Refusal:
    if key is OpenKey.LOCATION_IN_BODY:
        text = _member(value, "location_id")
        return text if isinstance(text, Refusal) else Lookup(RouteKind.LOCATION, text.upper(), Side.OWNER)
    if key is OpenKey.SESSION_IN_BODY:
        text = _member(value, "session_id")
        return text if isinstance(text, Refusal) else Lookup(RouteKind.SESSION, text.upper(), Side.OWNER, from_party)
    if key is OpenKey.RESERVATION_IN_BODY:
        text = _member(value, "reservation_id")
        if isinstance(text, Refusal):
            return text
        return Lookup(RouteKind.RESERVATION, reservation_key(from_party, text), Side.OWNER)
    return Refusal(INVALID_PARAMETER, "this request needs OCPI-to-country-code and OCPI-to-party-id")


def _member(value: Any, name: str) -> str | Refusal:
    text = value.get(name) if isinstance(value, dict) else None
    if isinstance(text, str) and text:
        return text
    return Refusal(INVALID_PARAMETER, f"$.{name}: required to find the receiver when OCPI-to-* is left out")


def _cdr_token_party(value: Any) -> PartyId | Refusal:
    token = value.get("cdr_token") if isinstance(value, dict) else None
    country_code = token.get("country_code") if isinstance(token, dict) else None
    party_id = token.get("party_id") if isinstance(token, dict) else None
    if isinstance(country_code, str) and isinstance(party_id, str) and PartyId.well_formed(country_code, party_id):
        return PartyId(country_code, party_id)
    return Refusal(
        INVALID_PARAMETER,
        "$.cdr_token: its country_code and party_id are required to find the receiver when OCPI-to-* is left out",
    )


def token_key(token_uid: str, query: Mapping[str, str]) -> str:
    """The folded key of a token: uid and type, RFID when the query has none."""
    return f"{token_uid}:{query.get('type') or DEFAULT_TOKEN_TYPE}".upper()


def reservation_key(emsp: PartyId, reservation_id: str) -> str:
    """The folded key of a reservation: ids are only unique within the party that reserves."""
    return f"{emsp.folded}*{reservation_id.upper()}"


def routes_to_remember(
    operation: Operation,
    match: Match,
    query: Mapping[str, str],
    value: Any,
    from_party: PartyId,
    receiver: PartyId,
    now: datetime,
) -> tuple[Route, ...]:
    """The routes that a request to one party establishes; they are stored before it leaves (D-24)."""
    made = _routes(operation, match, query, value, from_party, receiver, now)
    return tuple(route for route in made if can_be_kept(route.key))


def _routes(
    operation: Operation,
    match: Match,
    query: Mapping[str, str],
    value: Any,
    from_party: PartyId,
    receiver: PartyId,
    now: datetime,
) -> tuple[Route, ...]:
    parameters = match.parameters
    owner = url_owner(match)
    if operation.kind == "Session" and owner is not None:
        key = parameters["session_id"].upper()
        return (Route(RouteKind.SESSION, key, owner.folded, receiver.folded, now + SESSION_LIFE),)
    if operation.kind == "SetChargingProfile":
        key = parameters["session_id"].upper()
        return (Route(RouteKind.PROFILE, key, receiver.folded, from_party.folded, now + SESSION_LIFE),)
    if operation.kind == "Location" and operation.method == "PUT" and owner is not None:
        return (Route(RouteKind.LOCATION, parameters["location_id"].upper(), owner.folded, None, None),)
    if operation.kind == "Token" and operation.method == "PUT" and owner is not None:
        return (Route(RouteKind.TOKEN, token_key(parameters["token_uid"], query), owner.folded, None, None),)
    if operation.kind == "ReserveNow":
        return _reservation(value, from_party, receiver, now)
    return ()


def _reservation(value: Any, from_party: PartyId, receiver: PartyId, now: datetime) -> tuple[Route, ...]:
    reservation_id = _member(value, "reservation_id")
    if isinstance(reservation_id, Refusal):
        return ()
    key = reservation_key(from_party, reservation_id)
    return (Route(RouteKind.RESERVATION, key, receiver.folded, from_party.folded, callback_end(value, now)),)


def callback_end(value: Any, now: datetime) -> datetime:
    """Until when a reservation may still be cancelled or reported on: its expiry and a day (CB-05)."""
    text = value.get("expiry_date") if isinstance(value, dict) else None
    expiry = parse_datetime(text) if isinstance(text, str) else None
    return min(max(expiry or now, now), now + LONGEST_RESERVATION) + RESERVATION_GRACE
