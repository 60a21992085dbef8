"""Tokens that must go: those that leaked, at once, and those that have become old, by the calendar (AM-21)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields

import pytest
import pytest_asyncio
from aiohttp import web

from hub.means import Means
from tests.integration.partner_rig import eventually
from tests.integration.registration_rig import (
    Hub,
    ScriptedPlatform,
    Seen,
    a_hub,
    a_platform,
    a_role,
    answering,
    register,
    said,
    takes,
)
from workers import presence
from workers.app import WorkerContext

pytestmark = pytest.mark.asyncio(loop_scope="package")

CREDENTIALS = "/ocpi/2.2.1/credentials"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def hub(postgres_url: str, migrated_template: str, kafka_bootstrap: str) -> AsyncIterator[Hub]:
    async with a_hub(postgres_url, migrated_template, kafka_bootstrap, token_days=90.0) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="package")
async def cpo(hub: Hub) -> AsyncIterator[ScriptedPlatform]:
    """A platform with NL/ENE that takes the hub's credentials by PUT and calls back meanwhile."""
    async with a_platform(a_role("NL/ENE")) as made:
        made.scripts[f"PUT {CREDENTIALS}"] = takes(hub, made)
        yield made


async def status_of(hub: Hub, token: str) -> int:
    """What a token opens, by its HTTP status."""
    return (await hub.ask("GET", "versions", token)).http_status


async def test_a_leaked_token_is_dead_before_its_platform_is_asked(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)
    leaked, take, when_asked = cpo.inbound, cpo.scripts[f"PUT {CREDENTIALS}"], []

    async def look_and_take(seen: Seen) -> web.Response:
        when_asked.append(await status_of(hub, leaked))
        return await take(seen)

    cpo.scripts[f"PUT {CREDENTIALS}"] = look_and_take
    done = await hub.operate("POST", f"/platforms/{platform_id}/rotate-token", is_leaked=True)

    assert when_asked == [401]
    assert (done["renewed"], done["token"]) == ("credentials of both sides", None)
    assert await status_of(hub, cpo.inbound) == 200
    assert cpo.inbound != leaked


async def test_where_the_platform_takes_no_new_token_a_leaked_one_is_dead_all_the_same(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    platform_id = await register(hub, cpo)
    leaked = cpo.inbound
    cpo.scripts[f"PUT {CREDENTIALS}"] = answering(lambda: said(http_status=405, status_code=2000))

    done = await hub.operate("POST", f"/platforms/{platform_id}/rotate-token", is_leaked=True)

    assert await status_of(hub, leaked) == 401
    assert done["renewed"] == "registration token"
    assert "405" in done["reason"]
    assert (await cpo.register(hub, done["token"])).status == (200, 1000)
    assert await status_of(hub, cpo.inbound) == 200


async def test_tokens_that_have_become_old_are_renewed_once_by_any_number_of_workers(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    platform_id = await register(hub, cpo)
    old = cpo.outbound
    await make_old(hub, days=91)

    async with workers(hub, 2):
        await eventually(lambda: shows_another_than(hub, platform_id, old), 20)

    assert cpo.calls.count(f"PUT {CREDENTIALS}") == 1
    assert await status_of(hub, cpo.inbound) == 200
    assert await hub.value(
        "select count(*) from audit where operator = 'calendar' and action = 'platform.token_rotated'"
    )


async def test_a_platform_that_refuses_is_not_asked_again_at_once_and_keeps_its_tokens(
    hub: Hub, cpo: ScriptedPlatform
) -> None:
    await register(hub, cpo)
    await make_old(hub, days=91)
    cpo.scripts[f"PUT {CREDENTIALS}"] = answering(lambda: said(status_code=2001))

    async with a_platform(a_role("DE/TWO")) as other:
        other.scripts[f"PUT {CREDENTIALS}"] = takes(hub, other)
        other_id = await register(hub, other, "DE/TWO")
        first = other.outbound
        await make_old(hub, days=90.5, platform_id=other_id)
        async with workers(hub, 1):
            await eventually(lambda: shows_another_than(hub, other_id, first), 20)

    assert cpo.calls.count(f"PUT {CREDENTIALS}") == 1
    assert await status_of(hub, cpo.inbound) == 200


async def test_tokens_that_are_young_stay(hub: Hub, cpo: ScriptedPlatform) -> None:
    platform_id = await register(hub, cpo)
    young = cpo.outbound
    await make_old(hub, days=89)
    async with a_platform(a_role("DE/TWO")) as other:
        other.scripts[f"PUT {CREDENTIALS}"] = takes(hub, other)
        other_id = await register(hub, other, "DE/TWO")
        first = other.outbound
        await make_old(hub, days=91, platform_id=other_id)
        async with workers(hub, 1):
            await eventually(lambda: shows_another_than(hub, other_id, first), 20)

    assert not await shows_another_than(hub, platform_id, young)


async def make_old(hub: Hub, days: float, platform_id: str | None = None) -> None:
    """Let the tokens of a platform, or of all, have been given that long ago."""
    async with hub.means.store.connection() as connection:
        await connection.execute(
            "update outbound_token set created_at = now() - make_interval(secs => 86400 * $1::float8)"
            " where platform_id = coalesce($2::uuid, platform_id)",
            days,
            platform_id,
        )


async def shows_another_than(hub: Hub, platform_id: str, token: str) -> bool:
    """Whether the hub shows another token to a platform by now."""
    await hub.means.keeper.refresh()
    shown = hub.means.keeper.current.platforms[platform_id].token
    return shown is not None and shown.value != token


@contextlib.asynccontextmanager
async def workers(hub: Hub, count: int) -> AsyncIterator[None]:
    """Presence workers on the means of the hub, until the end of the block."""
    contexts = [a_context(hub) for _ in range(count)]
    tasks: Sequence[asyncio.Task[None]] = [asyncio.create_task(presence.run(context)) for context in contexts]
    try:
        yield
    finally:
        for context in contexts:
            context.stopping.set()
        await asyncio.gather(*tasks)
        hub.means.keeper.on_change = None


def a_context(hub: Hub) -> WorkerContext:
    """What one worker works with."""
    known = {field.name: getattr(hub.means, field.name) for field in fields(Means)}
    return WorkerContext(**known, stopping=asyncio.Event(), ready=lambda: None)
