"""The control API: how a person or a test tells the platform what to do, and asks what it saw.

JSON over HTTP on loopback, without a password: it answers to this machine only, and to no web page (a request with an
Origin, or for another host name, is refused). A wrong order is 400, one that the connection does not allow 409, a
handshake that failed 502.
"""

import asyncio
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

import msgspec
from aiohttp import web

from infra.dev.partner import bulk, handshake, sending
from infra.dev.partner.client import sha256
from infra.dev.partner.commands import expected_result
from infra.dev.partner.faults import FaultOrder
from infra.dev.partner.load import identify
from infra.dev.partner.platform import Behaviour, Platform
from infra.dev.partner.server import Door
from infra.dev.partner.store import Held
from infra.dev.partner.wire import NotJsonError, decode, encode
from infra.dev.partner.words import VERSIONS_PATH, Party

MOST_ORDER_BYTES: Final = 512 * 1024 * 1024


class RegisterOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Where to register, and with which one-time token."""

    versions_url: str
    token: str


class Control:
    """The routes of the control API over one platform and its door."""

    def __init__(self, platform: Platform, door: Door) -> None:
        self._platform = platform
        self._door = door

    def application(self) -> web.Application:
        """Make the application to serve."""
        application = web.Application(middlewares=[_guard], client_max_size=MOST_ORDER_BYTES)
        for method, path, handler in (
            ("POST", "/invite", self.invite),
            ("POST", "/register", self.register),
            ("POST", "/unregister", self.unregister),
            ("POST", "/rotate", self.rotate),
            ("POST", "/send", self.send),
            ("POST", "/command", self.command),
            ("GET", "/results/{id}", self.result),
            ("POST", "/push_all", self.push_all),
            ("POST", "/pull", self.pull),
            ("POST", "/own", self.add_own),
            ("GET", "/own/{module}", self.own),
            ("DELETE", "/own/{module}", self.clear_own),
            ("GET", "/store/{module}", self.store),
            ("DELETE", "/store/{module}", self.clear_store),
            ("GET", "/received", self.received),
            ("GET", "/callbacks", self.callbacks),
            ("GET", "/deviations", self.deviations),
            ("POST", "/reset_record", self.reset_record),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.order_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("GET", "/behaviour", self.behaviour),
            ("POST", "/behaviour", self.change_behaviour),
            ("GET", "/state", self.state),
        ):
            application.router.add_route(method, path, _answering(handler))
        return application

    async def invite(self, _request: web.Request) -> Any:
        """Make a new one-time token for somebody who registers here."""
        if self._platform.connection.peer is not None:
            raise LookupError("already registered; unregister first")
        token = self._platform.connection.invite()
        return {"versions_url": self._platform.base_url + VERSIONS_PATH, "token": token}

    async def register(self, request: web.Request) -> Any:
        """Register at another platform."""
        order = msgspec.json.decode(await request.read(), type=RegisterOrder)
        await handshake.register(self._platform, order.versions_url, order.token)
        return self._platform.connection.shown()

    async def unregister(self, _request: web.Request) -> Any:
        """End the registration."""
        await handshake.unregister(self._platform)
        return self._platform.connection.shown()

    async def rotate(self, _request: web.Request) -> Any:
        """Renew both tokens."""
        await handshake.rotate(self._platform)
        return self._platform.connection.shown()

    async def send(self, request: web.Request) -> Any:
        """Make one request."""
        return await sending.send(self._platform, msgspec.json.decode(await request.read(), type=sending.SendOrder))

    async def command(self, request: web.Request) -> Any:
        """Give a command."""
        order = msgspec.json.decode(await request.read(), type=sending.CommandOrder)
        return await sending.command(self._platform, order)

    async def result(self, request: web.Request) -> Any:
        """Give the result with this id, waiting `wait_s` for it; null where it did not come."""
        waiting = expected_result(self._platform, request.match_info["id"])
        return {"result": await sending.result_of(waiting, float(request.query.get("wait_s", 0)))}

    async def push_all(self, request: web.Request) -> Any:
        """Push all own objects of a module."""
        return await bulk.push_all(self._platform, msgspec.json.decode(await request.read(), type=bulk.PushOrder))

    async def pull(self, request: web.Request) -> Any:
        """Read a list."""
        return await bulk.pull(self._platform, msgspec.json.decode(await request.read(), type=bulk.PullOrder))

    async def add_own(self, request: web.Request) -> Any:
        """Take one object or a list of them as its own. Nothing is sent."""
        given = await request.read()
        raws = msgspec.json.decode(given, type=list[msgspec.Raw]) if given.lstrip()[:1] == b"[" else [given]
        named = [(*identify(bytes(raw)), bytes(raw)) for raw in raws]
        for module, name, raw in named:
            if self._platform.hosted(Party(*name.parts[:2])) is None:
                raise ValueError(f"{'/'.join(name.parts)} belongs to no party of this platform")
            self._platform.own.put(module, name, raw)
        return {"count": len(named)}

    async def own(self, request: web.Request) -> Any:
        """Show its own objects."""
        held = self._platform.own.held(request.match_info["module"])
        return [_shown(one, objects=request.query.get("objects") != "false") for one in held]

    async def clear_own(self, request: web.Request) -> Any:
        """Forget its own objects of a module. Nothing is sent."""
        return {"count": self._platform.own.clear(request.match_info["module"])}

    async def store(self, request: web.Request) -> Any:
        """Show what it was sent and keeps, of one receiving party where `party` names it."""
        party = request.query.get("party")
        return [
            _shown(one, objects=request.query.get("objects") != "false")
            for one in self._platform.received.held(request.match_info["module"])
            if party is None or one.name.receiver == Party.parse(party).key
        ]

    async def clear_store(self, request: web.Request) -> Any:
        """Lose what it was sent of a module, as a platform restored from an old backup has."""
        return {"count": self._platform.received.clear(request.match_info["module"])}

    async def received(self, request: web.Request) -> Any:
        """Show the record of inbound requests, oldest first."""
        query = request.query
        found = [
            record.shown(bodies=query.get("bodies") != "false")
            for record in self._platform.records.since(float(query.get("since", 0)))
            if record.module == query.get("module", record.module)
            and record.method == query.get("method", record.method).upper()
            and record.correlation_id == query.get("correlation_id", record.correlation_id)
        ]
        limit = int(query.get("limit", 0))
        return {"total": self._platform.records.total, "items": found[-limit:] if limit else found}

    async def callbacks(self, _request: web.Request) -> Any:
        """Show the results that it posted and what became of them."""
        return [asdict(callback) for callback in self._platform.callbacks]

    async def deviations(self, _request: web.Request) -> Any:
        """Show what was not as OCPI has it."""
        return self._platform.deviations.shown()

    async def reset_record(self, _request: web.Request) -> Any:
        """Forget records, callbacks and deviations; the store stays."""
        self._platform.records.clear()
        self._platform.callbacks.clear()
        self._platform.deviations.clear()
        return {}

    async def faults(self, _request: web.Request) -> Any:
        """Show the faults that are on."""
        return self._platform.faults.shown()

    async def order_fault(self, request: web.Request) -> Any:
        """Switch a fault on or off."""
        given = decode(await request.read())
        if isinstance(given, dict) and isinstance(given.get("fault"), int):
            given["fault"] = str(given["fault"])
        order = msgspec.convert(given, FaultOrder)
        order.check()
        self._platform.faults.order(order)
        return await self._settled()

    async def clear_faults(self, _request: web.Request) -> Any:
        """Switch all faults off."""
        self._platform.faults.clear()
        return await self._settled()

    async def behaviour(self, _request: web.Request) -> Any:
        """Show how it answers what needs a decision."""
        return msgspec.to_builtins(self._platform.behaviour)

    async def change_behaviour(self, request: web.Request) -> Any:
        """Change some of that."""
        given = decode(await request.read())
        merged = msgspec.to_builtins(self._platform.behaviour) | given
        self._platform.behaviour = msgspec.convert(merged, Behaviour)
        return merged

    async def state(self, _request: web.Request) -> Any:
        """Show who it is, whom it is connected to, and how much it holds."""
        platform = self._platform
        return {
            "parties": [str(party) for party in platform.parties],
            "roles": sorted(platform.roles),
            "versions_url": platform.base_url + VERSIONS_PATH,
            **platform.connection.shown(),
            "own": platform.own.modules(),
            "store": platform.received.modules(),
            "received": platform.records.total,
            "deviations": dict(platform.deviations.counts),
            "unknown_fields": dict(platform.deviations.unknown_fields.most_common(100)),
            "faults": platform.faults.shown(),
        }

    async def _settled(self) -> Any:
        if self._platform.faults.is_down():
            await self._door.close(reserve=True)
        else:
            await self._door.open()
        return self._platform.faults.shown()


def _shown(held: Held, *, objects: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "receiver": held.name.receiver,
        "name": list(held.name.parts),
        "sha256": sha256(held.current),
        "put_sha256": {"/".join(part): sha256(raw) for part, raw in held.raws.items()},
    }
    return shown | {"object": msgspec.Raw(held.current)} if objects else shown


def _answering(handler: Callable[[web.Request], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            status, value = 200, await handler(request)
        except handshake.HandshakeError as error:
            status, value = 502, {"error": str(error)}
        except LookupError as error:
            status, value = 409, {"error": str(error)}
        except (msgspec.DecodeError, NotJsonError, ValueError, TypeError, binascii.Error) as error:
            status, value = 400, {"error": str(error)}
        return web.Response(status=status, body=encode(value), content_type="application/json")

    return answer


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    name = request.host.rpartition(":")[0] or request.host
    if "Origin" in request.headers or name not in ("127.0.0.1", "localhost", "[::1]"):
        return web.Response(status=403)
    return await handler(request)


async def listen(application: web.Application, port: int) -> tuple[web.AppRunner, int]:
    """Serve the control API on loopback and say on which port.

    Raises:
        OSError: the port is taken.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError:
        await runner.cleanup()
        raise
    await asyncio.sleep(0)
    return runner, int(runner.addresses[0][1])
