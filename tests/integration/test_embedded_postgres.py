"""The embedded Postgres: real, durable, below any directory, and never a change outside its own."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from infra.dev.directory import claim
from infra.dev.failures import StartFailure
from infra.dev.postgres import Postgres, embedded_postgres
from infra.dev.supervisor import Supervisor
from tests.unit.supervisor_rig import eventually, running


async def value(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@pytest.fixture
def private_home() -> Iterator[Path]:
    """A directory below one that only its owner may enter, as the home of root is."""
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        Path(home).chmod(0o700)
        yield Path(home) / "project"


async def test_it_serves_version_18_durably_and_keeps_its_rows(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path) as url:
        assert (await value(url, "show server_version")).startswith("18.")
        assert await value(url, "select current_database()") == "hub"
        assert await value(url, "show fsync") == "on"
        await value(url, "create table kept as select 7 as n")
    assert running(tmp_path) == []
    async with embedded_postgres(tmp_path) as url:
        assert await value(url, "select n from kept") == 7


async def test_below_a_private_home_it_works_and_changes_no_permission_outside(private_home: Path) -> None:
    outside = [private_home.parent, *private_home.parent.parents]
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in outside]
    async with embedded_postgres(private_home) as url:
        assert await value(url, "select 1") == 1
        assert private_home.stat().st_mode & 0o777 == 0o700
    assert [(path, path.stat().st_mode, path.stat().st_uid) for path in outside] == before


async def test_it_does_not_run_as_root(tmp_path: Path) -> None:
    path = claim(tmp_path)
    server = Postgres(path)
    await server.prepare()
    async with Supervisor(path / "run") as supervisor:
        await supervisor.start(server.part())
        assert psutil.Process(supervisor.pid("postgres")).uids().effective != 0


async def test_after_a_kill_it_is_back_with_what_was_committed(tmp_path: Path) -> None:
    path = claim(tmp_path)
    said: list[str] = []
    server = Postgres(path, said.append)
    await server.prepare()
    async with Supervisor(path / "run", said.append) as supervisor:
        await supervisor.start(server.part())
        await value(server.url, "create table kept as select 7 as n")
        os.kill(supervisor.pid("postgres"), signal.SIGKILL)
        await eventually(lambda: "postgres is ready again" in said)
        assert await value(server.url, "select n from kept") == 7
    assert running(tmp_path) == []


async def test_a_long_path_gets_a_short_socket_directory_that_is_removed_at_the_end(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path / ("long" * 30)) as url:
        assert await value(url, "select 1") == 1
        sockets = Path(url.partition("host=")[2])
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


async def test_a_first_start_that_was_interrupted_is_begun_anew(tmp_path: Path) -> None:
    half = claim(tmp_path) / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    async with embedded_postgres(tmp_path) as url:
        assert await value(url, "select 1") == 1


async def test_a_cluster_of_another_version_is_refused(tmp_path: Path) -> None:
    cluster = claim(tmp_path) / "postgres"
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(StartFailure, match="of Postgres 17, not 18"):
        await Postgres(tmp_path).prepare()
