"""A hub's operator and registration doors on a real socket and database, and the command line pointed at them."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Route
from typer.testing import CliRunner

from hub.api.admin import router
from hub.api.admin_context import AdminContext
from hub.api.auth import Gate
from hub.api.credentials import Credentials
from hub.api.door import Door
from hub.api.versions import Versions
from hub.messaging.producer import Producer
from hub.messaging.topics import Topics
from hub.partners.client import PartnerClient
from hub.partners.guard import AddressGuard
from hub.registration.identity import Identity
from hub.registration.register import Registrar
from hub.settings import Settings
from hub.store.directory import DirectoryKeeper
from hub.store.pool import Store
from hub.store.secrets import Secrets
from infra.cli import app

OPERATOR_TOKEN = "operator-token-of-this-test"


@dataclass(frozen=True, slots=True)
class AdminRig:
    """The running doors. `data_dir` holds the `hub.json` by which the command line finds them."""

    url: str
    store: Store
    secrets: Secrets
    keeper: DirectoryKeeper
    data_dir: Path

    async def hub(self, *words: str, env: dict[str, str | None] | None = None) -> Any:
        """Run `hub …` against it, from the data directory unless `env` says otherwise."""
        clean = {"HUB_ADMIN_URL": None, "HUB_OPERATOR_TOKEN": None, "HUB_OPERATOR_TOKEN_FILE": None}
        arguments = [*words, "--data-dir", str(self.data_dir)]
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=clean | (env or {}))

    async def json(self, *words: str) -> Any:
        """The JSON that `hub … -o json` prints; the command must succeed."""
        result = await self.hub(*words, "-o", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    async def value(self, sql: str, *arguments: object) -> Any:
        """One value from the database."""
        async with self.store.connection() as connection:
            return await connection.fetchval(sql, *arguments)


@contextlib.asynccontextmanager
async def admin_rig(database_url: str, data_dir: Path, **changes: Any) -> AsyncIterator[AdminRig]:
    """Serve until the end of the block. Logs are kept from the stdout that the commands print to.

    Without `kafka_bootstrap` among the settings in `changes` Kafka is away.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(structlog.testing.capture_logs())
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        known: dict[str, Any] = {"public_url": url, "kafka_bootstrap": "127.0.0.1:1", "partner_networks": "127.0.0.0/8"}
        settings = Settings(postgres_url=database_url, **(known | changes))
        store = await Store.open(database_url, size=4)
        stack.push_async_callback(store.close)
        secrets = Secrets(b"k" * 32)
        keeper = DirectoryKeeper(
            store, secrets, hub_party=settings.hub_party, agreements="open", process_id="rig", name="hub"
        )
        await keeper.start()
        stack.push_async_callback(keeper.stop)
        partners = PartnerClient(AddressGuard(settings.networks), largest_answer_bytes=2**20, connections_per_host=4)
        stack.push_async_callback(partners.close)
        identity = Identity(settings.hub_party, settings.party_name, settings.public_url)
        registrar = Registrar(store=store, secrets=secrets, keeper=keeper, partners=partners, identity=identity)
        durable = Producer.durable(settings.require("kafka_bootstrap"))
        if "kafka_bootstrap" in changes:
            await durable.start()
            stack.push_async_callback(durable.stop)
        topics = Topics(settings.topic_prefix, 4)
        context = AdminContext(store, secrets, settings, topics, registrar, keeper, durable)
        await stack.enter_async_context(_served(_doors(context, keeper), listening))
        _write_hub_file(data_dir, url)
        yield AdminRig(url, store, secrets, keeper, data_dir)


def _doors(context: AdminContext, keeper: DirectoryKeeper) -> FastAPI:
    served = FastAPI()
    served.include_router(router(context, OPERATOR_TOKEN))
    versions = Versions(context.settings.ocpi_url)
    handlers = {
        "versions": versions.list_versions,
        "2.2.1": versions.show_details,
        "2.2.1/credentials": Credentials(context.registrar, "2.2.1").handle,
    }
    door = Door(
        Gate(keeper, context.secrets, context.registrar.retire_replaced_tokens), handlers, Response(status_code=404)
    )
    served.router.routes.append(Route("/ocpi/{rest:path}", door))
    return served


@contextlib.asynccontextmanager
async def _served(served: FastAPI, listening: socket.socket) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(served, log_level="warning", lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve([listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _write_hub_file(data_dir: Path, url: str) -> None:
    (data_dir / "operator-token").write_text(OPERATOR_TOKEN + "\n")
    known = {"admin_url": f"{url}/admin/v1", "operator_token_file": "operator-token"}
    (data_dir / "hub.json").write_text(json.dumps(known))
