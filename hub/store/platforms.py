"""What registration changes: a platform's connection, endpoints, roles and tokens.

Nothing here opens a transaction: a registration is one, so that on any failure the old state stays valid (CR-29).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hub.model.directory import PlatformStatus, TokenKind
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role
from hub.routing.client_info import RoleStanding
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("platforms")


@dataclass(frozen=True, slots=True)
class ListedRole:
    """One role of a platform's credentials; `business_details` is its JSON, `name` the party's name in it."""

    party: PartyId
    role: Role
    name: str
    business_details: str


@dataclass(frozen=True, slots=True)
class InboundStanding:
    """What an inbound token opens at this moment, and where its platform stands."""

    kind: TokenKind
    status: PlatformStatus


async def find_inbound(connection: Connection, token_hash: bytes) -> InboundStanding | None:
    """Where an inbound token stands, or None when it opens nothing any more."""
    row = await connection.fetchrow(SQL["find_inbound"], token_hash)
    return InboundStanding(TokenKind(row["kind"]), PlatformStatus(row["status"])) if row else None


async def set_connection(connection: Connection, platform_id: str, version: str, versions_url: str) -> None:
    """A handshake succeeded."""
    has_changed = await connection.fetchval(SQL["set_connection"], platform_id, version, versions_url)
    if has_changed:
        await connection.execute(SQL["touch_roles"], platform_id)


async def end_connection(connection: Connection, platform_id: str) -> None:
    """The platform, or the hub, has ended the connection: both tokens are dead (CR-19, D-08)."""
    await connection.execute(SQL["drop_tokens"], platform_id)
    await connection.execute(SQL["drop_outbound_token"], platform_id)
    await connection.execute(SQL["end_connection"], platform_id)
    await connection.execute(SQL["forget_viewer"], platform_id)
    await connection.execute(SQL["touch_roles"], platform_id)


async def touch_roles(connection: Connection, platform_id: str) -> None:
    """How others see this platform's parties in hubclientinfo changes now."""
    await connection.execute(SQL["touch_roles"], platform_id)


async def replace_endpoints(
    connection: Connection, platform_id: str, endpoints: Mapping[tuple[str, Interface], str]
) -> None:
    """What the platform publishes now, instead of before."""
    await connection.execute(SQL["clear_endpoints"], platform_id)
    await connection.execute(
        SQL["add_endpoints"],
        platform_id,
        [module for module, _ in endpoints],
        [interface.value for _, interface in endpoints],
        list(endpoints.values()),
    )


async def replace_roles(connection: Connection, platform_id: str, roles: Sequence[ListedRole]) -> None:
    """The roles that the platform lists now: invited ones are routed, others quarantined (D-09, CR-30).

    A platform that no operator gave a name takes that of its first invited role.
    """
    keys = [entry.party.folded for entry in roles]
    listed = [key.country_code for key in keys], [key.party_id for key in keys], [entry.role.value for entry in roles]
    await connection.execute(SQL["unlist_roles"], platform_id, *listed)
    await connection.execute(SQL["list_roles"], platform_id, *listed, [entry.business_details for entry in roles])
    await connection.execute(SQL["forget_unlisted"], platform_id)
    await connection.execute(SQL["name_platform"], platform_id, *listed, [entry.name for entry in roles])


async def add_token(
    connection: Connection, platform_id: str, token_hash: bytes, expires_at: datetime | None = None
) -> None:
    """A new inbound access token, for good or on trial until `expires_at`."""
    await connection.execute(SQL["add_token"], token_hash, platform_id, expires_at)


async def keep_token(connection: Connection, token_hash: bytes) -> None:
    """An inbound token on trial stays, beside the others."""
    await connection.execute(SQL["keep_token"], token_hash)


async def keep_undecided(connection: Connection, platform_id: str, token_hash: bytes) -> None:
    """An inbound token on trial, of which nobody knows whether the platform took it, stays beside the one it had before.

    Those of earlier tries go: each opens for good, and a platform may end every try like this.
    """
    await connection.execute(SQL["drop_undecided"], platform_id)
    await connection.execute(SQL["keep_undecided"], token_hash)


async def drop_token(connection: Connection, token_hash: bytes) -> None:
    """An inbound token on trial goes."""
    await connection.execute(SQL["drop_token"], token_hash)


async def drop_inbound_tokens(connection: Connection, platform_id: str) -> None:
    """Nothing that the platform shows opens anything any more; what the hub shows it stays."""
    await connection.execute(SQL["drop_tokens"], platform_id)


async def claim_renewal(connection: Connection, older_than: timedelta, tried_before: timedelta) -> str | None:
    """A connected platform whose tokens are older than that, for this process to renew; None when there is none.

    No process gets it again before `tried_before` has passed, so a try that fails or is cut off is repeated then.
    """
    claimed: str | None = await connection.fetchval(SQL["claim_renewal"], older_than, tried_before)
    return claimed


async def make_current(connection: Connection, platform_id: str, token_hash: bytes, others_until: datetime) -> None:
    """This inbound token is the platform's; registration tokens go, other access tokens live until `others_until`."""
    await keep_token(connection, token_hash)
    await connection.execute(SQL["replace_tokens"], platform_id, token_hash, others_until)


async def retire_tokens(connection: Connection, platform_id: str, used_hash: bytes) -> bool:
    """Drop the tokens that were replaced, if the used one is still current; False when nothing was to drop."""
    return bool(await connection.fetch(SQL["retire_tokens"], platform_id, used_hash))


async def set_outbound_token(
    connection: Connection, platform_id: str, sealed: bytes, key_id: str, encoding: str
) -> None:
    """The token that the hub shows to this platform from now on."""
    await connection.execute(SQL["set_outbound_token"], platform_id, sealed, key_id, encoding)


async def role_standings(connection: Connection) -> tuple[RoleStanding, ...]:
    """Every role that is not quarantined, those of the oldest platform first: a change moves none, so paging misses none."""
    return tuple(
        RoleStanding(
            row["platform_id"],
            row["status"],
            row["is_online"],
            PartyId(row["country_code"], row["party_id"]),
            Role(row["role"]),
            row["is_listed"],
            row["was_ever_listed"],
            row["last_updated"],
        )
        for row in await connection.fetch(SQL["client_infos"])
    )
