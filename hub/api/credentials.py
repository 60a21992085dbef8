"""The credentials endpoint of a version, with the hub as Receiver.

Source: OCPI 2.2.1, credentials. Rules CR-06 … CR-19, AM-03, AM-07, AM-22, AM-23.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hub.api.answers import MessageIds, answer, refuse
from hub.api.auth import Caller
from hub.model.directory import TokenKind
from hub.ocpi.headers import text_headers
from hub.ocpi.status import BODY_TOO_LARGE, METHOD_NOT_OFFERED, NOT_JSON, SUCCESS, Refusal
from hub.registration.calls import BOM
from hub.registration.register import Registrar

_LARGEST_BODY_BYTES: Final = 262_144


class Credentials:
    """GET, POST, PUT and DELETE of the credentials between a platform and the hub, for one version."""

    def __init__(self, registrar: Registrar, version: str) -> None:
        self._registrar = registrar
        self._version = version

    async def handle(self, request: Request, caller: Caller) -> Response:
        """Answer one request; the platform's row and token kind were found by its token."""
        ids = MessageIds.of(text_headers(request.scope["headers"]))
        match request.method:
            case "GET":
                return answer(SUCCESS, ids, data=self._registrar.identity.credentials(caller.presented))
            case "POST" | "PUT":
                return await self._register(request, caller, ids)
            case "DELETE":
                refusal = await self._registrar.end(caller.platform, caller.token.kind)
                return answer(SUCCESS, ids) if refusal is None else refuse(refusal, ids)
            case method:
                return refuse(_not_offered(method, caller.token.kind), ids)

    async def _register(self, request: Request, caller: Caller, ids: MessageIds) -> Response:
        body = await _read(request)
        if body is None:
            too_large = Refusal(BODY_TOO_LARGE, f"The body is larger than {_LARGEST_BODY_BYTES} bytes")
            return refuse(too_large, ids, headers={"Connection": "close"})
        try:
            value = msgspec.json.decode(body.removeprefix(BOM))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return refuse(Refusal(NOT_JSON, f"The body is not valid JSON: {error}"), ids)
        result = await self._registrar.receive(
            caller.platform, caller.token.kind, caller.token_hash, request.method, self._version, value
        )
        return refuse(result, ids) if isinstance(result, Refusal) else answer(SUCCESS, ids, data=result)


def _not_offered(method: str, kind: TokenKind) -> Refusal:
    offered = ("GET", "PUT", "DELETE") if kind is TokenKind.ACCESS else ("GET", "POST")
    return Refusal(METHOD_NOT_OFFERED, f"{method} is not offered here, only {', '.join(offered)}", allow=offered)


async def _read(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY_BYTES:
            return None
    return bytes(body)
