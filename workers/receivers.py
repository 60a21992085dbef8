"""How the receivers do, as all fan-out workers know it together: breakers, pauses, what operators set for them.

The rows in Postgres are read twice a second; what this worker changes it knows at once. While Postgres is away the last known
standing holds.
"""

import time
from dataclasses import replace
from typing import Final

from hub.delivery.health import Standing
from hub.errors import StoreUnavailable
from hub.model.delivery import Receiver
from hub.store import receivers
from hub.store.pool import Store
from hub.telemetry import BREAKERS_OPENED, RECEIVERS_PARKED, get_logger

log = get_logger(__name__)

_WELL: Final = Standing()


class Receivers:
    """The standings that this worker holds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[Receiver, Standing] = {}

    def standing(self, receiver: Receiver) -> Standing:
        """How a receiver does; all is well with one that nothing is known of."""
        return self._known.get(receiver, _WELL)

    async def refresh(self) -> None:
        """Read all rows anew.

        Raises:
            StoreUnavailable: Postgres did not answer; what was known stays.
        """
        async with self._store.connection() as connection:
            await receivers.close_offline(connection)
            self._known = await receivers.standings(connection, time.monotonic())
        now, known = time.monotonic(), self._known.values()
        RECEIVERS_PARKED.labels("breaker").set(sum(standing.is_open for standing in known))
        RECEIVERS_PARKED.labels("paused").set(sum(standing.is_paused for standing in known))
        RECEIVERS_PARKED.labels("asked_to_wait").set(sum(now < standing.asked_until for standing in known))

    async def open(self, receiver: Receiver, reason: str) -> None:
        """Its breaker opens, here at once and in all workers soon."""
        now = time.monotonic()
        if not self.standing(receiver).is_open:
            BREAKERS_OPENED.inc()
            log.warning(
                "receiver.parked", to_party=str(receiver.party), platform_id=receiver.platform_id, reason=reason
            )
        self._known[receiver] = replace(self.standing(receiver), is_open=True, next_try_at=now + 1.0)
        try:
            async with self._store.connection() as connection:
                await receivers.open_breaker(connection, receiver, reason)
        except StoreUnavailable as error:
            log.warning("receiver.not_written", to_party=str(receiver.party), error=str(error))

    async def close(self, receiver: Receiver) -> None:
        """It takes what it is sent again.

        Raises:
            StoreUnavailable: Postgres did not answer; the breaker stays open, and the next trial closes it.
        """
        async with self._store.connection() as connection:
            await receivers.close_breaker(connection, receiver)
        self._known[receiver] = replace(self.standing(receiver), is_open=False, asked_until=0.0)
        log.info("receiver.recovered", to_party=str(receiver.party), platform_id=receiver.platform_id)

    async def claim_trial(self, receiver: Receiver, seconds: float) -> bool:
        """Whether the next trial is ours.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        async with self._store.connection() as connection:
            return await receivers.claim_trial(connection, receiver, seconds)

    async def ask(self, receiver: Receiver, seconds: float) -> None:
        """It asked to be left alone for so many seconds (D-21)."""
        until = time.monotonic() + seconds
        self._known[receiver] = replace(self.standing(receiver), asked_until=until)
        log.warning("receiver.asked_to_wait", to_party=str(receiver.party), seconds=seconds)
        try:
            async with self._store.connection() as connection:
                await receivers.ask(connection, receiver, seconds)
        except StoreUnavailable as error:
            log.warning("receiver.not_written", to_party=str(receiver.party), error=str(error))
