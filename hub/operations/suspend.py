"""Suspending a platform and letting it back in (D-08: an operator alone suspends)."""

from dataclasses import dataclass
from typing import Final

from hub.model.directory import PlatformStatus
from hub.operations.declined import Declined, Reason, no_such_platform
from hub.store import operators
from hub.store.directory import LEASE_SECONDS, await_holders, bump
from hub.store.operators import Standing
from hub.store.pool import Store

LEASE_MARGIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class StatusChange:
    """Where a platform stands now.

    `is_in_force`: every live process acts on it; those that could not be asked have stopped sending by themselves.
    """

    platform_id: str
    name: str
    status: str
    directory_version: int
    is_in_force: bool


async def suspend(store: Store, *, operator: str, platform_id: str) -> StatusChange | Declined:
    """Cut a platform off: nothing is taken from it and nothing sent to it.

    Returns once every process has acknowledged the change or its lease has run out, so that no later request reaches it.
    Suspending again only waits for that. Tokens, agreements and objects stay for `resume`.
    """
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        found = await operators.find_platform(connection, platform_id)
        if found is None:
            return no_such_platform(platform_id)
        if found.status is not PlatformStatus.SUSPENDED:
            await operators.set_status(connection, platform_id, PlatformStatus.SUSPENDED)
        detail = {"was": found.status}
        await operators.add_audit(connection, operator, "platform.suspended", f"platform/{platform_id}", detail)
        version = await bump(connection)
    return await _in_force(store, found, PlatformStatus.SUSPENDED, version)


async def resume(store: Store, *, operator: str, platform_id: str) -> StatusChange | Declined:
    """Let a suspended platform back in: connected if it was registered, else awaited as before."""
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        found = await operators.find_platform(connection, platform_id)
        if found is None:
            return no_such_platform(platform_id)
        if found.status is not PlatformStatus.SUSPENDED:
            return Declined(Reason.CONFLICT, f"platform {found.name} is {found.status}, not suspended")
        status = status_after_suspension(found)
        await operators.set_status(connection, platform_id, status)
        await operators.add_audit(
            connection, operator, "platform.resumed", f"platform/{platform_id}", {"status": status}
        )
        version = await bump(connection)
    return await _in_force(store, found, status, version)


def status_after_suspension(standing: Standing) -> PlatformStatus:
    """Where a platform stands that is no longer suspended: what its tokens say."""
    if standing.has_outbound_token:
        return PlatformStatus.CONNECTED
    return PlatformStatus.INVITED if standing.has_registration_token else PlatformStatus.UNREGISTERED


async def _in_force(store: Store, standing: Standing, status: PlatformStatus, version: int) -> StatusChange:
    in_force = await await_holders(store, version, timeout=LEASE_SECONDS + LEASE_MARGIN_SECONDS)
    return StatusChange(standing.platform_id, standing.name, status.value, version, in_force)
