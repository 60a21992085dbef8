"""Ending a connection from the hub's side, also where the partner never learnt that there is one (CR-19, D-08)."""

from hub.model.directory import PlatformStatus
from hub.ocpi.status import Refusal
from hub.operations.declined import Declined, Reason, no_such_platform
from hub.operations.suspend import StatusChange
from hub.registration.register import Registrar
from hub.store import operators
from hub.store.directory import await_holders, bump
from hub.store.pool import Store


async def disconnect(store: Store, registrar: Registrar, *, operator: str, platform_id: str) -> StatusChange | Declined:
    """Tell the platform (DELETE credentials), then end both tokens here, whatever it answers.

    Routes, links and objects stay. A new token A (`rotate-token`) lets it register again: the way out for a partner that lost the
    answer to its own registration. Returns once every process has acknowledged it.
    """
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        found = await operators.find_platform(connection, platform_id)
        if found is None:
            return no_such_platform(platform_id)
        if found.status is not PlatformStatus.CONNECTED:
            return Declined(Reason.CONFLICT, f"platform {found.name} is {found.status}, not connected")
        await operators.add_audit(connection, operator, "platform.disconnected", f"platform/{platform_id}", {})
        await bump(connection)
    refusal = await registrar.unregister(platform_id)
    if isinstance(refusal, Refusal):
        return Declined(Reason.CONFLICT, refusal.message)
    async with store.transaction() as connection:
        version = await bump(connection)
    in_force = await await_holders(store, version)
    return StatusChange(platform_id, found.name, PlatformStatus.UNREGISTERED.value, version, in_force)
