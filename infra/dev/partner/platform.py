"""The state of one running platform, and one inbound call as its handlers see it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from infra.dev.partner.client import Client
from infra.dev.partner.connection import Connection
from infra.dev.partner.faults import Faults
from infra.dev.partner.options import ROLES, Options
from infra.dev.partner.records import Deviations, RecordRing, SeenIds
from infra.dev.partner.store import Store
from infra.dev.partner.tables import FieldTables
from infra.dev.partner.wire import Reply, decode
from infra.dev.partner.words import COMMON, OFFERED, Interface, Party, Role


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """How the platform answers what needs a decision. Changeable at run time."""

    command_response: str = "ACCEPTED"
    command_result: str = "ACCEPTED"
    command_timeout_s: int = 30
    command_delay_ms: int = 200
    """From the CommandResponse to the CommandResult; a negative delay sends no result."""
    push_session: bool = False
    """After a successful START_SESSION push the new Session to who asked."""
    check_sessions: bool = False
    """Answer UNKNOWN_SESSION where the named Session is not its own; else any id will do."""
    profile_response: str = "ACCEPTED"
    profile_result: str = "ACCEPTED"
    charging_preferences: str = "ACCEPTED"
    allowed: dict[str, str] = {}
    """Authorization by token uid, in place of what the token's `valid` says."""


@dataclass(frozen=True, slots=True)
class Callback:
    """One result that the platform posted, and what became of it."""

    at: float
    url: str
    result: str
    correlation_id: str
    http_status: int | None
    status_code: int | None
    error: str | None


@dataclass(slots=True)
class Platform:
    """Everything that lives as long as the process."""

    options: Options
    tables: FieldTables
    client: Client
    parties: tuple[Party, ...] = ()
    roles: frozenset[Role] = frozenset()
    base_url: str = ""
    connection: Connection = field(default_factory=Connection)
    own: Store = field(default_factory=Store)
    received: Store = field(default_factory=Store)
    records: RecordRing = field(default_factory=RecordRing)
    deviations: Deviations = field(default_factory=Deviations)
    seen_ids: SeenIds = field(default_factory=SeenIds)
    faults: Faults = field(default_factory=Faults)
    behaviour: Behaviour = field(default_factory=Behaviour)
    results: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    callbacks: deque[Callback] = field(default_factory=lambda: deque(maxlen=10_000))
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Read parties and roles from the options."""
        self.parties = tuple(Party.parse(text) for text in self.options.parties)
        self.roles = ROLES[self.options.role]
        self.connection.grace_s = self.options.token_grace_s

    def offered(self) -> frozenset[tuple[str, Interface]]:
        """List what this platform has, by module and interface."""
        functional = {
            (module, interface)
            for role in self.roles
            for module, interface in OFFERED[role]
            if module not in self.options.without
        }
        return COMMON | functional

    def hosted(self, party: Party | None) -> Party | None:
        """Find the own party that is meant, if it is one."""
        return next((ours for ours in self.parties if party is not None and ours.key == party.key), None)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on beside the answer; it ends with the platform."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


@dataclass(slots=True)
class Call:
    """One inbound request, parsed as far as the door can. Headers are by lower-case name."""

    method: str
    module: str
    interface: Interface | None
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    url: str
    body: bytes
    from_party: Party | None
    to_party: Party | None
    receiver: Party
    """The own party that is addressed; the first one where the request names none."""
    token: str = ""
    _value: Any = field(default=msgspec.UNSET)

    def json(self) -> Any:
        """Give the body as JSON value, read once.

        Raises:
            NotJsonError: it is none.
        """
        if self._value is msgspec.UNSET:
            self._value = decode(self.body)
        return self._value


Handler = Callable[[Platform, Call], Awaitable[Reply]]
Handlers = Mapping[tuple[str, Interface | None], Mapping[str, Handler]]
