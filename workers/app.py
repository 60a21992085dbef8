"""The composition root of a worker: opens what it needs in order, runs it until told to stop, closes in reverse."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from hub.errors import ConfigurationError
from hub.messaging.broker import Producer
from hub.messaging.outcomes import Outcomes
from hub.messaging.topics import Topics
from hub.partners.client import PartnerClient
from hub.partners.guard import AddressGuard
from hub.settings import Settings
from hub.store.directory import DirectoryKeeper
from hub.store.pool import Store
from hub.store.secrets import Secrets
from hub.telemetry import configure, get_logger, serve_metrics

log = get_logger(__name__)

_CONNECTIONS_PER_HOST: Final = 0
"""No bound: each worker bounds its calls itself, by class, so that lists never wait in front of an authorization."""

WORKERS: Final[Mapping[str, str]] = {
    "relay": "workers.relay",
    "fanout": "workers.fanout",
    "ledger": "workers.ledger",
}


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker works with. `stopping` is set when it should drain and return; `ready` is called once it consumes."""

    name: str
    settings: Settings
    topics: Topics
    bootstrap: str
    store: Store
    keeper: DirectoryKeeper
    durable: Producer
    swift: Producer
    outcomes: Outcomes
    partners: PartnerClient
    stopping: asyncio.Event
    ready: Callable[[], None]


def run_worker(name: str, settings: Settings) -> None:
    """Run one worker in this process until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: there is no such worker, or a setting is missing.
        HubError: Kafka or Postgres could not be reached at the start.
    """
    module_name = WORKERS.get(name)
    if module_name is None:
        raise ConfigurationError(f"there is no worker {name!r}; there are {', '.join(WORKERS)}")
    run: Callable[[WorkerContext], Awaitable[None]] = import_module(module_name).run
    configure(settings.log_level, name)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(name, settings, run))


async def _run(name: str, settings: Settings, run: Callable[[WorkerContext], Awaitable[None]]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serve_metrics(settings.metrics_port, settings.host)
    async with worker_context(name, settings, stopping) as context:
        log.info("worker.started", worker=name)
        await run(context)
        log.info("worker.stopped", worker=name)


@contextlib.asynccontextmanager
async def worker_context(name: str, settings: Settings, stopping: asyncio.Event) -> AsyncIterator[WorkerContext]:
    """Everything a worker needs, opened; closed again at the end."""
    bootstrap = settings.require("kafka_bootstrap")
    secrets = Secrets.from_base64(settings.read_secrets_key())
    topics = Topics(settings.topic_prefix, settings.topic_partitions, settings.topic_replication)
    await topics.check(bootstrap)
    async with contextlib.AsyncExitStack() as stack:
        store = await Store.open(settings.require("postgres_url"), size=settings.postgres_pool)
        stack.push_async_callback(store.close)
        keeper = DirectoryKeeper(
            store,
            secrets,
            hub_party=settings.hub_party,
            agreements=settings.agreements,
            process_id=f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
            name=name,
        )
        await keeper.start()
        stack.push_async_callback(keeper.stop)
        durable, swift = Producer.durable(bootstrap), Producer.swift(bootstrap)
        for producer in (durable, swift):
            await producer.start()
            stack.push_async_callback(producer.stop)
        outcomes = Outcomes(durable, topics)
        outcomes.start()
        stack.push_async_callback(outcomes.stop)
        partners = PartnerClient(
            AddressGuard(settings.networks),
            largest_answer_bytes=settings.largest_answer_bytes,
            connections_per_host=_CONNECTIONS_PER_HOST,
        )
        stack.push_async_callback(partners.close)
        yield WorkerContext(
            name=name,
            settings=settings,
            topics=topics,
            bootstrap=bootstrap,
            store=store,
            keeper=keeper,
            durable=durable,
            swift=swift,
            outcomes=outcomes,
            partners=partners,
            stopping=stopping,
            ready=lambda: mark_ready(settings),
        )


def mark_ready(settings: Settings) -> None:
    """Make the file by which a supervisor sees that this process is ready; what was loaded until now stays for good.

    The garbage collector need not walk it again and again: a fifth of the slowest requests' time.
    """
    gc.freeze()
    if settings.ready_file is not None:
        settings.ready_file.touch()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
