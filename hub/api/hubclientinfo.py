"""The hub's Sender interface of hubclientinfo: the parties that this caller may exchange data with.

Source: OCPI 2.2.1, mod_hub_client_info. Rules HC-01, HC-02, HC-06 … HC-11, HC-20, AM-37, AM-38; decision D-18.
"""

from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from hub.api.answers import MessageIds, answer, refuse
from hub.api.auth import Caller
from hub.ocpi.headers import text_headers
from hub.ocpi.paging import LIMIT, LINK, TOTAL_COUNT, Page, read_page
from hub.ocpi.status import METHOD_NOT_OFFERED, SUCCESS, Refusal
from hub.routing.client_info import client_info, visible_to
from hub.store import platforms
from hub.store.directory import DirectoryKeeper
from hub.store.pool import Store


class HubClientInfo:
    """GET of the list; nothing else is offered (HC-10)."""

    def __init__(self, store: Store, keeper: DirectoryKeeper, *, url: str, page_limit: int) -> None:
        self._store = store
        self._keeper = keeper
        self._url = url
        self._page_limit = page_limit

    async def handle(self, request: Request, caller: Caller) -> Response:
        """One page of what this caller may see, parties of the oldest platform first."""
        ids = MessageIds.of(text_headers(request.scope["headers"]))
        if request.method != "GET":
            return refuse(Refusal(METHOD_NOT_OFFERED, "only GET is offered here", allow=("GET",)), ids)
        query = dict(parse_qsl(request.url.query, keep_blank_values=True))
        page = read_page(query, self._page_limit)
        if isinstance(page, Refusal):
            return refuse(page, ids)
        async with self._store.connection() as connection:
            standings = await platforms.role_standings(connection)
        visible = visible_to(self._keeper.current, caller.platform.platform_id, standings)
        seen = [standing for standing in visible if _within(standing.last_updated, page)]
        part = seen[page.offset : page.offset + page.limit]
        headers = {TOTAL_COUNT: str(len(seen)), LIMIT: str(self._page_limit)}
        end = page.offset + len(part)
        if part and end < len(seen):
            headers[LINK] = f'<{self._url}?{urlencode({**query, "offset": end, "limit": page.limit})}>; rel="next"'
        return answer(SUCCESS, ids, data=[client_info(standing).value() for standing in part], headers=headers)


def _within(moment: datetime, page: Page) -> bool:
    return (page.date_from is None or moment >= page.date_from) and (page.date_to is None or moment < page.date_to)
