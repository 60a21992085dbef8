"""The means that every process works with, the HTTP process and the workers alike: opened in order, closed in reverse."""

import asyncio
import contextlib
import gc
import os
import secrets as random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from hub.messaging.outcomes import Outcomes
from hub.messaging.producer import Producer
from hub.messaging.topics import Topics
from hub.partners.client import PartnerClient
from hub.partners.guard import AddressGuard
from hub.settings import Settings
from hub.store.directory import DirectoryKeeper
from hub.store.pool import Store
from hub.store.secrets import Secrets

_COLLECT_AFTER: Final = (20_000, 20, 20)
"""New objects before a look at the young ones, looks before one at the middle, before one at all."""


@dataclass(frozen=True)
class Means:
    """What the doors and the workers work with. `name` says which part of the hub this process is."""

    name: str
    settings: Settings
    secrets: Secrets
    topics: Topics
    bootstrap: str
    store: Store
    keeper: DirectoryKeeper
    durable: Producer
    swift: Producer
    outcomes: Outcomes
    partners: PartnerClient


@contextlib.asynccontextmanager
async def open_means(name: str, settings: Settings, *, connections_per_host: int) -> AsyncIterator[Means]:
    """Open what the part called `name` needs; the directory is loaded when this is entered.

    `connections_per_host` bounds the connections to one partner; 0 is no bound.

    Raises:
        ConfigurationError: a setting is missing or the topics differ from the table.
        HubError: Kafka or Postgres could not be reached.
    """
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
            process_id=f"{socket.gethostname()}-{os.getpid()}-{random.token_hex(4)}",
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
            connections_per_host=connections_per_host,
        )
        stack.push_async_callback(partners.close)
        yield Means(name, settings, secrets, topics, bootstrap, store, keeper, durable, swift, outcomes, partners)


def mark_ready(settings: Settings) -> None:
    """Make the file by which a supervisor sees that this process is ready; what was loaded until now stays for good.

    The garbage collector need not walk it again and again: a fifth of the slowest requests' time. Nor need it look after every
    700 new objects: under load most of them are records and entries that wait, and looking at them was a quarter of a fan-out
    worker's time.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    if settings.ready_file is not None:
        settings.ready_file.touch()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one; None means asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
