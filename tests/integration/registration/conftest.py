"""One hub for all tests of registration; whatever platforms a test made are forgotten after it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.registration_rig import Hub, ScriptedPlatform, a_hub, a_platform, a_role, forget_platforms


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def hub(postgres_url: str, migrated_template: str, kafka_bootstrap: str) -> AsyncIterator[Hub]:
    async with a_hub(postgres_url, migrated_template, kafka_bootstrap) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="package", autouse=True)
async def nobody_is_left(hub: Hub) -> AsyncIterator[None]:
    """Forget the platforms of a test, so that every test may call its party NL/ENE."""
    yield
    await forget_platforms(hub)


@pytest_asyncio.fixture(loop_scope="package")
async def cpo() -> AsyncIterator[ScriptedPlatform]:
    """A platform that hosts the CPO NL/ENE."""
    async with a_platform(a_role("NL/ENE")) as made:
        yield made
