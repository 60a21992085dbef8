"""From an envelope to the call that the relay makes: pure, in three steps that its I/O stands between.

`parse` reads the envelope, `question` says what must be looked up, `plan` gives the call with what is to be stored before it
leaves (D-24). `resolve` is asked again right before the call, so that a revoked party or a new token counts at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from hub.errors import UndecodableRecord
from hub.model.directory import Directory, Platform
from hub.model.envelope import Envelope, Scenario
from hub.model.issued_url import IssuedKind, IssuedUrl
from hub.ocpi.modules import CALLBACK_ID, CDR_PATH, Match, OpenKey, Operation, ResponseUrl, TrafficClass, find
from hub.ocpi.parties import PartyId
from hub.ocpi.status import (
    INVALID_PARAMETER,
    ISSUED_URL_UNKNOWN,
    NOT_JSON,
    OBJECT_NOT_FOUND,
    RECEIVER_NOT_CONNECTED,
    RECEIVER_UNKNOWN,
    Refusal,
)
from hub.routing.decide import Destination, decide, reachable
from hub.routing.open_keys import Lookup, Route, callback_end, open_lookup, routes_to_remember
from hub.routing.rewrite import absolute, join, query_value, replace_member, replace_query_value

PAGE_PARAMETER: Final = "hub_page"
LONGEST_URL: Final = 2048
"""Longest URL of a partner that is kept; OCPI's type URL has 255 characters."""
_CALLBACK_PATH: Final = {
    "commands": "sender/commands/{last}/{id}",
    "chargingprofiles": "sender/chargingprofiles/result/{id}",
}
_ISSUED_KINDS: Final = {
    "commands": IssuedKind.COMMAND,
    "chargingprofiles": IssuedKind.PROFILE,
    "cdrs": IssuedKind.CDR,
}
_KEYS_IN_BODY: Final = frozenset(
    {OpenKey.LOCATION_IN_BODY, OpenKey.SESSION_IN_BODY, OpenKey.RESERVATION_IN_BODY, OpenKey.CDR_TOKEN_IN_BODY}
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Parsed(msgspec.Struct, frozen=True):
    """An envelope with its row of the module table.

    `value` is the parsed body where routing needs it, else None; `fault` says why it could not be read.
    """

    envelope: Envelope
    match: Match
    operation: Operation
    query: Mapping[str, str]
    value: Any
    fault: Refusal | None = None

    @property
    def is_bulk(self) -> bool:
        """Whether it travels on the bulk topics."""
        return self.operation.traffic is TrafficClass.LIST


@dataclass(frozen=True, slots=True)
class IssuedId:
    """The request goes to what stands behind a URL of the hub."""

    url_id: str


class Plan(msgspec.Struct, frozen=True):
    """One call. `query` and `body` are as they will be sent; `routes` and `issued` are stored before it leaves.

    `destination` holds under the directory of this version; under another one it is asked for again (`destination_now`).
    """

    parsed: Parsed
    destination: Destination
    directory_version: int
    issued_target: IssuedUrl | None
    query: str
    body: bytes
    routes: tuple[Route, ...] = ()
    issued: IssuedUrl | None = None


def parse(envelope: Envelope) -> Parsed:
    """The envelope with its row of the module table.

    Raises:
        UndecodableRecord: the table has no such row, so no ingress of this release wrote it.
    """
    match = find(envelope.version, envelope.module, envelope.interface, envelope.tail)
    operation = match.resource.operations.get(envelope.method) if match else None
    if match is None or operation is None:
        raise UndecodableRecord(f"{envelope.method} {envelope.interface}/{envelope.module} is not in the module table")
    query = dict(parse_qsl(envelope.query, keep_blank_values=True)) if envelope.query else {}
    reads_key = envelope.to_party is None and operation.open_key in _KEYS_IN_BODY
    if not reads_key and operation.response_url is not ResponseUrl.BODY:
        return Parsed(envelope, match, operation, query, None)
    try:
        return Parsed(envelope, match, operation, query, msgspec.json.decode(envelope.body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Parsed(envelope, match, operation, query, None, Refusal(NOT_JSON, f"{NOT_JSON.message}: {error}"))


def question(parsed: Parsed) -> PartyId | Lookup | IssuedId | Refusal:
    """What names the receiver: the party itself, a question to the routing tables, or a URL of the hub."""
    envelope = parsed.envelope
    if parsed.fault is not None:
        return parsed.fault
    page_id = parsed.query.get(PAGE_PARAMETER) if parsed.is_bulk else None
    if page_id:
        return IssuedId(page_id)
    if envelope.scenario is Scenario.CALLBACK:
        return IssuedId(parsed.match.parameters.get(CALLBACK_ID) or parsed.match.parameters[CDR_PATH])
    if envelope.to_party is not None:
        return envelope.to_party
    return open_lookup(parsed.operation, parsed.match, parsed.query, parsed.value, envelope.from_party)


def chosen(lookup: Lookup, found: tuple[PartyId, ...]) -> PartyId | Refusal:
    """The one party that a look-up gave; none or several is 4001, never a guess (OR-09, AM-17)."""
    if len(found) == 1:
        return found[0]
    what = f"{lookup.kind} of this request"
    if not found:
        return Refusal(RECEIVER_UNKNOWN, f"No party is known for the {what}; name one in OCPI-to-*")
    return Refusal(RECEIVER_UNKNOWN, f"{len(found)} parties are known for the {what}; name one in OCPI-to-*")


def plan(
    parsed: Parsed,
    target: PartyId | IssuedUrl | None,
    directory: Directory,
    *,
    now: datetime,
    ocpi_url: str,
    url_id: str,
    url_life: timedelta,
) -> Plan | Refusal:
    """The call to a target; None as target means an issued URL that is not known. `url_id` is used if a URL is issued."""
    envelope = parsed.envelope
    if target is None or (isinstance(target, IssuedUrl) and not _may_use(target, parsed)):
        return Refusal(ISSUED_URL_UNKNOWN, ISSUED_URL_UNKNOWN.message)
    if isinstance(target, IssuedUrl):
        if not target.target_url:
            return Refusal(OBJECT_NOT_FOUND, f"{target.target_party} gave no URL under which it shows this object")
        destination = resolve(parsed, target.target_party, target, directory)
        if isinstance(destination, Refusal):
            return destination
        return Plan(parsed, destination, directory.version, target, "", envelope.body)
    destination = resolve(parsed, target, None, directory)
    if isinstance(destination, Refusal):
        return destination
    routes = routes_to_remember(
        parsed.operation, parsed.match, parsed.query, parsed.value, envelope.from_party, destination.party, now
    )
    made = Plan(parsed, destination, directory.version, None, envelope.query, envelope.body, routes)
    if parsed.operation.response_url is None:
        return made
    life = max(now + url_life, callback_end(parsed.value, now))
    return _with_response_url(made, directory, ocpi_url, url_id, life)


def _may_use(issued: IssuedUrl, parsed: Parsed) -> bool:
    """Whether a URL was made for this: its platform, the kind of URL that is called, and for a page the very party (PG-10)."""
    envelope = parsed.envelope
    if issued.bound_platform_id != envelope.platform_id:
        return False
    if parsed.is_bulk:
        return issued.kind is IssuedKind.PAGE and issued.bound_party.folded == envelope.from_party.folded
    return issued.kind is _ISSUED_KINDS.get(envelope.module)


def resolve(parsed: Parsed, to_party: PartyId, issued: IssuedUrl | None, directory: Directory) -> Destination | Refusal:
    """Where the call goes by this directory: the complete URL, or why it may not be made."""
    envelope = parsed.envelope
    if issued is not None:
        platform = directory.platforms.get(issued.target_platform_id)
        if platform is None or not platform.is_connected:
            return Refusal(RECEIVER_NOT_CONNECTED, f"{to_party} is not connected")
        is_page = issued.kind is IssuedKind.PAGE
        if is_page and not reachable(directory, envelope.from_party, envelope.platform_id, to_party):
            return Refusal(RECEIVER_UNKNOWN, f"{to_party} is not known to this hub, or not to {envelope.from_party}")
        return Destination(to_party, platform.platform_id, issued.target_url)
    return decide(directory, envelope.from_party, envelope.platform_id, to_party, envelope.module, envelope.interface)


def destination_now(made: Plan, directory: Directory) -> Destination | Refusal:
    """Where a planned call goes by this directory."""
    if directory.version == made.directory_version:
        return made.destination
    return resolve(made.parsed, made.destination.party, made.issued_target, directory)


def call_url(made: Plan, destination: Destination) -> str:
    """The complete URL of the call: an issued target as it is, else the endpoint with the raw tail and query."""
    if made.issued_target is not None:
        return destination.url
    return join(destination.url, made.parsed.envelope.tail, made.query)


def _with_response_url(
    made: Plan, directory: Directory, ocpi_url: str, url_id: str, expires_at: datetime
) -> Plan | Refusal:
    """The plan with the sender's `response_url` replaced by one of the hub; without one the receiver judges (D-30)."""
    envelope = made.parsed.envelope
    original = _response_url(made.parsed)
    if original is None:
        return made
    if not isinstance(original, str):
        return Refusal(INVALID_PARAMETER, "$.response_url: must be a string")
    if not is_own_url(original, directory.platforms[envelope.platform_id]):
        return Refusal(
            INVALID_PARAMETER,
            "response_url: must be an absolute URL at a host of the versions URL or endpoints that this platform registered",
        )
    is_command = envelope.module == "commands"
    issued = IssuedUrl(
        url_id=url_id,
        kind=IssuedKind.COMMAND if is_command else IssuedKind.PROFILE,
        bound_platform_id=made.destination.platform_id,
        bound_party=made.destination.party,
        target_platform_id=envelope.platform_id,
        target_party=envelope.from_party,
        target_url=original,
        correlation_id=envelope.correlation_id,
        expires_at=expires_at,
    )
    last = envelope.tail.strip("/").rpartition("/")[2]
    path = _CALLBACK_PATH[envelope.module].format(last=last, id=url_id)
    url = f"{ocpi_url}/{envelope.version}/{path}"
    if made.parsed.operation.response_url is not ResponseUrl.BODY:
        query = replace_query_value(envelope.query, "response_url", url)
        return msgspec.structs.replace(made, query=query, issued=issued)
    try:
        body = replace_member(envelope.body, "response_url", url)
    except ValueError as error:
        return Refusal(INVALID_PARAMETER, f"$.response_url: cannot be replaced in this body: {error}")
    return msgspec.structs.replace(made, body=body, issued=issued)


def _response_url(parsed: Parsed) -> Any:
    if parsed.operation.response_url is ResponseUrl.QUERY:
        return query_value(parsed.envelope.query, "response_url")
    return parsed.value.get("response_url") if isinstance(parsed.value, dict) else None


def is_own_url(url: str, platform: Platform) -> bool:
    """Whether a URL can be kept and lies at a host and port that the platform itself registered (CB-15)."""
    if len(url) > LONGEST_URL or any(character <= " " or character == "\x7f" for character in url):
        return False
    own = {_place(entry) for entry in (*platform.endpoints.values(), platform.versions_url or "")}
    place = _place(url)
    return place is not None and place in own


def _place(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        return None
    return parts.scheme, parts.hostname, port


def issued_from_answer(
    kind: IssuedKind,
    given: str | None,
    called: str,
    made: Plan,
    destination: Destination,
    directory: Directory,
    url_id: str,
    expires_at: datetime | None,
) -> IssuedUrl:
    """The hub's URL in place of a CDR's Location or the next page; a URL elsewhere than at the platform is not followed.

    `target_url` is empty where the partner gave none that can be used (D-19).
    """
    envelope = made.parsed.envelope
    target = (absolute(given, called) if given else None) or ""
    if not is_own_url(target, directory.platforms[destination.platform_id]):
        target = ""
    return IssuedUrl(
        url_id=url_id,
        kind=kind,
        bound_platform_id=envelope.platform_id,
        bound_party=envelope.from_party,
        target_platform_id=destination.platform_id,
        target_party=destination.party,
        target_url=target,
        correlation_id=envelope.correlation_id,
        expires_at=expires_at,
    )
