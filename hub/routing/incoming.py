"""From the parts of an HTTP request to what the hub will do with it: one pure function that calls the rules in order."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from hub.model.directory import Directory, Platform
from hub.model.envelope import Scenario
from hub.ocpi.headers import Routing
from hub.ocpi.modules import Interface, Match, Operation, TrafficClass, find
from hub.ocpi.parties import PartyId
from hub.ocpi.status import INVALID_PARAMETER, METHOD_NOT_OFFERED, NOT_JSON, URL_UNKNOWN, Refusal
from hub.routing.admit import check_broadcast, check_owner, check_token, requesting_party
from hub.routing.plan import PAGE_PARAMETER
from hub.routing.scenario import classify

BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
"""What another method brings as a body means nothing in OCPI; it is neither read nor carried."""
_OPTIONAL_BODY: Final = frozenset({"LocationReferences"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SLASH: Final = re.compile(r"[/\\]")


class Incoming(msgspec.Struct, frozen=True):
    """A request that passed the rules. `value` is the parsed body, None where there is none."""

    match: Match
    operation: Operation
    scenario: Scenario
    from_party: PartyId
    to_party: PartyId | None
    query: Mapping[str, str]
    value: Any
    deviations: int = 0


def find_operation(
    version: str, module: str, interface: str, tail: str, method: str
) -> tuple[Match, Operation] | Refusal:
    """The table's row for a URL and method, or 404, or 405 with what is offered (OB-12).

    A refusal repeats neither path nor module: what it says is written down, and a URL may hold the uid of a driver's token.
    """
    if not stays_below(tail):
        return Refusal(URL_UNKNOWN, "The path holds a . or .. segment or a control character, encoded or not")
    try:
        match = find(version, module, Interface(interface.upper()), tail)
    except ValueError:
        match = None
    if match is None:
        return Refusal(URL_UNKNOWN, f"{URL_UNKNOWN.message}: no module has such a resource in this interface")
    operation = match.resource.operations.get(method)
    if operation is None:
        offered = match.resource.methods
        return Refusal(METHOD_NOT_OFFERED, f"{method} is not offered here, only {', '.join(offered)}", allow=offered)
    return match, operation


def stays_below(tail: str) -> bool:
    """Whether no server on the way can take a raw path tail for a place outside the endpoint that it is joined to.

    The tail is sent to the receiver byte for byte and with the hub's token: one that climbed to another endpoint there, such
    as credentials, would speak in the hub's name. Some servers decode twice, or cut segments at a semicolon, before they climb.
    """
    if "." not in tail and "%" not in tail:
        return True
    for _ in range(3):
        if _CONTROL.search(tail) or any(part.partition(";")[0] in {".", ".."} for part in _SLASH.split(tail)):
            return False
        decoded = unquote(tail)
        if decoded == tail:
            return True
        tail = decoded
    return False


def read_body(operation: Operation, body: bytes) -> Any | Refusal:
    """The parsed body, or the refusal of one that is not JSON (ST-01). An optional body may be empty."""
    if operation.method not in BODY_METHODS:
        return None
    if not body.strip() and (operation.kind in _OPTIONAL_BODY):
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refusal(NOT_JSON, f"The body is not valid JSON: {error}")


def examine(
    directory: Directory,
    platform: Platform,
    found: tuple[Match, Operation],
    routing: Routing,
    query: Mapping[str, str],
    value: Any,
    *,
    only_own_tokens: bool = False,
) -> Incoming | Refusal:
    """Apply every rule that needs no look-up; what is returned may be carried out.

    `only_own_tokens`: whether a command with a token of another party than its sender is refused (OB-15).
    """
    match, operation = found
    from_party = requesting_party(directory, platform, operation, routing.from_party)
    if isinstance(from_party, Refusal):
        return from_party
    to_party = None if routing.to_party is None or directory.is_hub(routing.to_party) else routing.to_party
    scenario = classify(operation, match.resource.interface, names_party=to_party is not None)
    if operation.traffic is TrafficClass.LIST and query.get(PAGE_PARAMETER):
        scenario = Scenario.CALLBACK
    refusal = check_owner(directory, platform, match, operation, from_party)
    if refusal is None and only_own_tokens:
        refusal = check_token(operation, from_party, value)
    if refusal is not None:
        return refusal
    deviations = 0
    if scenario is Scenario.BROADCAST:
        checked = check_broadcast(match, operation, from_party, query, value)
        if isinstance(checked, Refusal):
            return checked
        deviations = len(checked.deviations)
    elif scenario is Scenario.HELD and not directory.owns(platform.platform_id, _owner(match, from_party)):
        return Refusal(
            INVALID_PARAMETER,
            "a GET at a Receiver interface needs the receiving party in OCPI-to-*; the hub's own copy"
            " is shown to the object's owner only",
        )
    return Incoming(match, operation, scenario, from_party, to_party, query, value, deviations)


def _owner(match: Match, default: PartyId) -> PartyId:
    country_code, party_id = match.parameters.get("country_code"), match.parameters.get("party_id")
    return PartyId(country_code, party_id) if country_code and party_id else default
