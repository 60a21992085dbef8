"""The table of OCPI's functional modules: every URL that a version has below its interfaces, and what the hub does there.

One catch-all route and this table serve all functional modules; a module is data here, never a controller.

Source: OCPI 2.2.1, the chapters of the modules. Rules OB-11, OB-12, RT-24; section 5 of endpoints.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from hub.ocpi.parties import Role
from hub.ocpi.versions import V2_2_1


class Interface(StrEnum):
    """Whose interface is called: the data owner's (SENDER) or that of those who keep a copy (RECEIVER)."""

    SENDER = "SENDER"
    RECEIVER = "RECEIVER"


class TrafficClass(StrEnum):
    """What a request promises its caller; each class has its deadline setting (D-07)."""

    AUTHORIZE = "authorize"
    COMMAND = "command"
    SINGLE = "single"
    PUSH = "push"
    LIST = "list"


class OpenKey(StrEnum):
    """What names the destination when the routing headers do not (OR-08)."""

    NONE = "none"
    SPREAD = "spread"
    """No single addressee: without TO this is a broadcast push (AM-45)."""
    LOCATION_IN_PATH = "location_in_path"
    LOCATION_IN_BODY = "location_in_body"
    TOKEN_IN_PATH = "token_in_path"
    CDR_TOKEN_IN_BODY = "cdr_token_in_body"
    SESSION_IN_PATH = "session_in_path"
    """A session id as its CPO knows it; the caller is its eMSP."""
    SESSION_IN_BODY = "session_in_body"
    OWNED_SESSION = "owned_session"
    """Owner and session id in the URL; the caller is its CPO."""
    RESERVATION_IN_BODY = "reservation_in_body"
    PROFILE_SUBSCRIBER = "profile_subscriber"
    ISSUED_URL = "issued_url"
    """The URL itself was made by the hub and says everything."""


class ResponseUrl(StrEnum):
    """Where a request carries the `response_url` that the hub replaces by its own (CB-02, CB-03)."""

    BODY = "body"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one URL template.

    `kind` names the object in the body (for a PATCH the object that is changed), `owner_role` the role that the caller
    must have to push it (OB-16), None where the module has no such rule.
    """

    method: str
    traffic: TrafficClass
    open_key: OpenKey
    kind: str | None = None
    owner_role: Role | None = None
    response_url: ResponseUrl | None = None

    @property
    def is_broadcastable(self) -> bool:
        """Whether the data is meant for all, so that TO = hub spreads it (BP-01, BP-11, AM-14)."""
        return self.open_key is OpenKey.SPREAD


@dataclass(frozen=True, slots=True)
class Resource:
    """One URL template below an interface: literal segments and `{names}`."""

    version: str
    module: str
    interface: Interface
    template: tuple[str, ...]
    operations: Mapping[str, Operation] = field(hash=False)

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods offered here, for `Allow`."""
        return tuple(self.operations)

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """The decoded path parameters, or None when these raw segments are another resource."""
        if len(segments) != len(self.template):
            return None
        found: dict[str, str] = {}
        for part, segment in zip(self.template, segments, strict=True):
            if part.startswith("{"):
                found[part[1:-1]] = unquote(segment)
            elif part != segment:
                return None
        return found


@dataclass(frozen=True, slots=True)
class Match:
    """A resource found for a path, with its decoded path parameters."""

    resource: Resource
    parameters: Mapping[str, str] = field(hash=False)


COMMANDS: Final[Mapping[str, tuple[str, OpenKey]]] = {
    "CANCEL_RESERVATION": ("CancelReservation", OpenKey.RESERVATION_IN_BODY),
    "RESERVE_NOW": ("ReserveNow", OpenKey.LOCATION_IN_BODY),
    "START_SESSION": ("StartSession", OpenKey.LOCATION_IN_BODY),
    "STOP_SESSION": ("StopSession", OpenKey.SESSION_IN_BODY),
    "UNLOCK_CONNECTOR": ("UnlockConnector", OpenKey.LOCATION_IN_BODY),
}

HUB_CLIENT_INFO: Final = "hubclientinfo"
CREDENTIALS: Final = "credentials"
CALLBACK_ID: Final = "callback_id"
CDR_PATH: Final = "cdr_path"


def segments(tail: str) -> tuple[str, ...]:
    """The raw path segments of a tail; leading, trailing and double slashes do not count (D-22, AM-44)."""
    return tuple(part for part in tail.split("/") if part)


def find(version: str, module: str, interface: Interface, tail: str) -> Match | None:
    """The resource that a raw (still percent-encoded) path tail names, or None."""
    parts = segments(tail)
    for resource in _BY_INTERFACE.get((version, module, interface), ()):
        parameters = resource.match(parts)
        if parameters is not None:
            return Match(resource, parameters)
    return None


def interfaces(version: str) -> tuple[tuple[str, Interface], ...]:
    """Every (module, interface) that a version has, in the order of the table."""
    return tuple((module, interface) for known, module, interface in _BY_INTERFACE if known == version)


def all_resources() -> Iterator[Resource]:
    """The whole table, for descriptions and completeness tests."""
    for resources in _BY_INTERFACE.values():
        yield from resources


def _resource(version: str, module: str, interface: Interface, path: str, *operations: Operation) -> Resource:
    return Resource(version, module, interface, segments(path), {entry.method: entry for entry in operations})


def _get(traffic: TrafficClass, open_key: OpenKey = OpenKey.NONE) -> Operation:
    return Operation("GET", traffic, open_key)


def _push(method: str, kind: str, owner: Role, open_key: OpenKey = OpenKey.SPREAD) -> Operation:
    return Operation(method, TrafficClass.PUSH, open_key, kind, owner)


def _location_resources(version: str) -> Iterator[Resource]:
    levels = (("{location_id}", "Location"), ("{evse_uid}", "EVSE"), ("{connector_id}", "Connector"))
    yield _resource(version, "locations", Interface.SENDER, "", _get(TrafficClass.LIST))
    path = ""
    for level, kind in levels:
        path = f"{path}/{level}"
        yield _resource(
            version, "locations", Interface.SENDER, path, _get(TrafficClass.SINGLE, OpenKey.LOCATION_IN_PATH)
        )
        yield _resource(
            version,
            "locations",
            Interface.RECEIVER,
            f"{{country_code}}/{{party_id}}{path}",
            _get(TrafficClass.SINGLE),
            _push("PUT", kind, Role.CPO),
            _push("PATCH", kind, Role.CPO),
        )


def _session_resources(version: str) -> Iterator[Resource]:
    sender, receiver = Interface.SENDER, Interface.RECEIVER
    yield _resource(version, "sessions", sender, "", _get(TrafficClass.LIST))
    yield _resource(
        version,
        "sessions",
        sender,
        "{session_id}/charging_preferences",
        Operation("PUT", TrafficClass.COMMAND, OpenKey.SESSION_IN_PATH, "ChargingPreferences"),
    )
    yield _resource(
        version,
        "sessions",
        receiver,
        "{country_code}/{party_id}/{session_id}",
        _get(TrafficClass.SINGLE, OpenKey.OWNED_SESSION),
        _push("PUT", "Session", Role.CPO, OpenKey.CDR_TOKEN_IN_BODY),
        _push("PATCH", "Session", Role.CPO, OpenKey.OWNED_SESSION),
    )


def _cdr_resources(version: str) -> Iterator[Resource]:
    yield _resource(version, "cdrs", Interface.SENDER, "", _get(TrafficClass.LIST))
    yield _resource(version, "cdrs", Interface.RECEIVER, "", _push("POST", "CDR", Role.CPO, OpenKey.CDR_TOKEN_IN_BODY))
    yield _resource(
        version, "cdrs", Interface.RECEIVER, f"{{{CDR_PATH}}}", _get(TrafficClass.SINGLE, OpenKey.ISSUED_URL)
    )


def _tariff_resources(version: str) -> Iterator[Resource]:
    yield _resource(version, "tariffs", Interface.SENDER, "", _get(TrafficClass.LIST))
    yield _resource(
        version,
        "tariffs",
        Interface.RECEIVER,
        "{country_code}/{party_id}/{tariff_id}",
        _get(TrafficClass.SINGLE),
        _push("PUT", "Tariff", Role.CPO),
        _push("DELETE", "Tariff", Role.CPO),
    )


def _token_resources(version: str) -> Iterator[Resource]:
    yield _resource(version, "tokens", Interface.SENDER, "", _get(TrafficClass.LIST))
    yield _resource(
        version,
        "tokens",
        Interface.SENDER,
        "{token_uid}/authorize",
        Operation("POST", TrafficClass.AUTHORIZE, OpenKey.TOKEN_IN_PATH, "LocationReferences"),
    )
    yield _resource(
        version,
        "tokens",
        Interface.RECEIVER,
        "{country_code}/{party_id}/{token_uid}",
        _get(TrafficClass.SINGLE),
        _push("PUT", "Token", Role.EMSP),
        _push("PATCH", "Token", Role.EMSP),
    )


def _command_resources(version: str) -> Iterator[Resource]:
    for command, (kind, open_key) in COMMANDS.items():
        yield _resource(
            version,
            "commands",
            Interface.RECEIVER,
            command,
            Operation("POST", TrafficClass.COMMAND, open_key, kind, response_url=ResponseUrl.BODY),
        )
    yield _resource(
        version,
        "commands",
        Interface.SENDER,
        f"{{command}}/{{{CALLBACK_ID}}}",
        Operation("POST", TrafficClass.COMMAND, OpenKey.ISSUED_URL, "CommandResult"),
    )


def _charging_profile_resources(version: str) -> Iterator[Resource]:
    def call(method: str, place: ResponseUrl, kind: str | None = None) -> Operation:
        return Operation(method, TrafficClass.COMMAND, OpenKey.SESSION_IN_PATH, kind, response_url=place)

    yield _resource(
        version,
        "chargingprofiles",
        Interface.RECEIVER,
        "{session_id}",
        call("GET", ResponseUrl.QUERY),
        call("PUT", ResponseUrl.BODY, "SetChargingProfile"),
        call("DELETE", ResponseUrl.QUERY),
    )
    yield _resource(
        version,
        "chargingprofiles",
        Interface.SENDER,
        "{session_id}",
        Operation("PUT", TrafficClass.PUSH, OpenKey.PROFILE_SUBSCRIBER, "ActiveChargingProfile"),
    )
    yield _resource(
        version,
        "chargingprofiles",
        Interface.SENDER,
        f"result/{{{CALLBACK_ID}}}",
        Operation("POST", TrafficClass.COMMAND, OpenKey.ISSUED_URL),
    )


def _version_2_2_1() -> Iterator[Resource]:
    for build in (
        _location_resources,
        _session_resources,
        _cdr_resources,
        _tariff_resources,
        _token_resources,
        _command_resources,
        _charging_profile_resources,
    ):
        yield from build(V2_2_1)


def _index(resources: Iterator[Resource]) -> dict[tuple[str, str, Interface], tuple[Resource, ...]]:
    index: dict[tuple[str, str, Interface], tuple[Resource, ...]] = {}
    for resource in resources:
        key = (resource.version, resource.module, resource.interface)
        index[key] = (*index.get(key, ()), resource)
    return index


_BY_INTERFACE: Final = _index(_version_2_2_1())
MODULES: Final = frozenset(module for _, module, _ in _BY_INTERFACE)
"""The names of all functional modules; a URL may have anything in their place."""
