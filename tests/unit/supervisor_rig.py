"""Small programs that stand for parts, and a supervisor that notes what it says."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra.dev.plan import is_there
from infra.dev.supervisor import Part

OBEDIENT = """
import pathlib, signal, sys
def end(*_):
    with open(sys.argv[2], "a") as file: file.write(sys.argv[3] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1]).touch()
while True: signal.pause()
"""
STUBBORN = """
import pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)", sys.argv[1]])
pathlib.Path(sys.argv[1]).touch()
while True: signal.pause()
"""

SMALL_HUB = """
import asyncio, os, pathlib, sys
from infra.dev.plan import Plan
from infra.dev.processes import Command
from infra.dev.up import up
from tests.unit.supervisor_rig import a_part
def small(path, env, address):
    run = path / "run"
    step = Command((sys.executable, "-c", os.environ.get("STEP", "pass")), path / "log" / "setup.log", env)
    return Plan({"the step": step}, (a_part(run, "worker"),), (a_part(run, "door", **eval(os.environ.get("DOOR", "{}"))),))
sys.exit(asyncio.run(up(pathlib.Path(sys.argv[1]), int(sys.argv[2]), plan=small)))
"""


def a_part(folder: Path, name: str, program: str = OBEDIENT, **changes: object) -> Part:
    """A part that is ready when its program has made the file in `argv[1]`; `argv[2]` is where it notes its end."""
    ready_file = folder / f"{name}.ready"
    part = {
        "name": name,
        "argv": (sys.executable, "-I", "-S", "-c", program, str(ready_file), str(folder / "ended"), name),
        "env": {"PATH": os.defpath},
        "log": folder / f"{name}.log",
        "ready": is_there(ready_file),
        "ready_file": ready_file,
        "ready_seconds": 10.0,
        "stop_seconds": 5.0,
    }
    return Part(**(part | changes))  # type: ignore[arg-type]


def a_sleeper() -> subprocess.Popen[bytes]:
    """A process that nobody supervises."""
    return subprocess.Popen(["sleep", "60"], start_new_session=True)


def running(folder: Path) -> list[psutil.Process]:
    """Every process that has to do with the folder: by its arguments, its variables or where it stands."""
    return [process for process in psutil.process_iter() if _belongs(process, str(folder))]


def _belongs(process: psutil.Process, folder: str) -> bool:
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        words = [*process.cmdline(), *process.environ().values(), process.cwd()]
    except psutil.Error:
        return False
    return any(folder in word for word in words)


async def eventually(holds: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until it holds; fails when it does not in time."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        await asyncio.sleep(0.02)


def run_python(program: str, *arguments: object, **env: str) -> subprocess.Popen[str]:
    """A Python program of its own, with the project at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def hub_up(data_dir: Path, env: Mapping[str, str], port: int = 0) -> Iterator[subprocess.Popen[str]]:
    """`hub up` with two small programs in place of the workers and the HTTP process; killed at the end of the block."""
    with run_python(SMALL_HUB, data_dir, port, **env) as process:
        try:
            yield process
        finally:
            process.kill()


def ready_line(process: subprocess.Popen[str]) -> dict[str, str]:
    """Wait for the line that says that everything is ready."""
    assert process.stdout is not None
    word, _, rest = process.stdout.readline().partition(" ")
    assert word == "ready"
    urls = json.loads(rest)
    assert isinstance(urls, dict)
    return urls
