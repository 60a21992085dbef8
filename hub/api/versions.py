"""GET versions and GET version details: what the hub offers to this caller.

Source: OCPI 2.2.1, version_information_endpoint. Rules VE-01, VE-03 … VE-06, VE-11, VE-13, VE-14, VE-18; decision D-16.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from hub.api.answers import MessageIds, answer, refuse
from hub.api.auth import Caller
from hub.model.directory import PlatformStatus, TokenKind
from hub.ocpi.headers import text_headers
from hub.ocpi.modules import CREDENTIALS, HUB_CLIENT_INFO, Interface, interfaces
from hub.ocpi.status import METHOD_NOT_OFFERED, SUCCESS, Refusal
from hub.ocpi.versions import OFFERED


class Versions:
    """The two version endpoints. Every platform gets both interfaces of every module: it may play any role (VE-06)."""

    def __init__(self, ocpi_url: str, offered: Sequence[str] = OFFERED) -> None:
        self._ocpi_url = ocpi_url
        self._offered = offered

    async def list_versions(self, request: Request, caller: Caller) -> Response:
        """The versions that this partner and the hub agreed on: all that the hub has, before it chose one (D-16)."""
        ids = MessageIds.of(text_headers(request.scope["headers"]))
        if request.method != "GET":
            return _only_get(ids)
        versions = [{"version": version, "url": f"{self._ocpi_url}/{version}"} for version in self._agreed(caller)]
        return answer(SUCCESS, ids, data=versions)

    async def show_details(self, request: Request, caller: Caller) -> Response:
        """The endpoints of the version that the path names."""
        ids = MessageIds.of(text_headers(request.scope["headers"]))
        if request.method != "GET":
            return _only_get(ids)
        version = request.url.path.strip("/").rpartition("/")[2]
        return answer(SUCCESS, ids, data={"version": version, "endpoints": self.endpoints(version)})

    def _agreed(self, caller: Caller) -> Sequence[str]:
        agreed = caller.platform.version
        is_registered = caller.token.kind is TokenKind.ACCESS and caller.platform.status is PlatformStatus.CONNECTED
        return (agreed,) if is_registered and agreed is not None and agreed in self._offered else self._offered

    def endpoints(self, version: str) -> list[dict[str, str]]:
        """Every endpoint of a version: credentials once, as SENDER (VE-05), the functional modules with both roles."""
        base = f"{self._ocpi_url}/{version}"
        own = [(CREDENTIALS, CREDENTIALS), (HUB_CLIENT_INFO, HUB_CLIENT_INFO)]
        return [
            {"identifier": module, "role": Interface.SENDER.value, "url": f"{base}/{path}"} for module, path in own
        ] + [
            {"identifier": module, "role": interface.value, "url": f"{base}/{interface.lower()}/{module}"}
            for module, interface in interfaces(version)
        ]


def _only_get(ids: MessageIds) -> Response:
    return refuse(Refusal(METHOD_NOT_OFFERED, "only GET is offered here", allow=("GET",)), ids)
