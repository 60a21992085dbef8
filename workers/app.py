"""The composition root of a worker: opens its means, runs it until told to stop, closes them."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from threading import Event
from typing import Final

from hub.errors import ConfigurationError
from hub.means import Means, loop_factory, mark_ready, open_means
from hub.settings import Settings
from hub.telemetry import configure, get_logger, serve_metrics
from workers import WORKERS

log = get_logger(__name__)

_CONNECTIONS_PER_HOST: Final = 0
"""No bound: each worker bounds its calls itself, by class, so that lists never wait in front of an authorization."""


@dataclass(frozen=True)
class WorkerContext(Means):
    """What a worker works with. `stopping` is set when it should drain and return; `ready` is called once it consumes."""

    stopping: asyncio.Event
    ready: Callable[[], None]


def run_worker(name: str, settings: Settings) -> None:
    """Run one worker in this process until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: there is no such worker, or a setting is missing.
        HubError: Kafka or Postgres could not be reached at the start.
    """
    if name not in WORKERS:
        raise ConfigurationError(f"there is no worker {name!r}; there are {', '.join(WORKERS)}")
    run: Callable[[WorkerContext], Awaitable[None]] = import_module(f"workers.{name}").run
    configure(settings.log_level, name)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(name, settings, run))


async def _run(name: str, settings: Settings, run: Callable[[WorkerContext], Awaitable[None]]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_means(name, settings, connections_per_host=_CONNECTIONS_PER_HOST) as means:
        is_ready = Event()

        def ready() -> None:
            is_ready.set()
            mark_ready(settings)

        def health() -> dict[str, object] | None:
            may_work = is_ready.is_set() and not stopping.is_set() and means.keeper.may_send
            return {"worker": name, "directory_version": means.keeper.current.version} if may_work else None

        serve_metrics(settings.metrics_port, settings.host, health)
        log.info("worker.started", worker=name)
        await run(WorkerContext(**vars(means), stopping=stopping, ready=ready))
        log.info("worker.stopped", worker=name)
