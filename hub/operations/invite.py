"""Inviting a party: the roles are bound to a platform and the one-time token A opens its registration.

Rules CR-02, AM-19, AU-08; decision D-09.
"""

import uuid
from dataclasses import dataclass, field

from hub.model.directory import PlatformStatus
from hub.ocpi.parties import PartyId, Role
from hub.operations.declined import Declined, Reason, no_such_platform
from hub.store import operators
from hub.store.directory import bump
from hub.store.operators import Standing
from hub.store.pool import Connection, Store
from hub.store.secrets import Secrets, make_token


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the partner is told: the versions URL and, for a new platform, its token A. It is shown this once."""

    platform_id: str
    platform_name: str
    party: str
    roles: tuple[str, ...]
    versions_url: str
    token: str | None = field(repr=False)


async def invite(
    store: Store,
    secrets: Secrets,
    *,
    operator: str,
    hub_party: PartyId,
    versions_url: str,
    party: PartyId,
    roles: tuple[Role, ...],
    name: str | None = None,
    platform_id: str | None = None,
) -> Invitation | Declined:
    """Bind `roles` of a party to a new platform, or to one that is there already.

    A platform that is there keeps its tokens; a role that it named unasked leaves quarantine (D-09). Asking again for what
    is bound already changes nothing more than the audit.
    """
    declined = unfit(party, roles, hub_party)
    if declined:
        return declined
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        taken = await taken_roles(connection, party, roles, platform_id)
        if taken:
            return taken
        if platform_id is None:
            standing = await new_platform(connection, name or str(party.folded))
        else:
            found = await operators.find_platform(connection, platform_id)
            if found is None:
                return no_such_platform(platform_id)
            standing = found
        await bind_roles(connection, standing, party, roles)
        token = None if platform_id else await new_token(connection, secrets, standing.platform_id)
        detail = {"party": str(party.folded), "roles": list(roles), "new_platform": platform_id is None}
        await operators.add_audit(connection, operator, "party.invited", f"platform/{standing.platform_id}", detail)
        await bump(connection)
    return Invitation(
        platform_id=standing.platform_id,
        platform_name=standing.name,
        party=str(party.folded),
        roles=tuple(role.value for role in roles),
        versions_url=versions_url,
        token=token,
    )


def unfit(party: PartyId, roles: tuple[Role, ...], hub_party: PartyId) -> Declined | None:
    """Why a party cannot be connected in these roles, whoever hosts it."""
    if not roles:
        return Declined(Reason.INVALID, "name at least one role")
    if Role.HUB in roles:
        return Declined(Reason.INVALID, "role HUB is this hub's own; another hub cannot be connected")
    if party.folded == hub_party.folded:
        return Declined(Reason.INVALID, f"{party.folded} is this hub's own party (HUB_PARTY)")
    return None


async def taken_roles(
    connection: Connection, party: PartyId, roles: tuple[Role, ...], platform_id: str | None
) -> Declined | None:
    """Why these roles cannot be bound to this platform (None: a new one): another one holds them (AM-19)."""
    claims = await operators.claims(connection, party, roles, other_than=platform_id)
    if not claims:
        return None
    first = claims[0]
    return Declined(
        Reason.CONFLICT,
        f"{party.folded} is already {first.role} on platform {first.platform_name} ({first.platform_id})",
    )


async def bind_roles(connection: Connection, standing: Standing, party: PartyId, roles: tuple[Role, ...]) -> None:
    """Bind roles of a party to a platform. While it is not registered they count as listed, afterwards it lists them itself."""
    is_listed = standing.status is PlatformStatus.INVITED
    for role in roles:
        await operators.invite_role(connection, standing.platform_id, party, role, is_listed=is_listed)


async def new_token(connection: Connection, secrets: Secrets, platform_id: str) -> str:
    """A new token A for a platform; the one before it is dead."""
    token = make_token()
    await operators.replace_registration_token(connection, platform_id, secrets.hash_inbound(token))
    return token


async def new_platform(connection: Connection, name: str) -> Standing:
    """A platform that is awaited, with a new id."""
    platform_id = str(uuid.uuid4())
    await operators.add_platform(connection, platform_id, name)
    return Standing(platform_id, name, PlatformStatus.INVITED, has_outbound_token=False, has_registration_token=False)
