"""`hub up` with its embedded Postgres and Kafka: killed, started again on its data, stopped without a trace."""

import signal
import time
from pathlib import Path

import asyncpg

from tests.unit.supervisor_rig import hub_up, ready_line, running

EMBEDDED = {"HUB_POSTGRES_URL": "", "HUB_KAFKA_BOOTSTRAP": ""}


async def run_sql(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_a_killed_hub_leaves_nothing_and_the_next_goes_on_with_its_data(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with hub_up(data_dir, EMBEDDED) as killed:
        first = ready_line(killed)
        await run_sql(first["postgres_url"], "create table kept as select 7 as n")
        killed.kill()

    with hub_up(data_dir, EMBEDDED) as second:
        urls = ready_line(second)
        names = {process.name() for process in running(data_dir)}
        assert {"postgres", "java"} <= names
        assert await run_sql(urls["postgres_url"], "select n from kept") == 7
        assert urls["kafka_bootstrap"] == first["kafka_bootstrap"]
        asked = time.monotonic()
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=20)
        assert time.monotonic() - asked < 20
    assert second.returncode == 0
    assert running(tmp_path) == []
