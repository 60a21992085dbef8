"""What the hub lets pass from one platform and not from others: data about the peer, set by an operator."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hub.model.directory import Quirk
from hub.operations.declined import Declined, no_such_platform
from hub.store import operators
from hub.store.directory import bump
from hub.store.pool import Store

Stale = Literal["refuse", "accept"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What stands for a platform now; every process acts on it once it holds this version of the directory."""

    platform_id: str
    name: str
    stale: str
    directory_version: int


@dataclass(frozen=True, slots=True)
class Quirks:
    """The habits of a platform that the hub serves, in order."""

    platform_id: str
    name: str
    quirks: tuple[str, ...]


async def set_quirks(store: Store, *, operator: str, platform_id: str, quirks: Iterable[Quirk]) -> Quirks | Declined:
    """Serve these habits of a platform and no others. Idempotent."""
    wanted = tuple(sorted(set(quirks)))
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        found = await operators.find_platform(connection, platform_id)
        if found is None:
            return no_such_platform(platform_id)
        await operators.set_quirks(connection, platform_id, wanted)
        await operators.add_audit(
            connection, operator, "platform.quirks_set", f"platform/{platform_id}", {"quirks": list(wanted)}
        )
        await bump(connection)
    return Quirks(platform_id, found.name, wanted)


async def show_quirks(store: Store, platform_id: str) -> Quirks | Declined:
    """What is set for a platform."""
    async with store.connection() as connection:
        found = await operators.find_quirks(connection, platform_id)
    return Quirks(platform_id, *found) if found else no_such_platform(platform_id)


async def set_stale(store: Store, *, operator: str, platform_id: str, stale: Stale) -> Tolerance | Declined:
    """Let a platform's pushes count even where their clocks are older than what is held, or not (D-11). Idempotent.

    For a CPO that was restored with an old clock: its objects would else be ignored until its clock has caught up.
    """
    async with store.transaction() as connection:
        await operators.order_writers(connection)
        found = await operators.find_platform(connection, platform_id)
        if found is None:
            return no_such_platform(platform_id)
        await operators.set_stale(connection, platform_id, stale)
        await operators.add_audit(
            connection, operator, "platform.tolerated", f"platform/{platform_id}", {"stale": stale}
        )
        version = await bump(connection)
    return Tolerance(platform_id, found.name, stale, version)
