"""Plans the calls of a relay: what needs the routing tables or adds to them goes to the store, many requests at a time."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, NamedTuple, TypeVar

from hub.errors import StoreUnavailable
from hub.model.directory import Directory
from hub.model.issued_url import IssuedUrl
from hub.model.unit import Unit, UnitKey, root_key
from hub.ocpi.parties import PartyId
from hub.ocpi.status import INTERNAL, STORE_UNAVAILABLE, Refusal
from hub.routing.authorize import Owned, Poll, eligible, poll
from hub.routing.open_keys import Lookup, Route, RouteKind
from hub.routing.plan import IssuedId, Parsed, Plan, chosen, plan, question
from hub.settings import Settings
from hub.store import issued_urls, routes, units
from hub.store.pool import Store
from hub.telemetry import get_logger

log = get_logger(__name__)

STORE_SECONDS: Final = 1.0
"""How long a request waits for the store."""
_ROUTES_REMEMBERED: Final = 50_000
_RENEWED_AFTER: Final = timedelta(seconds=5)
"""How much longer a route must live to be stored again: every push of a session renews its route, of 90 days.

Not long: another relay may have led the session to another party since, and this one does not hear of it.
"""
_REMEMBERED_FOR: Final = timedelta(minutes=10)
"""The same while the store is away: a session goes on where this process has led it before."""
_RETRY_AFTER_SECONDS: Final = 5

Made = Plan | Owned | Poll | Refusal
"""What is planned for a request: one call, an authorization, or the reason why nothing is sent."""
Planned = tuple[Parsed, Made]
RouteName = tuple[RouteKind, str, PartyId]
T = TypeVar("T")


class Recent(Generic[T]):
    """The last things seen, up to a bound.

    Of a plain dict the first key is found by passing over all that were deleted before it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: OrderedDict[T, None] = OrderedDict()

    def __contains__(self, thing: T) -> bool:
        return thing in self._seen

    def add(self, thing: T) -> bool:
        """Remember a thing; False when it was known."""
        if thing in self._seen:
            return False
        self._seen[thing] = None
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return True


class Open(NamedTuple):
    """A request that needs the store: with what it asks, or with its plan where only something is to be kept."""

    parsed: Parsed
    asked: Lookup | IssuedId | None
    made: Plan | None


class Planning:
    """Makes plans under a snapshot of the directory."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._url_life = timedelta(seconds=settings.callback_seconds)
        self._kept: OrderedDict[RouteName, Route] = OrderedDict()

    def begin(self, requests: Sequence[Parsed], directory: Directory) -> tuple[list[Planned], list[Open]]:
        """Plan the requests that need nothing of the store; the others are returned for `finish`."""
        planned: list[Planned] = []
        others: list[Open] = []
        for parsed in requests:
            asked = question(parsed)
            if isinstance(asked, Lookup | IssuedId):
                others.append(Open(parsed, asked, None))
                continue
            made = asked if isinstance(asked, Refusal) else self._plan(parsed, asked, directory)
            if isinstance(made, Plan) and self._brings_news(made):
                others.append(Open(parsed, None, made))
            else:
                planned.append((parsed, made))
        return planned, others

    async def finish(self, others: Sequence[Open], directory: Directory) -> list[Planned]:
        """Look up and store what these requests need; what they establish is committed when this returns (D-24)."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                plans = await self._look_up(others, directory)
                await self._keep([made for _, made in plans if isinstance(made, Plan)])
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("requests.not_planned", requests=len(others), error=repr(error))
            return [
                (entry.parsed, entry.made if entry.made and self._is_known(entry.made) else _without_store(entry))
                for entry in others
            ]
        except Exception:
            return await self._finish_apart(others, directory)
        return plans

    async def _finish_apart(self, others: Sequence[Open], directory: Directory) -> list[Planned]:
        """Halve a batch that the store does not take, until the one request is found that it stumbles over."""
        if len(others) == 1:
            parsed = others[0].parsed
            log.exception("request.not_planned", correlation_id=parsed.envelope.correlation_id)
            return [(parsed, Refusal(INTERNAL, INTERNAL.message))]
        middle = len(others) // 2
        return [*await self.finish(others[:middle], directory), *await self.finish(others[middle:], directory)]

    def _plan(self, parsed: Parsed, target: PartyId | IssuedUrl | None, directory: Directory) -> Plan | Refusal:
        try:
            return plan(
                parsed,
                target,
                directory,
                now=datetime.now(UTC),
                ocpi_url=self._settings.ocpi_url,
                url_id=secrets.token_hex(16) if parsed.operation.response_url else "",
                url_life=self._url_life,
            )
        except Exception:
            log.exception("request.not_planned", correlation_id=parsed.envelope.correlation_id)
            return Refusal(INTERNAL, INTERNAL.message)

    def _brings_news(self, made: Plan) -> bool:
        return made.issued is not None or any(not self._is_kept(route) for route in made.routes)

    def _is_known(self, made: Plan) -> bool:
        """Whether this process has stored before all that the plan establishes: while the store is away that must do."""
        return made.issued is None and all(self._is_kept(route, _REMEMBERED_FOR) for route in made.routes)

    def _is_kept(self, route: Route, renewed_after: timedelta = _RENEWED_AFTER) -> bool:
        """Whether this process has stored the route lately and nothing but its end would change."""
        kept = self._kept.get(_name(route))
        if kept is None or kept.counterpart != route.counterpart:
            return False
        if kept.expires_at is None or route.expires_at is None:
            return kept.expires_at is route.expires_at
        return route.expires_at - kept.expires_at < renewed_after

    async def _look_up(self, others: Sequence[Open], directory: Directory) -> list[Planned]:
        lookups = [entry.asked for entry in others if isinstance(entry.asked, Lookup)]
        issued_ids = [entry.asked.url_id for entry in others if isinstance(entry.asked, IssuedId)]
        if not lookups and not issued_ids:
            return [(entry.parsed, entry.made) for entry in others if entry.made]
        async with self._store.connection() as connection:
            found = await routes.find(connection, lookups)
            urls = await issued_urls.find(connection, issued_ids)
            tokens = await units.read_current(connection, _owned_tokens(found))
        plans: list[Planned] = []
        for parsed, asked, made in others:
            if made is not None:
                plans.append((parsed, made))
                continue
            assert asked is not None
            if isinstance(asked, Lookup) and asked.kind is RouteKind.TOKEN:
                plans.append((parsed, self._authorization(parsed, asked, found[asked], tokens, directory)))
                continue
            target = chosen(asked, found[asked]) if isinstance(asked, Lookup) else urls.get(asked.url_id)
            plans.append((parsed, target if isinstance(target, Refusal) else self._plan(parsed, target, directory)))
        return plans

    def _authorization(
        self,
        parsed: Parsed,
        asked: Lookup,
        owners: tuple[PartyId, ...],
        tokens: Mapping[UnitKey, tuple[Unit, ...]],
        directory: Directory,
    ) -> Owned | Poll | Refusal:
        """A token's one owner is asked, or everybody who may know it: all its owners, or where there is none all eMSPs (D-06)."""
        if len(owners) == 1:
            held = next(iter(tokens.get(_token_unit(asked, owners[0]), ())), None)
            return Owned(owners[0], self._plan(parsed, owners[0], directory), held.raw if held else None)
        envelope = parsed.envelope
        nobody = chosen(asked, owners)
        assert isinstance(nobody, Refusal)
        parties = owners or eligible(directory, envelope.from_party, envelope.platform_id)
        made = [self._plan(parsed, party, directory) for party in parties]
        return poll(envelope, made, nobody, turn=secrets.randbelow(2**16))

    async def _keep(self, plans: Sequence[Plan]) -> None:
        new_routes = [route for made in plans for route in made.routes if not self._is_kept(route)]
        new_urls = [made.issued for made in plans if made.issued]
        if not new_routes and not new_urls:
            return
        async with self._store.transaction() as connection:
            await routes.remember(connection, new_routes)
            await issued_urls.issue(connection, new_urls)
        for route in new_routes:
            self._kept[_name(route)] = route
        while len(self._kept) > _ROUTES_REMEMBERED:
            self._kept.popitem(last=False)


def _name(route: Route) -> RouteName:
    return route.kind, route.key, route.owner


def _token_unit(asked: Lookup, owner: PartyId) -> UnitKey:
    return root_key("tokens", owner, asked.key)


def _owned_tokens(found: Mapping[Lookup, tuple[PartyId, ...]]) -> list[UnitKey]:
    """The Tokens that are asked about and have one owner."""
    owned = [(asked, owners[0]) for asked, owners in found.items() if len(owners) == 1]
    return [_token_unit(asked, owner) for asked, owner in owned if asked.kind is RouteKind.TOKEN]


def _without_store(entry: Open) -> Plan | Refusal:
    """What becomes of a request while the store is away: a known receiver gets what no later answer depends on."""
    made = entry.made
    if made is not None and made.issued is None and all(route.is_for_good for route in made.routes):
        return made
    return Refusal(STORE_UNAVAILABLE, STORE_UNAVAILABLE.message, retry_after_seconds=_RETRY_AFTER_SECONDS)
