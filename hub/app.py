"""The composition root of the HTTP process: opens its means, mounts its doors, serves until told to stop."""

import asyncio
import contextlib
import secrets as random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hub.api.admin import router as admin_router
from hub.api.admin_context import AdminContext
from hub.api.auth import Gate
from hub.api.credentials import Credentials
from hub.api.door import Configuration, Door
from hub.api.getall import GetAll
from hub.api.hubclientinfo import HubClientInfo
from hub.api.ingress import OLDEST_DIRECTORY_SECONDS, Ingress
from hub.api.protocol import BoundedHttp
from hub.api.versions import Versions
from hub.means import Means, loop_factory, mark_ready, open_means
from hub.messaging.rpc import Rpc
from hub.model.envelope import Scenario
from hub.ocpi.modules import CREDENTIALS, HUB_CLIENT_INFO
from hub.ocpi.versions import OFFERED
from hub.registration.identity import Identity
from hub.registration.register import Registrar
from hub.settings import Settings
from hub.telemetry import configure, get_logger

log = get_logger(__name__)

_CONNECTIONS_PER_HOST: Final = 8
_SHUTDOWN_SECONDS: Final = 4
_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than partners keep idle connections, so that it is they who close them, not we under a request of theirs."""


@dataclass(frozen=True)
class HttpMeans(Means):
    """What the doors work with."""

    rpc: Rpc


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: a setting is missing or the topics differ from the table.
        HubError: Kafka or Postgres could not be reached at the start.
    """
    configure(settings.log_level, "hub")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    async with open_http_means(settings) as means:
        config = uvicorn.Config(
            build_app(means),
            host=settings.host,
            port=settings.port,
            http=BoundedHttp,
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            ws="none",
        )
        server = _Server(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.end)
        task = asyncio.create_task(server.serve(), name="http")
        await _started(server, task)
        mark_ready(settings)
        log.info("hub.started", url=settings.public_url, port=settings.port)
        await task
        log.info("hub.stopped")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they raise the signal again, and the process would die with its means open."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """Take no more requests, finish those under way within the time set for it."""
        self.should_exit = True


async def _started(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.02)
    if task.done():
        task.result()


@contextlib.asynccontextmanager
async def open_http_means(settings: Settings) -> AsyncIterator[HttpMeans]:
    """Open everything that the HTTP process needs; ready for requests when entered."""
    async with open_means("hub", settings, connections_per_host=_CONNECTIONS_PER_HOST) as means:
        rpc = Rpc(
            means.bootstrap,
            means.topics,
            means.swift,
            slot=random.randbelow(1 << 16),
            most_waiting=settings.waiting_requests,
        )
        await rpc.start()
        try:
            yield HttpMeans(**vars(means), rpc=rpc)
        finally:
            await rpc.stop()


class HubApp(FastAPI):
    """The application. What is below /ocpi goes straight to its door: the framework's layers would cost it a sixth more."""

    def __init__(self, door: Door) -> None:
        super().__init__(
            title="OCPI roaming hub", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
        )
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] == "/ocpi" or scope["path"].startswith("/ocpi/")):
            await self._door(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def build_app(means: HttpMeans) -> FastAPI:
    """The application: OCPI below /ocpi, operators at /admin/v1, /health and /metrics."""
    settings = means.settings
    registrar = Registrar(
        store=means.store,
        secrets=means.secrets,
        keeper=means.keeper,
        partners=means.partners,
        identity=Identity(settings.hub_party, settings.party_name, settings.public_url),
    )
    gate = Gate(means.keeper, means.secrets, registrar.retire_replaced_tokens)
    getall = GetAll(means.store, settings)
    ingress = Ingress(
        settings=settings,
        gate=gate,
        keeper=means.keeper,
        topics=means.topics,
        durable=means.durable,
        rpc=means.rpc,
        outcomes=means.outcomes,
        local={Scenario.GET_ALL: getall.list_all, Scenario.HELD: getall.show_held},
    )
    app = HubApp(Door(gate, _configuration(means, registrar), ingress))
    app.include_router(
        admin_router(
            AdminContext(means.store, means.secrets, settings, means.topics, registrar, means.keeper, means.durable),
            settings.read_operator_token(),
        )
    )
    app.router.routes.append(Route("/health/live", _live))
    app.router.routes.append(Route("/health/ready", _ready(means)))
    app.router.routes.append(Route("/metrics", _metrics))
    return app


def _configuration(means: HttpMeans, registrar: Registrar) -> dict[str, Configuration]:
    """The handlers of the configuration modules by their path below /ocpi."""
    settings = means.settings
    versions = Versions(settings.ocpi_url)
    handlers: dict[str, Configuration] = {"versions": versions.list_versions}
    for version in OFFERED:
        url = f"{settings.ocpi_url}/{version}/{HUB_CLIENT_INFO}"
        client_info = HubClientInfo(means.store, means.keeper, url=url, page_limit=settings.page_limit)
        handlers[version] = versions.show_details
        handlers[f"{version}/{CREDENTIALS}"] = Credentials(registrar, version).handle
        handlers[f"{version}/{HUB_CLIENT_INFO}"] = client_info.handle
    return handlers


async def _live(_: Request) -> Response:
    return JSONResponse({"status": "live"})


def _ready(means: HttpMeans) -> Callable[[Request], Any]:
    async def ready(_: Request) -> Response:
        if means.keeper.age_seconds > OLDEST_DIRECTORY_SECONDS:
            return JSONResponse({"status": "not ready", "reason": "the directory is too old: Postgres is away"}, 503)
        return JSONResponse({"status": "ready", "directory_version": means.keeper.current.version})

    return ready


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
