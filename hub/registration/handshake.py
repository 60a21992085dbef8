"""The credentials handshake as generators without I/O.

A generator yields a `Call` and is sent the partner's `Answer` or the `PartnerError` that came instead; it returns what was
learnt or why it failed. Tolerant of what running platforms do: a details URL or a role's base given for the versions URL, lists
wrapped or bare, a byte order mark, missing roles of endpoints, blanks in URLs, a raw token where Base64 is due.

Source: OCPI 2.2.1, credentials § Registration; version_information_endpoint. Rules VE-02, VE-05, VE-12, CR-03 … CR-11, CR-20,
CR-21, AU-11, FM-07, D-14.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urljoin

import msgspec

from hub.errors import PartnerError
from hub.model.directory import OutboundToken
from hub.ocpi.modules import CREDENTIALS, Interface
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import (
    CONNECT_BACK_FAILED,
    ENDPOINTS_MISSING,
    INVALID_PARAMETER,
    NO_COMMON_VERSION,
    Refusal,
)
from hub.ocpi.validate import check_object
from hub.ocpi.versions import OFFERED, newest_common
from hub.partners.client import Answer
from hub.store.platforms import ListedRole

TOKEN: Final = re.compile(r"[\x21-\x7E]{1,64}")
_BOM: Final = b"\xef\xbb\xbf"
_OWNED: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.CPO: ("locations", "sessions", "cdrs", "tariffs"),
    Role.EMSP: ("tokens",),
}
_ASKED_BY_EMSP: Final = ("commands", "chargingprofiles")


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the partner: `token` with its encoding, `body` as JSON value or None."""

    method: str
    url: str
    token: OutboundToken
    body: Any = None


Received = Answer | PartnerError


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a platform publishes for one version. `token` is the one given, with the encoding that the platform takes."""

    version: str
    versions_url: str
    endpoints: Mapping[tuple[str, Interface], str]
    token: OutboundToken


@dataclass(frozen=True, slots=True)
class TheirCredentials:
    """A credentials object that a platform gave."""

    token: str
    url: str
    roles: tuple[ListedRole, ...]


def learn(
    url: str, token: OutboundToken, *, wanted: str | None, roles: Sequence[Role]
) -> Generator[Call, Received, Learnt | Refusal]:
    """Fetch a platform's versions and the details of one: `wanted`, or the newest that both speak (CR-04, CR-06).

    `roles` are the platform's, to tell the interface of an endpoint that says no role.
    """
    versions_url = _clean(url)
    answer = yield from _first_contact(versions_url, token)
    if isinstance(answer, _Trouble):
        return answer.refusal
    data, token = answer
    if isinstance(data, dict) and "endpoints" in data:
        return _details(data, data.get("version"), wanted, versions_url, token, roles)
    offered = _versions(data, versions_url)
    version = newest_common(offered, (wanted,) if wanted else OFFERED)
    if version is None:
        asked = wanted or ", ".join(OFFERED)
        return Refusal(NO_COMMON_VERSION, f"{versions_url} does not list version {asked}")
    details = yield from _get(offered[version], token)
    if isinstance(details, _Trouble):
        return details.refusal
    return _details(details[0], version, wanted, versions_url, details[1], roles)


def exchange(
    method: str, learnt: Learnt, token: OutboundToken, credentials: Mapping[str, Any]
) -> Generator[Call, Received, TheirCredentials | Refusal]:
    """POST or PUT the hub's credentials at the platform and read the platform's own (CR-05, CR-07)."""
    url = learnt.endpoints[CREDENTIALS, Interface.SENDER]
    received = yield Call(method, url, token, credentials)
    data = _data(received, method, url)
    if isinstance(data, _Trouble):
        return data.refusal
    return read_credentials(learnt.version, data)


def read_credentials(version: str, value: Any) -> TheirCredentials | Refusal:
    """A credentials object, or the refusal of one that cannot be used, with its path."""
    if not isinstance(value, dict):
        return Refusal(INVALID_PARAMETER, "$: expected a Credentials object")
    checked = check_object(version, "Credentials", value)
    if checked.refusals:
        return Refusal(INVALID_PARAMETER, "; ".join(fault.message for fault in checked.refusals))
    if not TOKEN.fullmatch(value["token"]):
        return Refusal(INVALID_PARAMETER, "$.token: must be 1 to 64 printable ASCII characters without blanks")
    roles: dict[tuple[PartyId, Role], ListedRole] = {}
    for number, entry in enumerate(value["roles"]):
        read = _role(number, entry)
        if isinstance(read, Refusal):
            return read
        if (read.party, read.role) in roles:
            return Refusal(INVALID_PARAMETER, f"$.roles[{number}]: {read.role} {read.party} is listed twice")
        roles[read.party, read.role] = read
    if not roles:
        return Refusal(INVALID_PARAMETER, "$.roles: at least one role is required")
    return TheirCredentials(value["token"], _clean(value["url"]), tuple(roles.values()))


def _role(number: int, entry: Mapping[str, Any]) -> ListedRole | Refusal:
    path = f"$.roles[{number}]"
    if not PartyId.well_formed(entry["country_code"], entry["party_id"]):
        return Refusal(INVALID_PARAMETER, f"{path}: country_code must have 2 and party_id 1 to 3 printable characters")
    try:
        role = Role(entry["role"])
    except ValueError:
        return Refusal(INVALID_PARAMETER, f"{path}.role: is none of {', '.join(Role)}")
    party = PartyId(entry["country_code"], entry["party_id"]).folded
    return ListedRole(party, role, msgspec.json.encode(entry["business_details"]).decode())


def _first_contact(url: str, token: OutboundToken) -> "Generator[Call, Received, _Found | _Trouble]":
    """The first GET: a raw token where the encoded one is refused (AU-05), `/versions` where a role's base was given."""
    answer = yield from _get(url, token)
    if isinstance(answer, _Trouble) and answer.http_status == 401:
        other = "raw" if token.encoding == "base64" else "base64"
        answer = yield from _get(url, replace(token, encoding=other))
    elif isinstance(answer, _Trouble) and answer.http_status == 404:
        below = yield from _get(f"{url.rstrip('/')}/versions", token)
        answer = answer if isinstance(below, _Trouble) else below
    return answer


def _get(url: str, token: OutboundToken) -> "Generator[Call, Received, _Found | _Trouble]":
    data = _data((yield Call("GET", url, token)), "GET", url)
    return data if isinstance(data, _Trouble) else (data, token)


def _data(received: Received, method: str, url: str) -> "Any | _Trouble":
    """The `data` of a successful answer, or 3001 with what was wrong."""
    if isinstance(received, PartnerError):
        return _trouble(None, f"{method} {url}: {received}")
    http_status = received.http_status
    try:
        answer = msgspec.json.decode(received.body.removeprefix(_BOM))
    except (msgspec.DecodeError, RecursionError):
        return _trouble(http_status, f"{method} {url}: HTTP {http_status}, not JSON")
    if not 200 <= http_status < 300:
        return _trouble(http_status, f"{method} {url}: HTTP {http_status}{_their_message(answer)}")
    if isinstance(answer, list):
        return answer
    if not isinstance(answer, dict):
        return _trouble(http_status, f"{method} {url}: neither an OCPI answer nor a list")
    code = answer.get("status_code", 1000)
    if str(code)[:1] != "1" and code != "Success":
        return _trouble(http_status, f"{method} {url}: OCPI status {code}{_their_message(answer)}")
    return answer.get("data", answer if "endpoints" in answer else None)


def _their_message(answer: Any) -> str:
    message = answer.get("status_message") if isinstance(answer, dict) else None
    return f" ({message[:200]})" if isinstance(message, str) and message else ""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why a call gave nothing; `http_status` is None when there was no answer."""

    http_status: int | None
    refusal: Refusal


_Found = tuple[Any, OutboundToken]


def _trouble(http_status: int | None, message: str) -> _Trouble:
    return _Trouble(http_status, Refusal(CONNECT_BACK_FAILED, message))


def _versions(data: Any, base: str) -> dict[str, str]:
    """Version numbers with the URLs of their details; what cannot be read is passed over (VE-02, VE-12)."""
    entries = data.get("versions") if isinstance(data, dict) else data
    offered: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        version, url = (entry.get("version"), entry.get("url")) if isinstance(entry, dict) else (None, None)
        if isinstance(version, str) and isinstance(url, str):
            offered.setdefault(version, urljoin(base, _clean(url)))
    return offered


def _details(
    data: Any, version: Any, wanted: str | None, versions_url: str, token: OutboundToken, roles: Sequence[Role]
) -> Learnt | Refusal:
    if not isinstance(version, str) or version not in ((wanted,) if wanted else OFFERED):
        return Refusal(NO_COMMON_VERSION, f"{versions_url} gives version {version}, not {wanted or ', '.join(OFFERED)}")
    entries = data.get("endpoints") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        return Refusal(CONNECT_BACK_FAILED, f"the details of version {version} have no list of endpoints")
    endpoints: dict[tuple[str, Interface], str] = {}
    for entry in entries:
        for key, url in _endpoint(entry, versions_url, roles):
            endpoints.setdefault(key, url)
    if (CREDENTIALS, Interface.SENDER) not in endpoints:
        return Refusal(ENDPOINTS_MISSING, f"the details of version {version} have no credentials endpoint")
    return Learnt(version, versions_url, endpoints, token)


def _endpoint(entry: Any, base: str, roles: Sequence[Role]) -> list[tuple[tuple[str, Interface], str]]:
    if not isinstance(entry, dict):
        return []
    module, url, role = entry.get("identifier"), entry.get("url"), entry.get("role")
    if not isinstance(module, str) or not isinstance(url, str):
        return []
    url = urljoin(base, _clean(url))
    if module == CREDENTIALS:
        return [((module, Interface.SENDER), url)]
    if isinstance(role, str) and role.upper() in Interface.__members__:
        return [((module, Interface(role.upper())), url)]
    return [((module, interface), url) for interface in _usual_interfaces(module, roles)]


def _usual_interfaces(module: str, roles: Sequence[Role]) -> list[Interface]:
    """The interfaces that platforms of these roles have in a module, for endpoints without a role (VE-04)."""
    found = set()
    for role in roles:
        is_cpo = role is Role.CPO
        owns = module in _OWNED[Role.CPO if is_cpo else Role.EMSP] or (module in _ASKED_BY_EMSP and not is_cpo)
        found.add(Interface.SENDER if owns else Interface.RECEIVER)
    return sorted(found)


def _clean(url: str) -> str:
    """A URL without the blanks that some platforms put around it or behind its scheme."""
    return re.sub(r"^(https?://)\s+", r"\1", url.strip())
