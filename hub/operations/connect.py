"""Connecting to a platform that has invited the hub: the hub registers there as Sender.

The platform's row exists before the first call, since the partner calls back while the handshake is under way; when the handshake
fails, a platform that was made for it goes again, so that a failed attempt leaves only its audit.
"""

from hub.model.directory import PlatformStatus
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import Refusal
from hub.operations.declined import Declined, Reason, no_such_platform
from hub.operations.inspect import PlatformDetail, show_platform
from hub.operations.invite import bind_roles, new_platform, taken_roles, unfit
from hub.registration.register import Registrar
from hub.store import operators
from hub.store.directory import bump
from hub.store.operators import Standing
from hub.store.pool import Store


async def connect(
    store: Store,
    registrar: Registrar,
    *,
    operator: str,
    versions_url: str,
    token: str,
    party: PartyId,
    roles: tuple[Role, ...],
    name: str | None = None,
    platform_id: str | None = None,
) -> PlatformDetail | Declined:
    """Do the whole handshake with a partner, using the registration token that it gave.

    `party` and `roles` are what the operator expects there; whatever else the partner lists is quarantined (D-09). With
    `platform_id` a platform that is not connected (yet, or any more) is connected, instead of a new one.
    """
    standing = await _prepare(store, registrar, operator, versions_url, party, roles, name, platform_id)
    if isinstance(standing, Declined):
        return standing
    try:
        result = await registrar.connect(standing.platform_id, versions_url, token, roles)
    except Exception:
        await _give_up(store, operator, standing, "the hub failed", is_new=platform_id is None)
        raise
    if isinstance(result, Refusal):
        await _give_up(store, operator, standing, result.message, is_new=platform_id is None)
        return Declined(Reason.PARTNER_FAILED, result.message)
    async with store.connection() as connection:
        detail = {"version": result.version, "parties": list(result.parties)}
        await operators.add_audit(connection, operator, "platform.connected", _subject(standing), detail)
    return await show_platform(store, standing.platform_id)


async def _prepare(
    store: Store,
    registrar: Registrar,
    operator: str,
    versions_url: str,
    party: PartyId,
    roles: tuple[Role, ...],
    name: str | None,
    platform_id: str | None,
) -> Standing | Declined:
    declined = unfit(party, roles, registrar.identity.party)
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
            if found.status not in {PlatformStatus.INVITED, PlatformStatus.UNREGISTERED}:
                return Declined(Reason.CONFLICT, f"platform {found.name} is {found.status} already")
            standing = found
        await bind_roles(connection, standing, party, roles)
        detail = {"url": versions_url, "party": str(party.folded), "roles": list(roles)}
        await operators.add_audit(connection, operator, "platform.connecting", _subject(standing), detail)
        await bump(connection)
    return standing


async def _give_up(store: Store, operator: str, standing: Standing, reason: str, *, is_new: bool) -> None:
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        if is_new:
            await operators.drop_platform(connection, standing.platform_id)
        detail = {"reason": reason}
        await operators.add_audit(connection, operator, "platform.not_connected", _subject(standing), detail)
        await bump(connection)


def _subject(standing: Standing) -> str:
    return f"platform/{standing.platform_id}"
