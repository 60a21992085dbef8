"""`hub up` from its start to its end, and each way in which it refuses to start, with small programs as its parts."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from infra.dev import failures
from infra.dev.directory import check_space, claim
from infra.dev.failures import DirectoryUnusable, DiskFull
from infra.dev.kafka import Kafka
from infra.dev.plan import Address, hub_plan
from infra.dev.postgres import Postgres
from infra.dev.supervisor import STOP_SECONDS
from infra.dev.up import environment
from tests.unit.supervisor_rig import eventually, hub_up, ready_line, running
from workers import WORKERS

STORES = {"HUB_POSTGRES_URL": "postgresql://somewhere/hub", "HUB_KAFKA_BOOTSTRAP": "somewhere:9092"}


def refusal(data_dir: Path, port: int = 0, **env: str) -> tuple[int, str]:
    """The exit code of an attempt that must fail, and its last line; there may be no traceback and nothing on stdout."""
    with hub_up(data_dir, STORES | env, port) as process:
        stdout, stderr = process.communicate(timeout=20)
    assert stdout == ""
    assert all(line.startswith("hub: ") for line in stderr.splitlines()), stderr
    return process.returncode, stderr.splitlines()[-1]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_it_says_once_where_everything_is_and_stops_in_order(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with hub_up(data_dir, STORES) as process:
        urls = ready_line(process)
        known = json.loads((data_dir / "hub.json").read_text())
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (0, "")
    assert set(urls) == {"versions_url", "admin_url", "postgres_url", "kafka_bootstrap", "metrics"}
    assert known == urls | {"operator_token_file": str(data_dir / "operator-token")}
    assert (data_dir / "run" / "ended").read_text().split() == ["door", "worker"]
    assert running(tmp_path) == []


async def test_what_it_keeps_is_private_and_stays_the_same(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    kept = []
    for _ in range(2):
        with hub_up(data_dir, STORES) as process:
            ready_line(process)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        kept.append([(data_dir / name).read_text() for name in ("operator-token", "secrets.key")])
    assert kept[0] == kept[1]
    assert mode(data_dir) == 0o700
    assert {mode(data_dir / name) for name in ("operator-token", "secrets.key", "hub.json", "lock")} == {0o600}


async def test_a_second_one_on_the_same_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with hub_up(tmp_path / "data", STORES) as process:
        ready_line(process)
        code, line = refusal(tmp_path / "data")
        assert process.poll() is None
    assert code == failures.EXIT_DIRECTORY_IN_USE
    assert f"(process {process.pid})" in line


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, line = refusal(tmp_path / "data", port)
    assert code == failures.EXIT_PORT_TAKEN
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


def test_a_directory_that_holds_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").write_text("dear all")
    code, line = refusal(tmp_path)
    assert code == failures.EXIT_DIRECTORY_UNUSABLE
    assert "choose another --data-dir" in line
    assert mode(tmp_path) == 0o755


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryUnusable, match="file/data cannot be used"):
        claim(tmp_path / "file" / "data")


def test_a_wrong_setting_is_named_before_anything_is_started(tmp_path: Path) -> None:
    code, line = refusal(tmp_path / "data", HUB_AGREEMENTS="foo")
    assert code == failures.EXIT_PART_FAILED
    assert "HUB_AGREEMENTS='foo'" in line
    assert not (tmp_path / "data" / "secrets.key").exists()


def test_too_little_space_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="free some space"):
        check_space(tmp_path, needed=2**60)


def test_a_step_that_fails_ends_the_start_with_its_last_line(tmp_path: Path) -> None:
    code, line = refusal(tmp_path / "data", STEP="import sys; sys.exit('no such schema')")
    assert code == failures.EXIT_PART_FAILED
    assert "the step ended with code 1: no such schema" in line
    assert running(tmp_path) == []


async def test_a_stop_during_the_start_is_obeyed(tmp_path: Path) -> None:
    with hub_up(tmp_path / "data", STORES | {"DOOR": "{'argv': ('/bin/sleep', '60')}"}) as process:
        await eventually((tmp_path / "data" / "run" / "worker.ready").exists)
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (0, "")
    assert running(tmp_path) == []


async def test_after_a_kill_the_next_one_takes_over(tmp_path: Path) -> None:
    with hub_up(tmp_path / "data", STORES) as process:
        ready_line(process)
        process.kill()
        process.wait()
        with hub_up(tmp_path / "data", STORES) as second:
            ready_line(second)
            second.send_signal(signal.SIGTERM)
            second.communicate(timeout=20)
    assert second.returncode == 0
    assert running(tmp_path) == []


def test_variables_of_the_caller_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_AGREEMENTS", "explicit")
    monkeypatch.setenv("HUB_PUBLIC_URL", "https://hub.example/")
    monkeypatch.setenv("HUB_KAFKA_BOOTSTRAP", "")
    address = Address.of(os.environ, "0.0.0.0", 8080)
    env = environment(tmp_path, address, "postgresql:///hub", "127.0.0.1:9092")
    assert env["HUB_AGREEMENTS"] == "explicit"
    assert (env["HUB_PUBLIC_URL"], address.public_url) == ("https://hub.example/", "https://hub.example")
    assert env["HUB_KAFKA_BOOTSTRAP"] == "127.0.0.1:9092"
    assert env["HUB_PARTNER_NETWORKS"] == "127.0.0.0/8,::1/128"
    assert address.local_url == "http://127.0.0.1:8080"


def test_every_worker_that_exists_is_run(tmp_path: Path) -> None:
    planned = hub_plan(tmp_path, {}, Address("127.0.0.1", 8080, "http://127.0.0.1:8080"))
    assert [part.name for part in planned.workers] == list(WORKERS)


def test_every_process_has_a_page_of_metrics_of_its_own(tmp_path: Path) -> None:
    planned = hub_plan(tmp_path, {"HUB_METRICS_PORT": "9100"}, Address("127.0.0.1", 8080, "http://127.0.0.1:8080"))
    ports = {part.name: part.env["HUB_METRICS_PORT"] for part in planned.workers}
    assert planned.metrics == {
        "serve": "http://127.0.0.1:8080/metrics",
        **{name: f"http://127.0.0.1:{port}/metrics" for name, port in ports.items()},
    }
    assert len(set(planned.metrics.values())) == len(WORKERS) + 1


def test_a_stop_fits_in_twenty_seconds_and_leaves_workers_the_time_to_finish(tmp_path: Path) -> None:
    """The HTTP process, then the workers, then Postgres and Kafka together: each rank has its time within the whole."""
    address = Address("127.0.0.1", 8080, "http://127.0.0.1:8080")
    env = environment(tmp_path, address, "", "")
    planned = hub_plan(tmp_path, env, address)
    doors, workers = (max(part.stop_seconds for part in rank) for rank in (planned.doors, planned.workers))
    assert workers > float(env["HUB_DRAIN_SECONDS"])
    (tmp_path / "postgres").mkdir()
    assert doors + workers + Postgres(tmp_path).part().stop_seconds < STOP_SECONDS < 20
    assert doors + Kafka(tmp_path).part().stop_seconds < STOP_SECONDS
