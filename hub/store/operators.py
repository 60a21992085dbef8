"""What operators change and look at: platforms, the roles bound to them, their tokens' dates, and the audit of it all.

Whoever changes something calls `order_writers` first: the directory's own row lock then keeps what was read true until the
commit, registration in other processes included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from hub.model.directory import PlatformStatus
from hub.ocpi.parties import PartyId, Role
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("operators")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a platform stands, for a decision about it."""

    platform_id: str
    name: str
    status: PlatformStatus
    has_outbound_token: bool
    has_registration_token: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A role that another platform holds."""

    role: str
    platform_id: str
    platform_name: str


@dataclass(frozen=True, slots=True)
class PlatformRow:
    """A platform in a list."""

    platform_id: str
    name: str
    status: str
    is_online: bool
    ocpi_version: str | None
    versions_url: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PartyRow:
    """One party in one role on one platform.

    `is_listed`: in the platform's own latest credentials; `is_quarantined`: only there, never invited (D-09).
    """

    party: str
    role: str
    platform_id: str
    platform_name: str
    platform_status: str
    is_online: bool
    is_invited: bool
    is_quarantined: bool
    is_listed: bool
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One URL that a platform published."""

    module: str
    interface: str
    url: str


@dataclass(frozen=True, slots=True)
class TokenRow:
    """That a token exists; never its value. `direction`: inbound (they show it to us) or outbound (we show it to them)."""

    direction: str
    kind: str
    created_at: datetime
    expires_at: datetime | None
    encoding: str | None


async def order_writers(connection: Connection) -> None:
    """Wait until this transaction is the only one that changes the directory."""
    await connection.fetchval(SQL["order_writers"])


async def find_platform(connection: Connection, platform_id: str) -> Standing | None:
    """Where a platform stands, or None when there is no such platform."""
    row = await connection.fetchrow(SQL["find_platform"], platform_id)
    if row is None:
        return None
    return Standing(
        row["platform_id"],
        row["name"],
        PlatformStatus(row["status"]),
        row["has_outbound_token"],
        row["has_registration_token"],
    )


async def add_platform(connection: Connection, platform_id: str, name: str) -> None:
    """A platform in state invited."""
    await connection.execute(SQL["add_platform"], platform_id, name)


async def drop_platform(connection: Connection, platform_id: str) -> None:
    """Forget a platform that never was connected, with its roles and tokens."""
    await connection.execute(SQL["drop_platform"], platform_id)


async def claims(
    connection: Connection, party: PartyId, roles: tuple[Role, ...], *, other_than: str | None
) -> tuple[Claim, ...]:
    """Who else holds these roles of a party (AM-19)."""
    key = party.folded
    names = [role.value for role in roles]
    return tuple(
        Claim(**row) for row in await connection.fetch(SQL["claims"], key.country_code, key.party_id, other_than, names)
    )


async def invite_role(connection: Connection, platform_id: str, party: PartyId, role: Role, *, is_listed: bool) -> None:
    """Bind one role to its platform. `is_listed` counts for a new row only. Idempotent."""
    key = party.folded
    await connection.execute(SQL["invite_role"], platform_id, key.country_code, key.party_id, role.value, is_listed)


async def replace_registration_token(connection: Connection, platform_id: str, token_hash: bytes) -> None:
    """From the commit on, only this token A opens the registration."""
    await connection.execute(SQL["drop_registration_tokens"], platform_id)
    await connection.execute(SQL["add_registration_token"], token_hash, platform_id)


async def set_status(connection: Connection, platform_id: str, status: PlatformStatus) -> None:
    """Change where a platform stands; its roles then count as changed too (HC-07)."""
    await connection.execute(SQL["set_status"], platform_id, status.value)
    await connection.execute(SQL["touch_roles"], platform_id)


async def set_quirks(connection: Connection, platform_id: str, quirks: Sequence[str]) -> None:
    """What the hub lets pass from a platform and does for it, instead of what was set before."""
    await connection.execute(SQL["set_quirks"], platform_id, list(quirks))


async def find_quirks(connection: Connection, platform_id: str) -> tuple[str, tuple[str, ...]] | None:
    """The name of a platform and its quirks; None when there is none."""
    row = await connection.fetchrow(SQL["quirks"], platform_id)
    return (row["name"], tuple(row["quirks"])) if row else None


async def set_stale(connection: Connection, platform_id: str, stale: str) -> None:
    """What becomes of its pushes that are older than what is held: `refuse` or `accept` (D-11)."""
    await connection.execute(SQL["set_stale"], platform_id, stale)


async def add_audit(
    connection: Connection, operator: str, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Note what an operator did, in the transaction that does it. `detail` holds no token."""
    await connection.execute(SQL["add_audit"], operator, action, subject, msgspec.json.encode(detail).decode())


async def list_platforms(
    connection: Connection, *, platform_id: str | None = None, party: PartyId | None = None
) -> tuple[PlatformRow, ...]:
    """Platforms by name: all, the one with this id, or those that host a party."""
    country_code, party_id = party.folded if party else (None, None)
    rows = await connection.fetch(SQL["platforms"], platform_id, country_code, party_id)
    return tuple(PlatformRow(**row) for row in rows)


async def list_parties(connection: Connection, *, platform_id: str | None = None) -> tuple[PartyRow, ...]:
    """Roles by party: all, or those of one platform."""
    return tuple(PartyRow(**row) for row in await connection.fetch(SQL["parties"], platform_id))


async def list_endpoints(connection: Connection, platform_id: str) -> tuple[EndpointRow, ...]:
    """What a platform published in its version details."""
    return tuple(EndpointRow(**row) for row in await connection.fetch(SQL["endpoints"], platform_id))


async def list_tokens(connection: Connection, platform_id: str) -> tuple[TokenRow, ...]:
    """The tokens between a platform and the hub, by their dates."""
    return tuple(TokenRow(**row) for row in await connection.fetch(SQL["tokens"], platform_id))
