"""GET All and the owner's look at the hub's copy: answered from the store, nobody is called.

Objects that go to all are listed for those who may see them, Sessions and CDRs for the party that they were addressed to.

Source: OCPI 2.2.1, transport_and_format § GET All via Hubs, § Pagination. Rules GA-01 … GA-10, PG-01 … PG-07, PG-11,
OB-05; decisions D-04, D-13, D-15, D-26, D-29.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import asyncpg
import msgspec
from starlette.background import BackgroundTask
from starlette.responses import Response

from hub.api.answers import answer, from_hub, refuse
from hub.api.ingress import Request
from hub.errors import StoreUnavailable
from hub.model.delivery import Receiver
from hub.model.directed import DIRECTED_MODULES
from hub.model.trace import trace_id
from hub.model.unit import Unit, assemble, key_of
from hub.ocpi.modules import Interface
from hub.ocpi.paging import CURSOR, LIMIT, LINK, TOTAL_COUNT, Cursor, read_cursor, read_page
from hub.ocpi.status import INVALID_PARAMETER, OBJECT_NOT_FOUND, STORE_UNAVAILABLE, SUCCESS, Refusal
from hub.routing.admit import url_owner
from hub.routing.incoming import Incoming
from hub.routing.open_keys import token_key
from hub.routing.visible import visible_owners
from hub.settings import Settings
from hub.store import directed, marks, units, units_page
from hub.store.directed import Inbox, InboxPart
from hub.store.pool import Connection, Store
from hub.store.units_page import Part, View
from hub.telemetry import GET_ALL_SECONDS, get_logger

log = get_logger(__name__)

HELD_MODULES: Final = frozenset({"locations", "tariffs", "tokens"})
_LISTED_SINCE: Final = frozenset({"sessions"})
"""The modules whose list has to be asked for with `date_from`; for CDRs it may be left out (PG-11)."""


class GetAll:
    """Serves what was pushed to all to those who may see it, and what was pushed to one party to that party."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    async def list_all(self, request: Request, incoming: Incoming) -> Response:
        """One page of a module's objects of all owners that the requester may see, or that it was addressed.

        The last page of a crawl that began at the first object and without dates does what a delivery of everything would have
        done: once it is sent, the requester's marks from before its first page are gone (D-13).
        """
        question = self._question(request, incoming)
        if isinstance(question, Refusal):
            return self._refuse(question, request, incoming)
        with GET_ALL_SECONDS.labels(request.module).time():
            try:
                async with self._store.connection() as connection:
                    began_at = await _began(connection, question)
                    part = await _read(connection, question)
            except StoreUnavailable:
                return self._refuse(_away(), request, incoming)
            data = [msgspec.Raw(_whole(found)) for found in part.objects]
        headers = {TOTAL_COUNT: str(part.total), LIMIT: str(self._settings.page_limit)}
        if part.has_more and part.objects:
            cursor = Cursor(part.last, began_at, question.scope)
            headers[LINK] = f'<{self._next_url(request, incoming.query, question.limit, cursor)}>; rel="next"'
        made = answer(SUCCESS, request.ids, data=data, headers=self._headers(request, incoming) | headers)
        if began_at is not None and not part.has_more:
            receiver = Receiver(request.caller.platform.platform_id, incoming.from_party.folded)
            made.background = BackgroundTask(self._clear_marks, receiver, request.module, began_at)
        log.debug(
            "list.answered",
            correlation_id=request.ids.correlation_id,
            trace_id=trace_id(request.traceparent),
            from_party=str(incoming.from_party),
            module=request.module,
            objects=len(data),
            total=part.total,
            is_last=not part.has_more,
        )
        return made

    async def _clear_marks(self, receiver: Receiver, module: str, moment: datetime) -> None:
        """Marks that stay are sent, which harms nobody: a failure is told and forgotten."""
        try:
            async with self._store.connection() as connection:
                await marks.clear_before(connection, receiver, module, moment)
        except (StoreUnavailable, asyncpg.PostgresError) as error:
            log.warning("marks.not_cleared", party=str(receiver.party), module=module, error=str(error))

    async def show_held(self, request: Request, incoming: Incoming) -> Response:
        """The hub's copy of an object, for its owner (D-29)."""
        owner = url_owner(incoming.match)
        assert owner is not None
        parameters = incoming.match.parameters
        tokens = token_key(parameters["token_uid"], incoming.query) if "token_uid" in parameters else ""
        key, _ = key_of(request.module, owner, parameters, tokens)
        try:
            async with self._store.connection() as connection:
                found = await units.read_root(connection, key.root)
        except StoreUnavailable:
            return self._refuse(_away(), request, incoming)
        raw = _part(found, key.evse_uid, parameters.get("connector_id"))
        if raw is None:
            return self._refuse(Refusal(OBJECT_NOT_FOUND, OBJECT_NOT_FOUND.message), request, incoming)
        return answer(SUCCESS, request.ids, data=msgspec.Raw(raw), headers=self._headers(request, incoming))

    def _question(self, request: Request, incoming: Incoming) -> "_Question | Refusal":
        module = request.module
        if module not in HELD_MODULES | DIRECTED_MODULES:
            return Refusal(INVALID_PARAMETER, f"{module} are not held by the hub: name the party in OCPI-to-*")
        page = read_page(incoming.query, self._settings.page_limit)
        if isinstance(page, Refusal):
            return page
        if module in _LISTED_SINCE and page.date_from is None:
            return Refusal(INVALID_PARAMETER, f"date_from: is required in a list of {module}")
        scope = f"{module} {incoming.from_party.folded}"
        cursor = read_cursor(incoming.query, scope)
        if isinstance(cursor, Refusal):
            return cursor
        platform_id = request.caller.platform.platform_id
        view: View | Inbox
        if module in DIRECTED_MODULES:
            view = Inbox(Receiver(platform_id, incoming.from_party), module, page.date_from, page.date_to)
        else:
            owners = visible_owners(request.directory, platform_id, incoming.from_party)
            view = View(module, owners, page.date_from, page.date_to)
        return _Question(view, scope, cursor, page.offset, page.limit)

    def _next_url(self, request: Request, query: Mapping[str, str], limit: int, cursor: Cursor) -> str:
        kept = {name: value for name, value in query.items() if name not in {"offset", CURSOR}}
        base = f"{self._settings.ocpi_url}/{request.version}/{Interface.SENDER.lower()}/{request.module}"
        return f"{base}?{urlencode({**kept, 'limit': limit, CURSOR: cursor.text()})}"

    def _headers(self, request: Request, incoming: Incoming) -> dict[str, str]:
        return from_hub(request.directory.hub_party, incoming.from_party)

    def _refuse(self, refusal: Refusal, request: Request, incoming: Incoming) -> Response:
        return refuse(refusal, request.ids, headers=self._headers(request, incoming))


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked for; with a cursor it goes on with a crawl."""

    view: View | Inbox
    scope: str
    cursor: Cursor | None
    offset: int
    limit: int

    @property
    def after(self) -> int:
        """The number of the last object that was seen."""
        return self.cursor.after if self.cursor else 0

    @property
    def leaves_out(self) -> bool:
        """Whether it says nothing about what the caller has of all: objects are left out on purpose, or go to nobody else."""
        view = self.view
        return isinstance(view, Inbox) or self.offset > 0 or view.date_from is not None or view.date_to is not None


async def _read(connection: Connection, question: _Question) -> Part | InboxPart:
    view, after, offset, limit = question.view, question.after, question.offset, question.limit
    if isinstance(view, Inbox):
        return await directed.read_part(connection, view, after=after, offset=offset, limit=limit)
    return await units_page.read_part(connection, view, after=after, offset=offset, limit=limit)


def _whole(found: tuple[Unit, ...] | bytes) -> bytes:
    return found if isinstance(found, bytes) else assemble(found[0], found[1:], roll_up=True)


async def _began(connection: Connection, question: _Question) -> datetime | None:
    """When the crawl began that this page belongs to, if it shows everything; a cursor can not put that into the future."""
    if question.leaves_out or (question.cursor is not None and question.cursor.began_at is None):
        return None
    now = await units_page.moment_before(connection)
    return now if question.cursor is None or question.cursor.began_at is None else min(now, question.cursor.began_at)


def _away() -> Refusal:
    return Refusal(STORE_UNAVAILABLE, STORE_UNAVAILABLE.message, retry_after_seconds=5)


def _part(found: tuple[Unit, ...], evse_uid: str, connector_id: str | None) -> bytes | None:
    """The root, EVSE or Connector that was asked for."""
    if not evse_uid:
        if not found or found[0].key.evse_uid or found[0].raw is None:
            return None
        return assemble(found[0], found[1:], roll_up=True)
    evse = next((unit.raw for unit in found if unit.key.evse_uid == evse_uid), None)
    if evse is None or connector_id is None:
        return evse
    for connector in msgspec.json.decode(evse).get("connectors") or []:
        if str(connector.get("id")).upper() == connector_id.upper():
            return msgspec.json.encode(connector)
    return None
