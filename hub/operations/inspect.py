"""What an operator looks at: platforms, parties, one object and its units, one message and its story."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hub.model.outcome import Leg
from hub.ocpi.parties import PartyId
from hub.operations.declined import Declined, Reason, no_such_platform
from hub.store import incomplete, operators
from hub.store.exchanges import Step, story
from hub.store.incomplete import IncompleteObject
from hub.store.inspect import UnitRow, units_of
from hub.store.operators import EndpointRow, PartyRow, PlatformRow, TokenRow
from hub.store.pool import Store

LONGEST_STORY: Final = 1000

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class PlatformSummary:
    """A platform in a list, with its roles in words: `NL/ENE CPO`, in brackets while quarantined."""

    platform: PlatformRow
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlatformDetail:
    """All that is known of one platform, without any token."""

    platform: PlatformRow
    parties: tuple[PartyRow, ...]
    endpoints: tuple[EndpointRow, ...]
    tokens: tuple[TokenRow, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one message.

    `total_ms` is what its caller waited, `partner_ms` the part of it in which a partner was asked, `hub_ms` the rest: None
    where nobody waited for an answer or it is not told yet. `is_whole` is False when the story is longer than is shown.
    """

    correlation_id: str
    began_at: datetime
    total_ms: float | None
    partner_ms: float | None
    hub_ms: float | None
    is_whole: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class ObjectUnits:
    """One root object as the hub holds it, in its units."""

    module: str
    party: str
    object_id: str
    units: tuple[UnitRow, ...]


async def list_platforms(store: Store, party: PartyId | None = None) -> tuple[PlatformSummary, ...]:
    """Platforms by name, all or those that host a party."""
    async with store.connection() as connection:
        rows = await operators.list_platforms(connection, party=party)
        parties = await operators.list_parties(connection)
    return tuple(PlatformSummary(row, _roles_of(row.platform_id, parties)) for row in rows)


async def show_platform(store: Store, platform_id: str) -> PlatformDetail | Declined:
    """One platform with its parties, endpoints and the dates of its tokens."""
    async with store.connection() as connection:
        rows = await operators.list_platforms(connection, platform_id=platform_id)
        if not rows:
            return no_such_platform(platform_id)
        return PlatformDetail(
            rows[0],
            await operators.list_parties(connection, platform_id=platform_id),
            await operators.list_endpoints(connection, platform_id),
            await operators.list_tokens(connection, platform_id),
        )


async def list_parties(store: Store) -> tuple[PartyRow, ...]:
    """Every party in every role, quarantined ones included."""
    async with store.connection() as connection:
        return await operators.list_parties(connection)


async def show_object(store: Store, module: str, owner: PartyId, object_id: str) -> ObjectUnits | Declined:
    """One Location with its EVSEs, one Tariff or one Token, as it rests."""
    async with store.connection() as connection:
        units = await units_of(connection, module, owner, object_id)
    if not units:
        return Declined(Reason.NOT_FOUND, f"the hub holds no {module}/{owner}/{object_id}")
    return ObjectUnits(module, str(owner.folded), units[0].object_id, units)


async def list_incomplete(store: Store, owner: PartyId | None, limit: int) -> tuple[IncompleteObject, ...]:
    """Objects of which patches only are known, and how far the hub is with fetching them (D-12)."""
    async with store.connection() as connection:
        return await incomplete.show(connection, owner, limit=limit)


async def show_exchange(store: Store, correlation_id: str) -> Story | Declined:
    """The story of the message with this correlation id, in the order in which it happened."""
    async with store.connection() as connection:
        steps = await story(connection, correlation_id, limit=LONGEST_STORY + 1)
    if not steps:
        return Declined(
            Reason.NOT_FOUND,
            f"nothing is told about correlation id {correlation_id} (yet, or not within the retention)",
        )
    return tell(correlation_id, steps[:LONGEST_STORY], is_whole=len(steps) <= LONGEST_STORY)


def tell(correlation_id: str, steps: Sequence[Step], *, is_whole: bool = True) -> Story:
    """The story in these steps: when it began, and who took how much of the caller's time."""
    answered = [step for step in steps if step.leg == Leg.INGRESS and step.elapsed_ms is not None]
    total = partner = None
    if answered:
        total = answered[-1].elapsed_ms
        waited = _interval(answered[-1])
        partner = _covered_ms(waited, (_interval(step) for step in steps if step.leg == Leg.RELAY))
    return Story(
        correlation_id=correlation_id,
        began_at=min(_interval(step)[0] for step in steps),
        total_ms=total,
        partner_ms=partner,
        hub_ms=None if total is None or partner is None else max(total - partner, 0.0),
        is_whole=is_whole,
        steps=tuple(steps),
    )


def _interval(step: Step) -> Interval:
    return step.at - timedelta(milliseconds=step.elapsed_ms or 0.0), step.at


def _covered_ms(whole: Interval, parts: Iterable[Interval]) -> float:
    """How much of `whole` lies in at least one part; calls made side by side count once."""
    covered = timedelta()
    reached, end = whole
    for began, ended in sorted(parts):
        first, last = max(began, reached), min(ended, end)
        if last > first:
            covered += last - first
            reached = last
    return covered / timedelta(milliseconds=1)


def _roles_of(platform_id: str, parties: Iterable[PartyRow]) -> tuple[str, ...]:
    return tuple(
        f"[{row.party} {row.role}]" if row.is_quarantined else f"{row.party} {row.role}"
        for row in parties
        if row.platform_id == platform_id
    )
