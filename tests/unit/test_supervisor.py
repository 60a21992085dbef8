"""The supervisor keeps parts running, ends them in order and leaves nothing behind."""

import errno
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from infra.dev.failures import DiskFull, PartFailed
from infra.dev.processes import end_recorded, failure, record, started_at
from infra.dev.supervisor import Supervisor, bound_log, end_leftovers, next_delay
from tests.unit.supervisor_rig import OBEDIENT, STUBBORN, a_part, a_sleeper, eventually, run_python, running

SUPERVISING = """
import asyncio, pathlib, sys
from infra.dev.supervisor import Supervisor
from tests.unit.supervisor_rig import a_part
async def main():
    folder = pathlib.Path(sys.argv[1])
    async with Supervisor(folder) as supervisor:
        await supervisor.start(a_part(folder, "one"), a_part(folder, "two"))
        print("started", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_start_returns_when_every_part_is_ready(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(a_part(tmp_path, "one"), a_part(tmp_path, "two"))
        assert (tmp_path / "one.ready").exists()
        assert (tmp_path / "two.ready").exists()
    assert running(tmp_path) == []


async def test_a_part_that_ends_before_it_is_ready_fails_the_start_with_its_last_line(tmp_path: Path) -> None:
    broken = a_part(tmp_path, "broken", "import sys; sys.exit('the flux is out')")
    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(PartFailed, match="broken ended with code 1: the flux is out"):
            await supervisor.start(a_part(tmp_path, "sound"), broken)
    assert running(tmp_path) == []


async def test_a_part_that_is_not_ready_in_time_fails_the_start(tmp_path: Path) -> None:
    mute = a_part(tmp_path, "mute", "import time; time.sleep(60)", ready_seconds=0.3)
    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(PartFailed, match="mute was not ready"):
            await supervisor.start(mute)
    assert running(tmp_path) == []


async def test_a_part_that_dies_is_started_again_and_spoken_of(tmp_path: Path) -> None:
    said: list[str] = []
    async with Supervisor(tmp_path, said.append) as supervisor:
        await supervisor.start(a_part(tmp_path, "one"))
        first = supervisor.pid("one")
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: "one is ready again" in said)
        assert supervisor.pid("one") != first
    assert said[0] == "one was ended by signal 9, starting it again in 0.2 s"


async def test_a_part_is_started_again_only_when_what_it_needs_is_ready(tmp_path: Path) -> None:
    said: list[str] = []
    slow = a_part(tmp_path, "slow", f"import time; time.sleep(0.6)\n{OBEDIENT}")
    async with Supervisor(tmp_path, said.append) as supervisor:
        await supervisor.start(slow)
        await supervisor.start(a_part(tmp_path, "needy", needs=frozenset({"slow", "somewhere else"})))
        os.kill(supervisor.pid("slow"), signal.SIGKILL)
        os.kill(supervisor.pid("needy"), signal.SIGKILL)
        await eventually(lambda: "needy is ready again" in said)
    assert [line for line in said if "ready" in line] == ["slow is ready again", "needy is ready again"]


@pytest.mark.parametrize(
    ("previous", "healthy_seconds", "delay"),
    [(None, 0, 0.2), (0.2, 1, 0.4), (3.2, 29, 6.4), (6.4, 0, 10.0), (10.0, 0, 10.0), (10.0, 30, 0.2)],
)
def test_the_delay_doubles_up_to_ten_seconds_and_begins_anew_after_thirty_healthy_ones(
    previous: float | None, healthy_seconds: float, delay: float
) -> None:
    assert next_delay(previous, healthy_seconds) == pytest.approx(delay)


async def test_stop_ends_the_last_started_first(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        for name in ("one", "two", "three"):
            await supervisor.start(a_part(tmp_path, name))
    assert (tmp_path / "ended").read_text().split() == ["three", "two", "one"]


async def test_a_part_that_does_not_obey_is_killed_with_its_children(tmp_path: Path) -> None:
    said: list[str] = []
    async with Supervisor(tmp_path, said.append) as supervisor:
        await supervisor.start(a_part(tmp_path, "stubborn", STUBBORN, stop_seconds=0.2))
        assert len(running(tmp_path)) == 2
    assert "stubborn did not stop within 0.2 s and is killed" in said
    assert running(tmp_path) == []


async def test_stop_keeps_to_the_time_given_whatever_the_parts_would_like(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    for name in ("one", "two"):
        await supervisor.start(a_part(tmp_path, name, STUBBORN, stop_seconds=30.0))
    await supervisor.stop(within=0.3)
    assert running(tmp_path) == []


async def test_parts_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with run_python(SUPERVISING, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.kill()
    if sys.platform != "linux":
        await end_leftovers(tmp_path, lambda _: None)
    await eventually(lambda: running(tmp_path) == [])


async def test_what_an_earlier_supervisor_left_running_is_ended(tmp_path: Path) -> None:
    said: list[str] = []
    with a_sleeper() as left:
        record(tmp_path / "sleeper.pid", left.pid, signal.SIGTERM)
        await end_leftovers(tmp_path, said.append)
        assert left.wait() == -signal.SIGTERM
    assert said == ["sleeper of an earlier run was still there and has been ended"]


async def test_a_process_that_only_got_the_same_id_is_left_alone(tmp_path: Path) -> None:
    with a_sleeper() as other:
        note = {"pid": other.pid, "started": "another time", "ends_on": int(signal.SIGTERM)}
        (tmp_path / "sleeper.pid").write_text(json.dumps(note))
        assert not await end_recorded(tmp_path / "sleeper.pid")
        assert started_at(other.pid) is not None
        other.kill()


def test_a_program_that_ran_out_of_space_is_reported_as_a_full_disk(tmp_path: Path) -> None:
    log = tmp_path / "initdb.log"
    log.write_text(f"creating directory ... \ninitdb: error: could not write: {os.strerror(errno.ENOSPC)}\nremoving\n")
    assert isinstance(failure("initdb", "ended with code 1", log), DiskFull)


def test_the_trouble_of_an_earlier_run_is_not_told_again(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text(f"{os.strerror(errno.ENOSPC)}\n")
    before = log.stat().st_size
    with log.open("a") as file:
        file.write("the flux is out\n")
    assert "ended with code 1: the flux is out" in str(failure("part", "ended with code 1", log, before))


def test_a_log_is_moved_aside_when_it_has_grown_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        bound_log(log, largest=50)
        writer.write(b"y")
    assert log.read_bytes() == b"y"
    assert (tmp_path / "part.log.1").read_bytes() == b"x" * 100
