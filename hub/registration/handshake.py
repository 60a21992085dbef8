"""The credentials handshake as generators without I/O.

A generator yields a `Call` and is sent the partner's `Answer` or the `PartnerError` that came instead; it returns what was
learnt or why it failed. Tolerant of what running platforms do: a details URL or a role's base given for the versions URL, lists
wrapped or bare, a byte order mark, missing roles of endpoints, blanks in URLs, a raw token where Base64 is due.

Source: OCPI 2.2.1, credentials § Registration; version_information_endpoint. Rules CR-03 … CR-11, CR-20, CR-21, AU-05, AU-11,
AM-21, D-14.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from hub.model.directory import OutboundToken
from hub.ocpi.modules import CREDENTIALS, Interface
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import CONNECT_BACK_FAILED, INVALID_PARAMETER, NO_COMMON_VERSION, Refusal
from hub.ocpi.validate import check_object
from hub.ocpi.versions import OFFERED, newest_common
from hub.registration.calls import Call, Received, Trouble, read_answer
from hub.registration.published import Learnt, absolute, clean, is_details, read_details, read_versions
from hub.store.platforms import ListedRole

TOKEN: Final = re.compile(r"[\x21-\x7E]{1,64}")
_WRONG_TOKEN: Final = frozenset({401, 403})
_VERSIONS: Final = "/versions"


@dataclass(frozen=True, slots=True)
class TheirCredentials:
    """A credentials object that a platform gave."""

    token: str = field(repr=False)
    url: str
    roles: tuple[ListedRole, ...]


@dataclass(frozen=True, slots=True)
class Undecided:
    """The platform may have taken the hub's credentials, but its own did not arrive: old and new must both go on working."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class _Found:
    """What a GET gave, from which URL and with which encoding of the token."""

    data: Any
    url: str
    token: OutboundToken


def learn(
    url: str, token: OutboundToken, *, wanted: str | None, roles: Sequence[Role]
) -> Generator[Call, Received, Learnt | Refusal]:
    """Fetch a platform's versions and the details of one: `wanted`, or the newest that both speak (CR-04, CR-06).

    `roles` are the platform's, to tell the interface of an endpoint that says no role. The `versions_url` that is learnt is the
    one that answered.
    """
    first = yield from _first_contact(clean(url), token)
    if isinstance(first, Trouble):
        return first.refusal
    details, version = first, first.data.get("version") if is_details(first.data) else None
    if not is_details(first.data):
        offered = read_versions(first.data, first.url)
        version = newest_common(offered, (wanted,) if wanted else OFFERED)
        if version is None:
            return Refusal(NO_COMMON_VERSION, f"the platform does not list version {wanted or ', '.join(OFFERED)}")
        fetched = yield from _get(offered[version], first.token)
        if isinstance(fetched, Trouble):
            return fetched.refusal
        details = fetched
    endpoints = read_details(details.data, version, wanted=wanted, url=details.url, roles=roles)
    if isinstance(endpoints, Refusal):
        return endpoints
    return Learnt(str(version), first.url, endpoints, first.token)


def exchange(
    method: str, learnt: Learnt, credentials: Mapping[str, Any]
) -> Generator[Call, Received, TheirCredentials | Refusal | Undecided]:
    """POST or PUT the hub's credentials at the platform and read the platform's own (CR-05, CR-07).

    `Undecided` where nobody can tell whether the platform has switched to the token in `credentials` (AM-21).
    """
    call = Call(method, learnt.endpoints[CREDENTIALS, Interface.SENDER], learnt.token, credentials)
    data = read_answer(call, (yield call))
    if isinstance(data, Trouble):
        return Undecided(data.refusal) if data.may_have_acted else data.refusal
    theirs = read_credentials(learnt.version, data)
    if isinstance(theirs, Refusal):
        return Undecided(Refusal(CONNECT_BACK_FAILED, f"the platform's credentials cannot be used: {theirs.message}"))
    return theirs


def read_credentials(version: str, value: Any) -> TheirCredentials | Refusal:
    """A credentials object, or the refusal of one that cannot be used, with its path."""
    if not isinstance(value, dict):
        return Refusal(INVALID_PARAMETER, "$: expected a Credentials object")
    checked = check_object(version, "Credentials", value)
    if checked.refusals:
        return Refusal(INVALID_PARAMETER, "; ".join(fault.message for fault in checked.refusals))
    if not TOKEN.fullmatch(value["token"]):
        return Refusal(INVALID_PARAMETER, "$.token: must be 1 to 64 printable ASCII characters without blanks")
    url = absolute(value["url"], "")
    if url is None:
        return Refusal(INVALID_PARAMETER, "$.url: must be an absolute http or https URL")
    roles = _roles(value["roles"])
    return roles if isinstance(roles, Refusal) else TheirCredentials(value["token"], url, roles)


def _roles(listed: Sequence[Mapping[str, Any]]) -> tuple[ListedRole, ...] | Refusal:
    roles: dict[tuple[PartyId, Role], ListedRole] = {}
    for number, entry in enumerate(listed):
        read = _role(number, entry)
        if isinstance(read, Refusal):
            return read
        if (read.party, read.role) in roles:
            return Refusal(INVALID_PARAMETER, f"$.roles[{number}]: {read.role} {read.party} is listed twice")
        roles[read.party, read.role] = read
    return tuple(roles.values()) or Refusal(INVALID_PARAMETER, "$.roles: at least one role is required")


def _role(number: int, entry: Mapping[str, Any]) -> ListedRole | Refusal:
    path = f"$.roles[{number}]"
    if not PartyId.well_formed(entry["country_code"], entry["party_id"]):
        return Refusal(INVALID_PARAMETER, f"{path}: country_code must have 2 and party_id 1 to 3 printable characters")
    try:
        role = Role(entry["role"].strip().upper())
    except ValueError:
        return Refusal(INVALID_PARAMETER, f"{path}.role: is none of {', '.join(Role)}")
    party = PartyId(entry["country_code"], entry["party_id"]).folded
    return ListedRole(
        party=party,
        role=role,
        name=_printable(entry["business_details"]["name"]),
        business_details=msgspec.json.encode(entry["business_details"]).decode(),
    )


def _printable(name: str) -> str:
    """A partner's text for logs and terminals: one line of at most 100 characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())[:100]


def _first_contact(url: str, token: OutboundToken) -> Generator[Call, Received, _Found | Trouble]:
    """The first GET, and `/versions` below it where a role's base was given."""
    found = yield from _get_either_way(url, token)
    base = url.rstrip("/")
    if isinstance(found, _Found) or base.endswith(_VERSIONS) or not _is_answered(found):
        return found
    below = yield from _get_either_way(base + _VERSIONS, token)
    return found if isinstance(below, Trouble) else below


def _is_answered(trouble: Trouble) -> bool:
    """Whether a server is there that took the token, so that another path may do better."""
    return trouble.http_status is not None and trouble.http_status < 500 and trouble.http_status not in _WRONG_TOKEN


def _get_either_way(url: str, token: OutboundToken) -> Generator[Call, Received, _Found | Trouble]:
    """A GET with the token as it is due, and in its other encoding where that is refused (AU-05)."""
    found = yield from _get(url, token)
    if isinstance(found, Trouble) and found.http_status in _WRONG_TOKEN:
        other = replace(token, encoding="raw" if token.encoding == "base64" else "base64")
        again = yield from _get(url, other)
        return found if isinstance(again, Trouble) and again.http_status in _WRONG_TOKEN else again
    return found


def _get(url: str, token: OutboundToken) -> Generator[Call, Received, _Found | Trouble]:
    call = Call("GET", url, token)
    data = read_answer(call, (yield call))
    return data if isinstance(data, Trouble) else _Found(data, url, token)
