"""The modules that are about the connection: versions, version details, credentials. None of them uses routing headers."""

from typing import Any, Final

from infra.dev.partner.connection import Standing
from infra.dev.partner.handshake import HandshakeError, accept, credentials
from infra.dev.partner.platform import Call, Handlers, Platform
from infra.dev.partner.wire import Reply, accepted, refused
from infra.dev.partner.words import DETAILS_PATH, VERSION, endpoint_path

_NEED_REGISTRATION: Final = {"Allow": "GET, POST"}
_ARE_REGISTERED: Final = {"Allow": "GET, PUT, DELETE"}


async def get_versions(platform: Platform, call: Call) -> Reply:
    """List the one version, or its endpoints."""
    if not call.segments:
        return accepted([{"version": VERSION, "url": platform.base_url + DETAILS_PATH}])
    endpoints = [
        {"identifier": module, "role": interface.value, "url": platform.base_url + endpoint_path(module, interface)}
        for module, interface in sorted(platform.offered())
    ]
    return accepted({"version": VERSION, "endpoints": endpoints})


async def get_credentials(platform: Platform, call: Call) -> Reply:
    """Show our credentials with the token that the caller just used."""
    return accepted(credentials(platform, call.token))


async def post_credentials(platform: Platform, call: Call) -> Reply:
    """Register the caller."""
    if _is_registered(platform, call):
        return refused(2000, "already registered: use PUT", 405, _ARE_REGISTERED)
    return await _accept(platform, call)


async def put_credentials(platform: Platform, call: Call) -> Reply:
    """Renew the registration."""
    if not _is_registered(platform, call):
        return refused(2000, "not registered: use POST", 405, _NEED_REGISTRATION)
    return await _accept(platform, call)


async def delete_credentials(platform: Platform, call: Call) -> Reply:
    """End the registration. A new one needs a new invitation."""
    if not _is_registered(platform, call):
        return refused(2000, "not registered", 405, _NEED_REGISTRATION)
    platform.connection.end()
    return accepted()


def _is_registered(platform: Platform, call: Call) -> bool:
    bearer = platform.connection.standing(call.headers.get("authorization"))
    return bearer is not None and bearer[0] is Standing.REGISTERED


async def _accept(platform: Platform, call: Call) -> Reply:
    posted: Any = call.json()
    if not isinstance(posted, dict):
        return refused(2001, "credentials are an object")
    try:
        return accepted(await accept(platform, posted))
    except HandshakeError as error:
        return refused(error.status_code, str(error)[:255])


HANDLERS: Final[Handlers] = {
    ("versions", None): {"GET": get_versions},
    ("credentials", None): {
        "GET": get_credentials,
        "POST": post_credentials,
        "PUT": put_credentials,
        "DELETE": delete_credentials,
    },
}
