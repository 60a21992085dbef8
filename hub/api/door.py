"""The one ASGI application below `/ocpi`: configuration modules by name, everything else to the ingress.

Paths are split here and not by the framework's router, so that slash forms are all accepted and nothing is ever redirected
(D-22, AM-44).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.api.answers import MessageIds, answer, refuse
from hub.api.auth import Caller, Gate
from hub.errors import StoreUnavailable
from hub.ocpi.headers import text_headers
from hub.ocpi.modules import CREDENTIALS, segments
from hub.ocpi.status import INTERNAL, STORE_UNAVAILABLE, URL_UNKNOWN, Refusal
from hub.telemetry import REQUESTS_REFUSED, get_logger

log = get_logger(__name__)

Configuration = Callable[[Request, Caller], Awaitable[Response]]

_RETRY_AFTER_SECONDS: Final = 5


class Door:
    """Answers every OCPI request. `configuration` holds the handlers by their path: `versions`, `2.2.1`, `2.2.1/credentials` …

    Versions, details and credentials open to registration tokens too, nothing else does (AU-07).
    """

    def __init__(self, gate: Gate, configuration: Mapping[str, Configuration], ingress: ASGIApp) -> None:
        self._gate = gate
        self._configuration = configuration
        self._ingress = ingress
        self._open = frozenset(path for path in configuration if "/" not in path or path.endswith(f"/{CREDENTIALS}"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one request."""
        parts = segments(scope["raw_path"].decode("latin-1"))[1:]
        if len(parts) >= 3:
            await self._ingress(scope, receive, send)
            return
        response = await self._configure(Request(scope, receive), "/".join(parts))
        await response(scope, receive, send)

    async def _configure(self, request: Request, path: str) -> Response:
        headers = text_headers(request.scope["headers"])
        ids = MessageIds.of(headers)
        opens_to_all = path in self._open
        try:
            caller = await (self._gate.admit(headers) if opens_to_all else self._gate.admit_registered(headers))
            if isinstance(caller, Refusal):
                REQUESTS_REFUSED.labels(str(caller.status.ocpi)).inc()
                return refuse(caller, ids)
            handler = self._configuration.get(path)
            if handler is None:
                return refuse(Refusal(URL_UNKNOWN, f"There is nothing at /ocpi/{path}"), ids)
            return await handler(request, caller)
        except StoreUnavailable as error:
            log.warning("configuration.failed", path=path, error=str(error))
            status = STORE_UNAVAILABLE
            return refuse(Refusal(status, status.message, retry_after_seconds=_RETRY_AFTER_SECONDS), ids)
        except ClientDisconnect:
            return answer(INTERNAL, ids)
        except Exception:
            log.exception("configuration.failed", path=path)
            return answer(INTERNAL, ids)
