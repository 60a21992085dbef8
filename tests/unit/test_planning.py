"""When a relay stores a route again that it has stored before, and what it does while it cannot."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from hub.ocpi.parties import PartyId
from hub.routing.plan import Plan, parse
from hub.settings import Settings
from hub.store.pool import Store
from tests.unit.routing_objects import CPO, EMSP, OTHER_EMSP, a_directory, an_envelope
from workers.planning import Open, Planning

DIRECTORY = a_directory()


@pytest.fixture
async def planning() -> AsyncIterator[Planning]:
    """One whose database does not answer."""
    pool = await asyncpg.create_pool("postgresql://hub@127.0.0.1:1/hub", min_size=0)
    yield Planning(Store(pool), Settings())
    pool.terminate()


def _push(planning: Planning, to_party: PartyId) -> list[Open]:
    """What a push of one session to a party needs the store for."""
    envelope = an_envelope(
        module="sessions",
        method="PUT",
        tail="NL/CP1/S1",
        platform_id="p1",
        from_party=CPO,
        to_party=to_party,
        body=b"{}",
        start_by=int(time.time() * 1000) + 2_000,
    )
    return planning.begin([parse(envelope)], DIRECTORY)[1]


def _has_stored(planning: Planning, others: list[Open], seconds_ago: float) -> None:
    for entry in others:
        assert entry.made is not None
        for route in entry.made.routes:
            assert route.expires_at is not None
            kept = replace(route, expires_at=route.expires_at - timedelta(seconds=seconds_ago))
            planning._kept[route.kind, route.key, route.owner] = kept


@pytest.mark.parametrize(
    ("to_party", "seconds_ago", "is_stored_again"),
    [(EMSP, 0, False), (EMSP, 60, True), (OTHER_EMSP, 0, True)],
)
async def test_where_a_session_leads_is_not_taken_from_memory_for_long(
    planning: Planning, to_party: PartyId, seconds_ago: float, is_stored_again: bool
) -> None:
    """Two relays that carry a session to two parties in turns each remember their own: the latest must stand (D-24)."""
    _has_stored(planning, _push(planning, EMSP), seconds_ago)
    assert bool(_push(planning, to_party)) is is_stored_again


@pytest.mark.parametrize(("to_party", "goes_on"), [(EMSP, True), (OTHER_EMSP, False)])
async def test_a_session_goes_on_where_it_was_led_while_the_store_is_away(
    planning: Planning, to_party: PartyId, goes_on: bool
) -> None:
    _has_stored(planning, _push(planning, EMSP), seconds_ago=60)
    ((_, planned),) = await planning.finish(_push(planning, to_party), DIRECTORY)
    assert isinstance(planned, Plan) is goes_on
