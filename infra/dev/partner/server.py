"""The door: every inbound request is read, recorded, checked, perhaps met by a fault, and answered.

The low-level aiohttp server is used because it shows the path byte for byte and costs little. Closing the door
(`down`) keeps the port reserved without listening, so that connections are refused and the same port opens again.
"""

import asyncio
import errno
import logging
import socket
import time
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from infra.dev.partner import commands, configuration, receiving, serving
from infra.dev.partner.client import sha256
from infra.dev.partner.connection import Standing
from infra.dev.partner.faults import ActiveFault, fault_answer
from infra.dev.partner.platform import Call, Handlers, Platform
from infra.dev.partner.records import Record, packed_headers
from infra.dev.partner.rules import party_of, request_deviations
from infra.dev.partner.wire import NotJsonError, Reply, refused
from infra.dev.partner.words import FUNCTIONAL, locate

_log: Final = logging.getLogger(__name__)
MOST_BODY_BYTES: Final = 64 * 1024 * 1024
HANDLERS: Final[Handlers] = {
    **configuration.HANDLERS,
    **receiving.HANDLERS,
    **serving.HANDLERS,
    **commands.HANDLERS,
}


class DroppedError(Exception):
    """The connection is to be cut without an answer."""


class Door:
    """The platform's OCPI listener."""

    def __init__(self, platform: Platform, port: int) -> None:
        self._platform = platform
        self._full = platform.options.record == "full"
        self._offered = platform.offered()
        self._server: asyncio.Server | None = None
        self._protocols: web.Server | None = None
        self._reserved: socket.socket | None = None
        self._address: tuple[str, int] = (platform.options.host, port)

    @property
    def port(self) -> int:
        """Give the port that is, or was, listened on."""
        return self._address[1]

    async def open(self) -> None:
        """Listen. On a free port the first time where the options say 0, always on the same one after that.

        Raises:
            OSError: the address cannot be had.
        """
        if self._server is not None:
            return
        sock = self._reserved or _bound(self._address)
        self._reserved = None
        self._address = (self._address[0], sock.getsockname()[1])
        self._protocols = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._server = await asyncio.get_running_loop().create_server(self._protocols, sock=sock, backlog=1024)

    async def close(self, *, reserve: bool) -> None:
        """Stop listening and cut all connections. `reserve` keeps the port without listening."""
        if self._server is None or self._protocols is None:
            return
        self._server.close()
        for connection in self._protocols.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._protocols.shutdown(0.01)
        self._server = self._protocols = None
        if reserve:
            self._reserved = await _bound_again(self._address)

    def release(self) -> None:
        """Give a reserved port back."""
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        at = time.time()
        if (request.content_length or 0) > MOST_BODY_BYTES:
            return web.Response(status=413)
        body = await request.content.read()
        call = self._call(request, body)
        record = self._record(request, call, at)
        try:
            reply = await self._reply(call, at)
        except DroppedError:
            record.outcome = "dropped"
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        except asyncio.CancelledError:
            record.outcome = "caller gone"
            raise
        record.answered(time.time(), reply.http_status, reply.status_code)
        return self._response(call, reply)

    def _call(self, request: web.BaseRequest, body: bytes) -> Call:
        path, _, query = request.raw_path.partition("?")
        target = locate(path)
        headers = {name.decode().lower(): value.decode("utf-8", "replace") for name, value in request.raw_headers}
        to_party = party_of(headers, "ocpi-to-country-code", "ocpi-to-party-id")
        return Call(
            method=request.method,
            module=target.module if target else "unknown",
            interface=target.interface if target else None,
            segments=target.segments if target else (),
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            headers=headers,
            url=request.raw_path,
            body=body,
            from_party=party_of(headers, "ocpi-from-country-code", "ocpi-from-party-id"),
            to_party=to_party,
            receiver=self._platform.hosted(to_party) or self._platform.parties[0],
        )

    def _record(self, request: web.BaseRequest, call: Call, at: float) -> Record:
        path, _, query = call.url.partition("?")
        record = Record(
            at=at,
            method=call.method,
            module=call.module,
            interface=call.interface,
            path=path,
            query=query,
            headers=packed_headers(request.raw_headers),
            body=call.body if self._full and call.body else None,
            body_bytes=len(call.body),
            body_sha256=sha256(call.body) if call.body else None,
            correlation_id=call.headers.get("x-correlation-id"),
        )
        self._platform.records.add(record)
        return record

    async def _reply(self, call: Call, at: float) -> Reply:
        deviations = request_deviations(self._platform, call, at) if self._full and call.module != "unknown" else []
        for deviation in deviations:
            self._platform.deviations.add(deviation)
        met = self._platform.faults.meet(call.module, call.method)
        if met.deciding is not None:
            return await self._misbehave(call, met.deciding)
        if met.strict and deviations:
            return refused(2001, f"{deviations[0].path}: {deviations[0].message}")
        reply = await self._serve(call)
        if met.delay_ms:
            await asyncio.sleep(met.delay_ms / 1000)
        return reply

    async def _misbehave(self, call: Call, fault: ActiveFault) -> Reply:
        order = fault.order
        if order.fault == "hang":
            reply = await self._serve(call) if order.takes_effect else None
            await fault.released.wait()
            return reply or await self._serve(call)
        if order.takes_effect:
            await self._serve(call)
        if order.fault == "drop":
            raise DroppedError
        return fault_answer(order)

    async def _serve(self, call: Call) -> Reply:
        if call.module == "unknown":
            return refused(2001, "nothing is here", http_status=404)
        bearer = self._platform.connection.standing(call.headers.get("authorization"))
        if bearer is None or (bearer[0] is Standing.INVITED and call.module in FUNCTIONAL):
            return refused(2001, "the credentials token is missing or not known", http_status=401)
        call.token = bearer[1]
        if call.interface is not None and (call.module, call.interface) not in self._offered:
            return refused(2001, "this module is not offered", http_status=404)
        handlers = HANDLERS.get((call.module, call.interface), {})
        handler = handlers.get(call.method)
        if handler is None:
            return refused(2001, "method not offered", 405, {"Allow": ", ".join(sorted(handlers))})
        try:
            return await handler(self._platform, call)
        except NotJsonError as error:
            return refused(2001, f"not JSON: {error}"[:255], http_status=400)
        except Exception:
            _log.exception("a request could not be handled: %s %s", call.method, call.module)
            return refused(3000, "the simulator failed on this request", http_status=500)

    def _response(self, call: Call, reply: Reply) -> web.Response:
        headers: dict[str, Any] = dict(reply.headers)
        for name in ("X-Request-ID", "X-Correlation-ID"):
            if name.lower() in call.headers:
                headers[name] = call.headers[name.lower()]
        if call.module in FUNCTIONAL:
            headers["OCPI-from-country-code"] = call.receiver.country_code
            headers["OCPI-from-party-id"] = call.receiver.party_id
            if call.from_party is not None:
                headers["OCPI-to-country-code"] = call.from_party.country_code
                headers["OCPI-to-party-id"] = call.from_party.party_id
        if reply.content_type is not None:
            headers["Content-Type"] = reply.content_type
        return web.Response(status=reply.http_status, body=reply.body or None, headers=headers)


def _bound(address: tuple[str, int]) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind(where)
    except OSError:
        sock.close()
        raise
    return sock


async def _bound_again(address: tuple[str, int]) -> socket.socket:
    deadline = time.monotonic() + 2
    while True:
        try:
            return _bound(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.01)
