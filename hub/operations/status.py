"""The state of the hub at a glance: its database and log, its processes, what it holds and what became of messages lately."""

import asyncio
from dataclasses import dataclass
from typing import Final

from hub.errors import HubError, LogUnavailable
from hub.messaging.lag import Lag, measure_lag
from hub.messaging.topics import Topics
from hub.operations.dead_letters import LetterCount, count_letters
from hub.settings import Settings
from hub.store.inspect import Counts, count
from hub.store.pool import Store

RECENT_MINUTES: Final = 5
_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether something the hub needs answers; `detail` says what is wrong."""

    is_reachable: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HubStatus:
    """What is true now. `counts` is None without the database, `lag` empty without Kafka, `dead_letters` None without either."""

    hub_party: str
    versions_url: str
    agreements: str
    database: Reachability
    kafka: Reachability
    counts: Counts | None
    lag: tuple[Lag, ...]
    dead_letters: LetterCount | None
    recent_minutes: int = RECENT_MINUTES


async def status(store: Store, settings: Settings, topics: Topics) -> HubStatus:
    """Look at everything at once; takes at most some seconds, whatever is away."""
    (database, counts), (kafka, lag), letters = await asyncio.gather(
        _ask_store(store),
        _ask_log(settings.kafka_bootstrap, topics),
        count_letters(store, topics, settings.kafka_bootstrap),
    )
    return HubStatus(
        hub_party=settings.party,
        versions_url=f"{settings.ocpi_url}/versions",
        agreements=settings.agreements,
        database=database,
        kafka=kafka,
        counts=counts,
        lag=lag,
        dead_letters=letters,
    )


async def _ask_store(store: Store) -> tuple[Reachability, Counts | None]:
    try:
        async with asyncio.timeout(_SECONDS), store.connection() as connection:
            return Reachability(is_reachable=True), await count(connection, recent_minutes=RECENT_MINUTES)
    except (HubError, TimeoutError) as error:
        return Reachability(is_reachable=False, detail=_why(error)), None


async def _ask_log(bootstrap: str, topics: Topics) -> tuple[Reachability, tuple[Lag, ...]]:
    try:
        async with asyncio.timeout(_SECONDS):
            return Reachability(is_reachable=True), await measure_lag(bootstrap, topics)
    except (LogUnavailable, TimeoutError) as error:
        return Reachability(is_reachable=False, detail=_why(error)), ()


def _why(error: Exception) -> str:
    return str(error) or f"no answer within {_SECONDS:.0f} s"
