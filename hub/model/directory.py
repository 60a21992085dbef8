"""The directory: an immutable snapshot of who is connected, what they offer and whom they may reach.

Every process holds one and swaps it whole; a request that began with a snapshot ends with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role

EMSP_LIKE = frozenset({Role.EMSP, Role.NSP, Role.NAP, Role.OTHER, Role.SCSP})


class PlatformStatus(StrEnum):
    """Where a platform stands with the hub."""

    INVITED = "invited"
    CONNECTED = "connected"
    UNREGISTERED = "unregistered"
    """It ended the connection by DELETE credentials; a new registration resumes it (D-08)."""
    SUSPENDED = "suspended"


class Quirk(StrEnum):
    """A habit of a platform that an operator lets the hub serve; what is not set is as OCPI says."""

    RAW_TOKEN = "raw-token"  # noqa: S105
    """It reads credentials tokens as they are, not in Base64, and does not say so by refusing the latter (D-14)."""
    HALF_HEADERS = "half-headers"
    """It sends one half of a routing pair; the pair counts as missing (D-15)."""
    HTTP_STATUS = "http-status"
    """It looks at HTTP statuses only: 4002 and 4003 come to it with 504 and 503 (D-02)."""


class TokenKind(StrEnum):
    """What an inbound token opens."""

    REGISTRATION = "registration"
    """CREDENTIALS_TOKEN_A: versions and credentials only (AU-07)."""
    ACCESS = "access"


@dataclass(frozen=True, slots=True)
class InboundToken:
    """A credentials token that a platform shows to us; only its keyed hash is known."""

    platform_id: str
    kind: TokenKind
    expires_at: datetime | None
    is_replaced: bool = False
    """A newer token was given; the first use of the newer one ends this one (AM-21)."""


@dataclass(frozen=True, slots=True)
class OutboundToken:
    """A credentials token that we show to a platform. Prints as its first three characters."""

    value: str = field(repr=False)
    encoding: str = "base64"

    def __str__(self) -> str:
        return f"{self.value[:3]}…"


@dataclass(frozen=True, slots=True)
class PartyRole:
    """One party in one role on one platform. A quarantined role is not routed and not shown (D-09).

    `since`: when its platform listed it, or an operator let it in; None where that was before anybody kept it.
    """

    party: PartyId
    role: Role
    platform_id: str
    is_quarantined: bool = False
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform and what it published in its version details."""

    platform_id: str
    name: str
    status: PlatformStatus
    version: str | None
    versions_url: str | None
    endpoints: Mapping[tuple[str, Interface], str]
    roles: tuple[PartyRole, ...]
    token: OutboundToken | None
    is_online: bool = True
    accepts_stale: bool = False
    """Whether what it pushes counts even where its clocks are older than those held (D-11)."""
    quirks: frozenset[Quirk] = frozenset()
    unlisted: tuple[PartyRole, ...] = ()
    """Roles that it was invited for and does not list, not yet or not any more: known to others, but away (CR-30)."""

    @property
    def is_connected(self) -> bool:
        """Registered and thought reachable, so functional requests may go there (OF-06)."""
        return self.status is PlatformStatus.CONNECTED and self.is_online and self.token is not None

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """Its routable parties, each once."""
        return tuple(dict.fromkeys(entry.party for entry in self.roles if not entry.is_quarantined))

    def party_roles(self, party: PartyId) -> tuple[Role, ...]:
        """The routable roles that a party has here."""
        folded = party.folded
        return tuple(entry.role for entry in self.roles if entry.party.folded == folded and not entry.is_quarantined)


@dataclass(frozen=True, slots=True)
class Directory:
    """The snapshot. `version` grows with every change; `tokens` is keyed by the keyed hash of a token."""

    version: int
    hub_party: PartyId
    agreements: str
    platforms: Mapping[str, Platform]
    tokens: Mapping[bytes, InboundToken]
    by_party: Mapping[PartyId, tuple[PartyRole, ...]]
    unlisted_by_party: Mapping[PartyId, tuple[PartyRole, ...]]
    rotating: frozenset[str]
    """Platforms of which a replaced token is still open."""
    loaded_at: float

    @classmethod
    def build(
        cls,
        version: int,
        hub_party: PartyId,
        agreements: str,
        platforms: Mapping[str, Platform],
        tokens: Mapping[bytes, InboundToken],
        loaded_at: float,
    ) -> "Directory":
        """A snapshot with its indexes of parties; `loaded_at` is monotonic seconds."""
        hosts = platforms.values()
        by_party = _by_party(entry for host in hosts for entry in host.roles if not entry.is_quarantined)
        unlisted = _by_party(entry for host in hosts for entry in host.unlisted)
        rotating = frozenset(token.platform_id for token in tokens.values() if token.is_replaced)
        return cls(version, hub_party, agreements, platforms, tokens, by_party, unlisted, rotating, loaded_at)

    def is_hub(self, party: PartyId) -> bool:
        """Whether this address is the hub's own."""
        return party.folded == self.hub_party.folded

    def roles_of(self, party: PartyId) -> tuple[PartyRole, ...]:
        """Every routable (party, role, platform) under one address, on all platforms."""
        return self.by_party.get(party.folded, ())

    def unlisted_roles_of(self, party: PartyId) -> tuple[PartyRole, ...]:
        """Every role under one address that its platform does not list, though it is the platform's."""
        return self.unlisted_by_party.get(party.folded, ())

    def owns(self, platform_id: str, party: PartyId) -> bool:
        """Whether the party is a routable one of this platform (AU-14)."""
        return any(entry.platform_id == platform_id for entry in self.roles_of(party))

    def may_exchange(self, one: Role, other: Role) -> bool:
        """Whether an agreement lets these two roles exchange data: with `open`, every pair of opposite roles."""
        return self.agreements == "open" and is_opposite(one, other)


def _by_party(entries: Iterable[PartyRole]) -> dict[PartyId, tuple[PartyRole, ...]]:
    found: dict[PartyId, tuple[PartyRole, ...]] = {}
    for entry in entries:
        key = entry.party.folded
        found[key] = (*found.get(key, ()), entry)
    return found


def is_opposite(one: Role, other: Role) -> bool:
    """Whether one side is a CPO and the other is not; a hub is opposite to nobody (BP-02, BP-03, AM-16)."""
    return (one is Role.CPO and other in EMSP_LIKE) or (other is Role.CPO and one in EMSP_LIKE)
