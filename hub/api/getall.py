"""GET All and the owner's look at the hub's copy: answered from the store, nobody is called.

Source: OCPI 2.2.1, transport_and_format § GET All via Hubs, § Pagination. Rules GA-01 … GA-08, PG-01 … PG-07, OB-05;
decisions D-04, D-15, D-29.
"""

import base64
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from hub.api.answers import answer, from_hub, refuse
from hub.api.ingress import Request
from hub.errors import StoreUnavailable
from hub.model.directory import Directory
from hub.model.unit import Unit, assemble, key_of
from hub.ocpi.modules import Interface
from hub.ocpi.paging import LIMIT, LINK, TOTAL_COUNT, Page, read_page
from hub.ocpi.parties import PartyId
from hub.ocpi.status import INVALID_PARAMETER, OBJECT_NOT_FOUND, STORE_UNAVAILABLE, SUCCESS, Refusal
from hub.routing.admit import url_owner
from hub.routing.incoming import Incoming
from hub.routing.open_keys import token_key
from hub.settings import Settings
from hub.store import units, units_page
from hub.store.pool import Store
from hub.store.units_page import View

HELD_MODULES: Final = frozenset({"locations", "tariffs", "tokens"})
_CURSOR: Final = "cursor"
_CURSOR_FORM: Final = re.compile(r"u(\d{1,18})", re.ASCII)


class GetAll:
    """Serves what was pushed to all, to those who may see it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    async def list_all(self, request: Request, incoming: Incoming) -> Response:
        """One page of a module's objects of all owners that the requester may see."""
        made = self._question(request, incoming)
        if isinstance(made, Refusal):
            return self._refuse(made, request, incoming)
        view, page, after = made
        try:
            async with self._store.connection() as connection:
                objects, last, has_more = await units_page.read_page(
                    connection, view, after=after, offset=page.offset, limit=page.limit
                )
                total = await units_page.count(connection, view)
        except StoreUnavailable:
            refusal = Refusal(STORE_UNAVAILABLE, STORE_UNAVAILABLE.message, retry_after_seconds=5)
            return self._refuse(refusal, request, incoming)
        headers = {TOTAL_COUNT: str(total), LIMIT: str(self._settings.page_limit)}
        if has_more and objects:
            headers[LINK] = f'<{self._next_url(request, incoming.query, page, last)}>; rel="next"'
        data = [msgspec.Raw(assemble(parts[0], parts[1:], roll_up=True)) for parts in objects]
        return answer(SUCCESS, request.ids, data=data, headers=self._headers(request, incoming) | headers)

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
            refusal = Refusal(STORE_UNAVAILABLE, STORE_UNAVAILABLE.message, retry_after_seconds=5)
            return self._refuse(refusal, request, incoming)
        raw = _part(found, key.evse_uid, parameters.get("connector_id"))
        if raw is None:
            return self._refuse(Refusal(OBJECT_NOT_FOUND, OBJECT_NOT_FOUND.message), request, incoming)
        return answer(SUCCESS, request.ids, data=msgspec.Raw(raw), headers=self._headers(request, incoming))

    def _question(self, request: Request, incoming: Incoming) -> tuple[View, Page, int] | Refusal:
        module = request.module
        if module not in HELD_MODULES:
            return Refusal(INVALID_PARAMETER, f"{module} are not held for all: name the party in OCPI-to-*")
        page = read_page(incoming.query, self._settings.page_limit)
        if isinstance(page, Refusal):
            return page
        after = _read_cursor(incoming.query.get(_CURSOR))
        if isinstance(after, Refusal):
            return after
        owners = visible_owners(request.directory, request.caller.platform.platform_id, incoming.from_party)
        return View(module, owners, page.date_from, page.date_to), page, after

    def _next_url(self, request: Request, query: Mapping[str, str], page: Page, last: int) -> str:
        kept = {name: value for name, value in query.items() if name not in {"offset", _CURSOR}}
        following = {**kept, "limit": page.limit, _CURSOR: _write_cursor(last)}
        base = f"{self._settings.ocpi_url}/{request.version}/{Interface.SENDER.lower()}/{request.module}"
        return f"{base}?{urlencode(following)}"

    def _headers(self, request: Request, incoming: Incoming) -> dict[str, str]:
        return from_hub(request.directory.hub_party, incoming.from_party)

    def _refuse(self, refusal: Refusal, request: Request, incoming: Incoming) -> Response:
        return refuse(refusal, request.ids, headers=self._headers(request, incoming))


def visible_owners(directory: Directory, platform_id: str, viewer: PartyId) -> tuple[PartyId, ...]:
    """The parties whose objects a party of this platform may see, folded."""
    own = [entry.role for entry in directory.roles_of(viewer) if entry.platform_id == platform_id]
    return tuple(
        party
        for party, entries in directory.by_party.items()
        if any(directory.may_exchange(role, entry.role) for role in own for entry in entries)
    )


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


def _write_cursor(unit_id: int) -> str:
    return base64.urlsafe_b64encode(f"u{unit_id}".encode()).decode().rstrip("=")


def _read_cursor(text: str | None) -> int | Refusal:
    if text is None:
        return 0
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return _bad_cursor()
    found = _CURSOR_FORM.fullmatch(plain)
    return int(found[1]) if found else _bad_cursor()


def _bad_cursor() -> Refusal:
    return Refusal(INVALID_PARAMETER, "cursor: follow the Link of the previous page as it is")
