"""The routing tables: which party has a token, location, session or reservation."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hub.ocpi.parties import PartyId
from hub.routing.open_keys import Lookup, Route, RouteKind, Side
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("routes")


async def remember(connection: Connection, routes: Iterable[Route]) -> None:
    """Store routes; of several under one key the last one counts. Idempotent."""
    latest = {(route.kind, route.key, route.owner): route for route in routes}
    if not latest:
        return
    rows = list(latest.values())
    await connection.execute(
        SQL["remember"],
        [row.kind.value for row in rows],
        [row.key for row in rows],
        [row.owner.country_code for row in rows],
        [row.owner.party_id for row in rows],
        [row.counterpart.country_code if row.counterpart else "" for row in rows],
        [row.counterpart.party_id if row.counterpart else "" for row in rows],
        [row.expires_at for row in rows],
    )


async def find(connection: Connection, lookups: Sequence[Lookup]) -> Mapping[Lookup, tuple[PartyId, ...]]:
    """The distinct parties that answer each question, none where nothing is known."""
    if not lookups:
        return {}
    records = await connection.fetch(
        SQL["find"], [lookup.kind.value for lookup in lookups], [lookup.key for lookup in lookups]
    )
    by_key: dict[tuple[RouteKind, str], list[tuple[PartyId, PartyId]]] = defaultdict(list)
    for row in records:
        owner = PartyId(row["owner_country_code"], row["owner_party_id"])
        counterpart = PartyId(row["counterpart_country_code"], row["counterpart_party_id"])
        by_key[RouteKind(row["kind"]), row["key"]].append((owner, counterpart))
    return {lookup: _answer(lookup, by_key.get((lookup.kind, lookup.key), [])) for lookup in lookups}


def _answer(lookup: Lookup, routes: list[tuple[PartyId, PartyId]]) -> tuple[PartyId, ...]:
    known = lookup.known.folded if lookup.known else None
    if lookup.wanted is Side.OWNER:
        found = [owner for owner, counterpart in routes if known is None or counterpart == known]
    else:
        found = [counterpart for owner, counterpart in routes if known is None or owner == known]
    return tuple(dict.fromkeys(found))


async def forget_expired(connection: Connection) -> int:
    """Routes that ran out go; says how many."""
    done: str = await connection.execute(SQL["forget_expired"])
    return int(done.rsplit(" ", 1)[1])
