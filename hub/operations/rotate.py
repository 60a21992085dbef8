"""Renewing a platform's tokens (CR-18): a new token A before registration, a credentials update after it.

A token that leaked is dead before the platform is asked to renew: whoever has it must not use the time that renewing takes.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from hub.model.directory import PlatformStatus
from hub.ocpi.status import Refusal
from hub.operations.declined import Declined, Reason, no_such_platform
from hub.operations.invite import new_token
from hub.registration.handshake import Undecided
from hub.registration.register import Connected, Registrar
from hub.store import operators, platforms
from hub.store.directory import await_holders, bump
from hub.store.operators import Standing
from hub.store.pool import Store
from hub.store.secrets import Secrets


class Renewed(StrEnum):
    """What was renewed."""

    REGISTRATION_TOKEN = "registration token"  # noqa: S105
    CREDENTIALS = "credentials of both sides"


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was renewed; `token` is the new token A where there is one, shown this once.

    `reason`: why the platform itself could not be told, where a leaked token is dead and it needs a new token A.
    """

    platform_id: str
    platform_name: str
    renewed: Renewed
    versions_url: str
    token: str | None = field(repr=False)
    reason: str = ""


async def rotate_token(
    store: Store, secrets: Secrets, registrar: Registrar, *, operator: str, platform_id: str, is_leaked: bool = False
) -> Rotation | Declined:
    """Renew what a platform and the hub show each other.

    A registered platform is sent PUT credentials and both tokens change; the old ones still open for a grace period. A platform
    that is not registered gets a new token A and the one before it is dead at once.

    `is_leaked`: what a registered platform shows the hub is dead at once, in every process, and only then the platform is sent
    the PUT. Where it does not take that, it can be let in by a new token A alone, which is made.
    """
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        found = await operators.find_platform(connection, platform_id)
        if found is None:
            return no_such_platform(platform_id)
        if found.status is PlatformStatus.SUSPENDED:
            return Declined(Reason.CONFLICT, f"platform {found.name} is suspended: resume it first")
        is_registered = found.status is PlatformStatus.CONNECTED
        renewed = Renewed.CREDENTIALS if is_registered else Renewed.REGISTRATION_TOKEN
        detail = {"renewing": renewed.value, "leaked": is_leaked}
        await operators.add_audit(connection, operator, "platform.token_rotated", f"platform/{platform_id}", detail)
        if is_registered and is_leaked:
            await platforms.drop_inbound_tokens(connection, platform_id)
        token = None if is_registered else await new_token(connection, secrets, platform_id)
        version = await bump(connection)
    rotation = Rotation(found.platform_id, found.name, renewed, registrar.identity.versions_url, token)
    if not is_registered:
        return rotation
    if is_leaked:
        await await_holders(store, version)
    failure = await _update_credentials(store, registrar, operator, found)
    if failure is None:
        return rotation
    if not is_leaked:
        return Declined(Reason.PARTNER_FAILED, f"{failure.reason}; {failure.tokens}")
    token = await _let_in_anew(store, secrets, platform_id)
    return replace(rotation, renewed=Renewed.REGISTRATION_TOKEN, token=token, reason=failure.reason)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a credentials update did not end well, and what that means for the tokens."""

    reason: str
    tokens: str


async def _update_credentials(store: Store, registrar: Registrar, operator: str, standing: Standing) -> _Failure | None:
    match await registrar.rotate(standing.platform_id):
        case Refusal(message=reason):
            failure = _Failure(reason, "the tokens are as they were")
        case Undecided(refusal):
            failure = _Failure(
                refusal.message, "nobody knows whether it took its new token, so that and the old one both work"
            )
        case Connected():
            return None
    async with store.connection() as connection:
        subject, detail = f"platform/{standing.platform_id}", {"reason": failure.reason}
        await operators.add_audit(connection, operator, "platform.token_not_rotated", subject, detail)
    return failure


async def _let_in_anew(store: Store, secrets: Secrets, platform_id: str) -> str:
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        token = await new_token(connection, secrets, platform_id)
        await bump(connection)
    return token
