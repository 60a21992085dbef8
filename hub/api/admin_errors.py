"""What every route of the admin API does around its own work: admit the operator first, answer every error as JSON.

It is a route class, so the API is whole wherever its router is included.
"""

import hmac
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from hub.errors import HubError, LogUnavailable, StoreUnavailable
from hub.operations.declined import Declined, Reason
from hub.telemetry import get_logger

log = get_logger(__name__)

_SCHEME: Final = "bearer "
_HTTP: Final[Mapping[Reason, int]] = {
    Reason.NOT_FOUND: 404,
    Reason.INVALID: 422,
    Reason.CONFLICT: 409,
    Reason.PARTNER_FAILED: 502,
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OperationDeclinedError(Exception):
    """Carries a `Declined` from a handler to the answer."""

    def __init__(self, declined: Declined) -> None:
        super().__init__(declined.message)
        self.declined = declined


def error_answer(http_status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The one shape of an error."""
    return JSONResponse({"error": {"code": code, "message": message}}, http_status, headers)


def guarded_route(operator_token: str) -> type[APIRoute]:
    """The class of routes that open to this token only."""

    class GuardedRoute(APIRoute):
        """Checks the token before it reads anything else of the request."""

        def get_route_handler(self) -> Handler:
            """The handler with its guard and its errors around it."""
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                if not shows_token(request.headers.get("authorization", ""), operator_token):
                    return error_answer(
                        401,
                        "not_authorised",
                        "the operator token is missing or wrong",
                        {"WWW-Authenticate": "Bearer"},
                    )
                return await _answered(handle, request)

            return guarded

    return GuardedRoute


def shows_token(authorization: str, operator_token: str) -> bool:
    """Whether an Authorization header holds the operator token; takes the same time wherever they differ."""
    if not operator_token or authorization[: len(_SCHEME)].lower() != _SCHEME:
        return False
    return hmac.compare_digest(authorization[len(_SCHEME) :].strip().encode(), operator_token.encode())


async def _answered(handle: Handler, request: Request) -> Response:
    try:
        return await handle(request)
    except OperationDeclinedError as error:
        return error_answer(_HTTP[error.declined.reason], error.declined.reason, error.declined.message)
    except RequestValidationError as error:
        return error_answer(422, Reason.INVALID, _first_fault(error))
    except HTTPException as error:
        return error_answer(error.status_code, "refused", str(error.detail), error.headers)
    except (StoreUnavailable, LogUnavailable) as error:
        log.warning("admin.unavailable", path=request.url.path, error=str(error))
        return error_answer(503, "unavailable", str(error), {"Retry-After": "2"})
    except HubError as error:
        return error_answer(409, Reason.CONFLICT, str(error))
    except Exception:
        log.exception("admin.failed", path=request.url.path)
        return error_answer(500, "internal", "the hub has met a fault of its own; its log says more")


def _first_fault(error: RequestValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"})
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
