"""Renews the tokens between the hub and its platforms by the calendar (`HUB_TOKEN_DAYS`), as an operator would.

A platform is taken by writing down that it was tried, so any number of processes may do this: none tries a platform again before
an hour has passed, whether the first one failed or was killed over it. The platform's old token works until it uses the new one,
so nothing is refused meanwhile (AM-21).
"""

import asyncio
import contextlib
from datetime import timedelta
from typing import Final

import asyncpg

from hub.errors import StoreUnavailable
from hub.operations.declined import Declined
from hub.operations.rotate import rotate_token
from hub.registration.identity import Identity
from hub.registration.register import Registrar
from hub.store.platforms import claim_renewal
from hub.telemetry import get_logger
from workers.app import WorkerContext

log = get_logger(__name__)

_BY: Final = "calendar"
_AGAIN: Final = timedelta(hours=1)
_LONGEST_PAUSE_SECONDS: Final = 60.0
_LOOKS_PER_AGE: Final = 20


async def renew_until_stopped(context: WorkerContext) -> None:
    """Renew whatever has become too old until the worker is told to stop; returns at once where nothing ever does.

    Not to be cancelled over a platform: it may have switched to a token that the hub would then forget.
    """
    age = timedelta(days=context.settings.token_days)
    if not age:
        return
    registrar = _registrar(context)
    pause = min(_LONGEST_PAUSE_SECONDS, age.total_seconds() / _LOOKS_PER_AGE)
    while not context.stopping.is_set():
        try:
            while not context.stopping.is_set() and context.keeper.may_send:
                if not await _renew_one(context, registrar, age):
                    break
        except (StoreUnavailable, asyncpg.PostgresError) as error:
            log.warning("renewals.not_read", error=str(error))
        except Exception:
            log.exception("renewals.failed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await context.stopping.wait()


async def _renew_one(context: WorkerContext, registrar: Registrar, age: timedelta) -> bool:
    """Renew the oldest; False when none is due."""
    async with context.store.connection() as connection:
        platform_id = await claim_renewal(connection, age, min(age, _AGAIN))
    if platform_id is None:
        return False
    done = await rotate_token(context.store, context.secrets, registrar, operator=_BY, platform_id=platform_id)
    if isinstance(done, Declined):
        log.warning("platform.not_renewed", platform_id=platform_id, reason=done.message)
    return True


def _registrar(context: WorkerContext) -> Registrar:
    settings = context.settings
    return Registrar(
        store=context.store,
        secrets=context.secrets,
        keeper=context.keeper,
        partners=context.partners,
        identity=Identity(settings.hub_party, settings.party_name, settings.public_url),
    )
