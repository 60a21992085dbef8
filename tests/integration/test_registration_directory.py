"""The directory of a process stays current: told by NOTIFY, by polling where that fails, under a lease."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from hub.model.directory import Directory
from hub.ocpi.parties import PartyId
from hub.store import directory
from hub.store.directory import DirectoryKeeper, await_holders, bump
from hub.store.pool import Store
from hub.store.secrets import Secrets
from tests.integration.partner_rig import eventually

SECRETS = Secrets(b"k" * 32)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    made = await Store.open(database_url, size=4)
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def a_keeper(database_url: str, name: str = "one", secrets: Secrets = SECRETS) -> AsyncIterator[DirectoryKeeper]:
    """The keeper of another process, with connections of its own."""
    own = await Store.open(database_url, size=3)
    keeper = DirectoryKeeper(
        own, secrets, hub_party=PartyId("NL", "HUB"), agreements="open", process_id=name, name="test"
    )
    try:
        await keeper.start()
        yield keeper
        await keeper.stop()
    finally:
        await own.close()


async def add_platform(store: Store, *, announced: bool = True, raised: bool = True) -> str:
    """Change the directory as a use case does; `announced` and `raised` leave parts of that out."""
    platform_id = str(uuid.uuid4())
    async with store.transaction() as connection:
        await connection.execute(
            "insert into platform (platform_id, name, status) values ($1, 'p', 'connected')", platform_id
        )
        if announced:
            await bump(connection)
        elif raised:
            await connection.execute("update directory_version set version = version + 1")
    return platform_id


async def holds(keeper: DirectoryKeeper, platform_id: str, within_s: float) -> None:
    """Wait until a process knows a platform."""

    async def knows() -> bool:
        return platform_id in keeper.current.platforms

    await eventually(knows, within_s)


async def test_a_change_is_known_in_other_processes_within_a_second(database_url: str, store: Store) -> None:
    async with a_keeper(database_url, "one") as one, a_keeper(database_url, "two") as two:
        heard: list[Directory] = []
        two.on_change = heard.append
        before = two.current

        platform_id = await add_platform(store)
        await holds(one, platform_id, 1)
        await holds(two, platform_id, 1)

    assert [each.version for each in heard] == [before.version + 1]
    assert platform_id not in before.platforms


async def test_a_change_that_was_rolled_back_is_no_change(database_url: str, store: Store) -> None:
    async with a_keeper(database_url) as keeper:
        version = keeper.current.version
        with pytest.raises(RuntimeError):
            async with store.transaction() as connection:
                await bump(connection)
                raise RuntimeError
        await keeper.refresh()

        assert keeper.current.version == version


async def test_a_change_that_was_not_announced_is_found_by_polling(
    database_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "POLL_SECONDS", 0.2)
    async with a_keeper(database_url) as keeper:
        await holds(keeper, await add_platform(store, announced=False), 2)


async def test_listening_goes_on_after_its_connection_was_lost(database_url: str, store: Store) -> None:
    """The poll is every five seconds: what comes sooner was announced."""
    async with a_keeper(database_url) as keeper:
        async with store.connection() as connection:
            ended = await connection.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and query ilike 'listen%'"
            )
        missed = await add_platform(store)
        await holds(keeper, missed, 3)

        started = time.monotonic()
        await holds(keeper, await add_platform(store), 3)

    assert len(ended) == 1
    assert time.monotonic() - started < 3


async def test_polling_goes_on_after_a_fault_that_nobody_foresaw(
    database_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "POLL_SECONDS", 0.1)
    async with a_keeper(database_url) as keeper:
        async with store.connection() as connection:
            await connection.execute("alter table endpoint rename to elsewhere")
        platform_id = await add_platform(store)

        async def has_failed() -> bool:
            return keeper.age_seconds > 0.5

        await eventually(has_failed, 3)
        async with store.connection() as connection:
            await connection.execute("alter table elsewhere rename to endpoint")

        await holds(keeper, platform_id, 3)


async def test_a_process_that_cannot_renew_its_lease_may_not_send_until_it_can(
    postgres_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(directory, "LEASE_SECONDS", 1.0)
    name = urlsplit(database_url).path.strip("/")
    postgres = await asyncpg.connect(postgres_url)
    try:
        async with a_keeper(database_url) as keeper:
            assert keeper.may_send
            held = keeper.current
            await postgres.execute(f"alter database {name} allow_connections false")
            await postgres.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)

            async def may_not_send() -> bool:
                return not keeper.may_send

            await eventually(may_not_send, 3)
            assert keeper.current is held
            await postgres.execute(f"alter database {name} allow_connections true")

            async def may_send() -> bool:
                return keeper.may_send

            await eventually(may_send, 5)
    finally:
        await postgres.execute(f"alter database {name} allow_connections true")
        await postgres.close()


async def test_the_lease_here_ends_before_the_one_that_others_wait_for(database_url: str, store: Store) -> None:
    async with a_keeper(database_url) as keeper, store.connection() as connection:
        left = await connection.fetchval(
            "select extract(epoch from expires_at - clock_timestamp())::float8 from directory_holder"
        )
        here = directory.LEASE_SECONDS - keeper.age_seconds

    assert 0 < here <= left + 0.01


async def test_awaiting_holders_ends_when_all_live_processes_hold_the_version(database_url: str, store: Store) -> None:
    async with a_keeper(database_url, "one"), a_keeper(database_url, "two"):
        async with store.transaction() as connection:
            version = await bump(connection)

        assert await await_holders(store, version, timeout=3)


async def test_awaiting_holders_gives_up_on_one_that_does_not_follow(database_url: str, store: Store) -> None:
    async with a_keeper(database_url):
        await a_stuck_process(store, lease_s=60)
        async with store.transaction() as connection:
            version = await bump(connection)

        assert not await await_holders(store, version, timeout=0.3)


async def test_awaiting_holders_does_not_wait_beyond_the_lease_of_a_dead_process(
    database_url: str, store: Store
) -> None:
    async with a_keeper(database_url):
        await a_stuck_process(store, lease_s=0.5)
        async with store.transaction() as connection:
            version = await bump(connection)

        assert await await_holders(store, version, timeout=5)


async def a_stuck_process(store: Store, lease_s: float) -> None:
    """A process that holds an old version and no longer renews."""
    async with store.connection() as connection:
        await connection.execute(
            "insert into directory_holder (process_id, name, version, expires_at)"
            " values ('stuck', 'relay', 0, now() + make_interval(secs => $1))",
            lease_s,
        )


async def test_a_process_that_stops_gives_its_lease_back(database_url: str, store: Store) -> None:
    async with a_keeper(database_url), store.connection() as connection:
        assert await connection.fetchval("select count(*) from directory_holder") == 1

    async with store.connection() as connection:
        assert await connection.fetchval("select count(*) from directory_holder") == 0


async def test_a_token_that_the_snapshot_lacks_is_found_and_taken_up(database_url: str, store: Store) -> None:
    async with a_keeper(database_url) as keeper:
        platform_id = await add_platform(store, announced=False, raised=False)
        async with store.transaction() as connection:
            await connection.execute(
                "insert into inbound_token (token_hash, platform_id, kind) values ($1, $2, 'access')",
                b"hash",
                platform_id,
            )
            await connection.execute("update directory_version set version = version + 1")

        assert b"hash" not in keeper.current.tokens
        assert await keeper.knows_token(b"hash")
        assert keeper.current.tokens[b"hash"].platform_id == platform_id
        assert not await keeper.knows_token(b"another hash")


async def test_an_outbound_token_of_another_key_leaves_its_platform_unconnected(
    database_url: str, store: Store
) -> None:
    platform_id, readable = await add_platform(store), await add_platform(store)
    async with store.connection() as connection:
        for each, secrets in ((platform_id, Secrets(b"x" * 32)), (readable, SECRETS)):
            await connection.execute(
                "insert into outbound_token (platform_id, sealed, key_id) values ($1, $2, $3)",
                each,
                secrets.seal("their-token", each),
                secrets.key_id,
            )

    async with a_keeper(database_url) as keeper:
        assert not keeper.current.platforms[platform_id].is_connected
        assert keeper.current.platforms[readable].is_connected


async def test_versions_of_concurrent_changes_never_repeat(database_url: str, store: Store) -> None:
    async def change() -> int:
        async with store.transaction() as connection:
            return await bump(connection)

    versions = await asyncio.gather(*(change() for _ in range(20)))

    assert len(set(versions)) == 20
