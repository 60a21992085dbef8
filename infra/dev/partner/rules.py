"""What OCPI wants of a request and of an answer, header by header and field by field.

Nothing is refused here. Each deviation gets a short rule name; the guide lists them.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from infra.dev.partner.client import Answer, Outgoing
from infra.dev.partner.platform import Call, Platform
from infra.dev.partner.records import Deviation
from infra.dev.partner.tables import Finding
from infra.dev.partner.wire import NotJsonError
from infra.dev.partner.words import FUNCTIONAL, Interface, Party

ROUTING: Final = ("ocpi-from-country-code", "ocpi-from-party-id", "ocpi-to-country-code", "ocpi-to-party-id")
_AUTHORIZATION: Final = re.compile(r"Token (?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_COMMANDS: Final = {
    "START_SESSION": "StartSession",
    "STOP_SESSION": "StopSession",
    "RESERVE_NOW": "ReserveNow",
    "CANCEL_RESERVATION": "CancelReservation",
    "UNLOCK_CONNECTOR": "UnlockConnector",
}
_LOCATION_LEVELS: Final = {3: "Location", 4: "EVSE", 5: "Connector"}
_OBJECTS: Final = {
    ("sessions", Interface.RECEIVER): "Session",
    ("sessions", Interface.SENDER): "ChargingPreferences",
    ("cdrs", Interface.RECEIVER): "CDR",
    ("tariffs", Interface.RECEIVER): "Tariff",
    ("tokens", Interface.RECEIVER): "Token",
    ("tokens", Interface.SENDER): "LocationReferences",
    ("hubclientinfo", Interface.RECEIVER): "ClientInfo",
    ("commands", Interface.SENDER): "CommandResult",
    ("chargingprofiles", Interface.RECEIVER): "SetChargingProfile",
    ("credentials", None): "Credentials",
}


def request_deviations(platform: Platform, call: Call, at: float) -> list[Deviation]:
    """List how an inbound request deviates, and count its unknown fields."""
    findings = [*_header_findings(platform, call), *_body_findings(platform, call)]
    request_id = call.headers.get("x-request-id")
    return [
        Deviation(at, found.rule, found.path, found.message, request_id, call.method, call.url, "request")
        for found in findings
    ]


def answer_deviations(platform: Platform, outgoing: Outgoing, module: str, answer: Answer) -> list[Deviation]:
    """List how the answer to one of our requests deviates. An answer that never came has none."""
    if answer.http_status is None:
        return []
    findings = list(_answer_findings(platform, outgoing, module, answer))
    at = answer.sent_at + answer.ms / 1000
    return [
        Deviation(
            at, found.rule, found.path, found.message, outgoing.request_id, outgoing.method, outgoing.url, "answer"
        )
        for found in findings
    ]


def object_name(call: Call) -> str | None:
    """Tell which object of the tables a request's body is, if it is one."""
    if call.module == "locations" and call.interface is Interface.RECEIVER:
        return _LOCATION_LEVELS.get(len(call.segments))
    if call.module == "commands" and call.interface is Interface.RECEIVER:
        return _COMMANDS.get(call.segments[0].upper()) if call.segments else None
    if call.module == "chargingprofiles" and call.interface is Interface.SENDER:
        return "ActiveChargingProfile" if call.method == "PUT" else "ActiveChargingProfileResult"
    return _OBJECTS.get((call.module, call.interface))


def _header_findings(platform: Platform, call: Call) -> Iterator[Finding]:
    headers = call.headers
    if not _AUTHORIZATION.fullmatch(headers.get("authorization", "")):
        yield Finding("authorization", "Authorization", "the form is: Token <Base64 of the token>")
    for name in ("X-Request-ID", "X-Correlation-ID"):
        if not headers.get(name.lower()):
            yield Finding("message-ids", name, f"{name} is missing")
    request_id = headers.get("x-request-id")
    if request_id and not platform.seen_ids.is_new(request_id):
        yield Finding("request-id-repeated", "X-Request-ID", "this request id came before")
    if call.body and not headers.get("content-type", "").lower().startswith("application/json"):
        yield Finding("content-type", "Content-Type", "a body is application/json")
    present = [name for name in ROUTING if name in headers]
    if call.module not in FUNCTIONAL:
        if present:
            yield Finding("routing-forbidden", present[0], f"{call.module} uses no routing headers")
        return
    if len(present) < len(ROUTING):
        missing = ", ".join(name for name in ROUTING if name not in headers)
        yield Finding("routing-missing", missing, "functional modules carry all four routing headers")
    if call.to_party is not None and platform.hosted(call.to_party) is None:
        yield Finding("to-not-ours", "OCPI-to-party-id", f"{call.to_party} is no party of this platform")


def _body_findings(platform: Platform, call: Call) -> Iterator[Finding]:
    if call.method not in ("POST", "PUT", "PATCH"):
        return
    name = object_name(call)
    if name is None or (not call.body and name == "LocationReferences"):
        return
    try:
        value = call.json()
    except NotJsonError as error:
        yield Finding("json", "$", str(error)[:200])
        return
    report = platform.tables.check(name, value, partial=call.method == "PATCH")
    platform.deviations.count_unknown(report.unknown)
    yield from report.findings
    if call.interface is Interface.RECEIVER and len(call.segments) >= 2 and isinstance(value, dict):
        yield from _name_findings(call, value)


def _name_findings(call: Call, value: dict[str, Any]) -> Iterator[Finding]:
    depth = len(call.segments)
    if depth <= 3:
        names = ["country_code", "party_id", "uid" if call.module == "tokens" else "id"][:depth]
    else:
        names = ["uid"] if depth == 4 else ["id"]
    for field, segment in zip(names, call.segments[-len(names) :], strict=True):
        given = value.get(field, segment)
        if str(given).upper() != segment.upper():
            yield Finding("url-and-body", f"$.{field}", f"the URL has {segment!r}, the body {str(given)[:40]!r}")


def _answer_findings(platform: Platform, outgoing: Outgoing, module: str, answer: Answer) -> Iterator[Finding]:
    for name in ("X-Request-ID", "X-Correlation-ID"):
        sent, got = outgoing.headers.get(name), answer.headers.get(name.lower())
        if sent is not None and sent != got:
            yield Finding("message-ids", name, f"the answer has {got!r}, the request had {sent!r}")
    present = [name for name in ROUTING if name in answer.headers]
    if module not in FUNCTIONAL and present:
        yield Finding("routing-forbidden", present[0], f"{module} uses no routing headers")
    if module in FUNCTIONAL and len(present) < len(ROUTING):
        missing = ", ".join(name for name in ROUTING if name not in present)
        yield Finding("routing-missing", missing, "answers of functional modules carry all four routing headers")
    asked = party_of(outgoing.headers, "OCPI-from-country-code", "OCPI-from-party-id")
    told = party_of(answer.headers, "ocpi-to-country-code", "ocpi-to-party-id")
    if module in FUNCTIONAL and asked is not None and told is not None and asked.key != told.key:
        yield Finding(
            "routing-not-swapped", "OCPI-to-party-id", f"the answer is for {told}, the request was from {asked}"
        )
    if not answer.headers.get("content-type", "").lower().startswith("application/json"):
        yield Finding("content-type", "Content-Type", "an answer is application/json")
    body = answer.json()
    report = platform.tables.check("Response format", body)
    yield from report.findings


def party_of(headers: Any, country_code: str, party_id: str) -> Party | None:
    """Read one pair of routing headers; None where half or all of it is missing."""
    country, party = headers.get(country_code), headers.get(party_id)
    return Party(country, party) if country and party else None
