"""Receivers of broadcasts, as operators look at them and act on them: parties on platforms that others push to (D-13, D-28)."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

from hub.delivery.health import Standing
from hub.model.delivery import Receiver
from hub.model.directory import Directory, Platform, PlatformStatus
from hub.ocpi.parties import PartyId
from hub.operations.declined import Declined, Reason
from hub.routing.entitlement import entitlements
from hub.store import fills, marks, operators, receiver_looks
from hub.store.pool import Store
from hub.store.receiver_looks import ReceiverFacts, RefusalRow

CatchUp = Literal["push", "none"]
Touches = Literal["send", "skip"]

_REFUSALS_SHOWN: Final = 20
FLOWING: Final = "flowing"
SUSPENDED: Final = "suspended"


@dataclass(frozen=True, slots=True)
class ReceiverRow:
    """One receiver. `state` is `flowing`, `suspended` or why it is parked.

    `oldest_seconds`: how long it has not had its oldest update.
    """

    party: str
    platform_id: str
    platform_name: str
    modules: tuple[str, ...]
    state: str
    in_flight: int
    waiting: int
    marks: int
    oldest_seconds: float | None
    refusals: int


@dataclass(frozen=True, slots=True)
class ReceiverDetail:
    """One receiver with its breaker, what is set for it, its marks by module and its latest refusals."""

    receiver: ReceiverRow
    catch_up: str
    touches: str
    rate: float | None
    is_paused: bool
    breaker_open_since: datetime | None
    next_try_at: datetime | None
    asked_until: datetime | None
    failures: int
    reason: str
    marks: dict[str, int]
    refusals: list[RefusalRow]


@dataclass(frozen=True, slots=True)
class Resync:
    """How many whole objects of each module were marked."""

    party: str
    platform_id: str
    marked: dict[str, int]


@dataclass(frozen=True, slots=True)
class ReceiverDesk:
    """What the use cases work with: the store, and the directory as it is now."""

    store: Store
    directory: Directory


async def list_receivers(desk: ReceiverDesk) -> list[ReceiverRow]:
    """Every receiver that the directory knows, by party; those on suspended platforms too."""
    modules = _modules(desk.directory)
    async with desk.store.connection() as connection:
        found = await receiver_looks.read_facts(connection, list(modules))
    return [_row(facts, desk.directory, modules[facts.receiver]) for facts in found]


async def show_receiver(desk: ReceiverDesk, party: PartyId, platform_id: str | None) -> ReceiverDetail | Declined:
    """One receiver in full."""
    receiver = _find(desk.directory, party, platform_id)
    if isinstance(receiver, Declined):
        return receiver
    async with desk.store.connection() as connection:
        (facts,) = await receiver_looks.read_facts(connection, [receiver])
        by_module = await receiver_looks.marks_by_module(connection, receiver)
        refused = await receiver_looks.read_refusals(connection, receiver, _REFUSALS_SHOWN)
    return ReceiverDetail(
        receiver=_row(facts, desk.directory, _modules(desk.directory)[receiver]),
        catch_up=facts.catch_up,
        touches=facts.touches,
        rate=facts.rate,
        is_paused=facts.is_paused,
        breaker_open_since=facts.opened_at,
        next_try_at=facts.next_try_at,
        asked_until=facts.asked_until,
        failures=facts.failures,
        reason=facts.reason,
        marks=by_module,
        refusals=refused,
    )


async def change_receiver(
    desk: ReceiverDesk,
    party: PartyId,
    platform_id: str | None,
    *,
    operator: str,
    is_paused: bool | None = None,
    catch_up: CatchUp | None = None,
    touches: Touches | None = None,
    rate: float | None = None,
) -> ReceiverDetail | Declined:
    """Pause or resume a receiver, or change what is set for it; workers act on it within a second. Idempotent.

    A paused receiver gets nothing; what it misses is marked and sent when it is resumed. `rate` is how many requests for all may
    begin each second, in all workers together; 0: as many as it takes. One that catches up from now on is filled with everything:
    nobody knows what it missed (D-13).
    """
    receiver = _find(desk.directory, party, platform_id)
    if isinstance(receiver, Declined):
        return receiver
    given = {"is_paused": is_paused, "catch_up": catch_up, "touches": touches, "rate": rate}
    detail = {name: value for name, value in given.items() if value is not None}
    async with desk.store.transaction() as connection:
        caught_up = await fills.catches_up(connection, receiver)
        await receiver_looks.set_receiver(
            connection, receiver, is_paused=is_paused, catch_up=catch_up, touches=touches, rate=rate
        )
        if catch_up == "push" and not caught_up:
            await fills.renew(connection, receiver)
        await operators.add_audit(connection, operator, "receiver.changed", _subject(receiver), detail)
    return await show_receiver(desk, receiver.party, receiver.platform_id)


async def resync(
    desk: ReceiverDesk, party: PartyId, platform_id: str | None, *, operator: str, module: str | None
) -> Resync | Declined:
    """Mark all that a receiver may see, in one module or in all: it gets the current state of each object, once."""
    receiver = _find(desk.directory, party, platform_id)
    if isinstance(receiver, Declined):
        return receiver
    shares = {
        share.module: owners for share, owners in entitlements(desk.directory).items() if share.receiver == receiver
    }
    if not shares:
        return Declined(Reason.CONFLICT, f"{party} is suspended: it gets everything when its platform is resumed")
    if module is not None and module not in shares:
        return Declined(Reason.CONFLICT, f"{party} receives no {module}; it receives {', '.join(shares)}")
    async with desk.store.transaction() as connection:
        marked = {
            name: await marks.fill(connection, receiver, name, sorted(owners))
            for name, owners in shares.items()
            if module in {None, name}
        }
        await operators.add_audit(connection, operator, "receiver.resynced", _subject(receiver), marked)
    return Resync(str(receiver.party), receiver.platform_id, marked)


def _modules(directory: Directory) -> dict[Receiver, tuple[str, ...]]:
    """Every receiver with the modules that somebody may push to it, or might if its platform were not suspended."""
    found: dict[Receiver, list[str]] = {}
    for share in entitlements(_with_suspended(directory)):
        found.setdefault(share.receiver, []).append(share.module)
    return {receiver: tuple(sorted(names)) for receiver, names in found.items()}


def _with_suspended(directory: Directory) -> Directory:
    """The directory as if suspended platforms were only away."""
    platforms = {
        key: replace(one, status=PlatformStatus.UNREGISTERED) if _is_suspended(one) else one
        for key, one in directory.platforms.items()
    }
    return replace(directory, platforms=platforms)


def _is_suspended(platform: Platform) -> bool:
    return platform.status is PlatformStatus.SUSPENDED


def _find(directory: Directory, party: PartyId, platform_id: str | None) -> Receiver | Declined:
    known: Iterable[Receiver] = _modules(directory)
    found = [r for r in known if r.party == party.folded and platform_id in {None, r.platform_id}]
    if len(found) == 1:
        return found[0]
    if not found:
        return Declined(Reason.NOT_FOUND, f"{party} receives nothing here: see `hub receiver list`")
    ids = ", ".join(receiver.platform_id for receiver in found)
    return Declined(Reason.CONFLICT, f"{party} is on several platforms, name one with --platform: {ids}")


def _row(facts: ReceiverFacts, directory: Directory, modules: tuple[str, ...]) -> ReceiverRow:
    platform = directory.platforms[facts.receiver.platform_id]
    now = datetime.now(UTC)
    asked = (facts.asked_until - now).total_seconds() if facts.asked_until else 0.0
    ticks = time.monotonic()
    standing = Standing(is_paused=facts.is_paused, is_open=facts.opened_at is not None, asked_until=ticks + asked)
    oldest = min((at for at in (facts.oldest_mark, facts.oldest_waiting) if at is not None), default=None)
    return ReceiverRow(
        party=str(facts.receiver.party),
        platform_id=platform.platform_id,
        platform_name=platform.name,
        modules=modules,
        state=SUSPENDED if _is_suspended(platform) else standing.parked(platform, ticks) or FLOWING,
        in_flight=facts.in_flight,
        waiting=facts.waiting,
        marks=facts.marks,
        oldest_seconds=round(max(0.0, (now - oldest).total_seconds()), 1) if oldest else None,
        refusals=facts.refusals,
    )


def _subject(receiver: Receiver) -> str:
    return f"receiver/{receiver.platform_id}/{receiver.party}"
