"""Operating-system processes: started with a bond to their parent, recognised again later, ended with all that they started.

Every process leads its own session, so a Ctrl-C at the terminal reaches the supervisor only and the parts stop in order.
"""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.dev import launch
from infra.dev.directory import unwritable
from infra.dev.failures import PartFailed, StartFailure

_POLL_SECONDS = 0.02
_TAIL_BYTES = 4096
_DISK_IS_FULL = (os.strerror(errno.ENOSPC), "Check free disk space")


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a process runs as instead of root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """A program with all that its start needs; its whole output goes to the end of `log`."""

    argv: Sequence[str]
    log: Path
    env: Mapping[str, str]
    account: Account | None = None
    parent_death_signal: int = signal.SIGKILL


async def spawn(command: Command, stdin: bytes | None = None) -> asyncio.subprocess.Process:
    """Start the program. It gets `parent_death_signal` when this thread ends, in whatever way (on Linux)."""
    account = f"{command.account.uid}:{command.account.gid}" if command.account else "-"
    wrapper = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(command.parent_death_signal), account]
    with command.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *wrapper,
            *command.argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(command.env),
            start_new_session=True,
        )
    if stdin is not None:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
    return process


async def run_once(name: str, command: Command, stdin: bytes | None = None) -> None:
    """Run a program to its end; killed when the caller is cancelled.

    Raises:
        PartFailed: it ended with another code than 0; the message holds its last line.
        DiskFull: the same, for want of space.
    """
    begins = size(command.log)
    process = await spawn(command, stdin)
    try:
        code = await process.wait()
    except BaseException:
        kill_group(process.pid)
        await process.wait()
        raise
    if code != 0:
        raise failure(name, f"ended with code {code}", command.log, begins)


def failure(name: str, what: str, log: Path, begins: int = 0) -> StartFailure:
    """The one-line error for a program that wrote `log` from byte `begins` on."""
    lines = tail(log, begins)
    if any(sign in line for line in lines for sign in _DISK_IS_FULL):
        return unwritable(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), log.parent)
    last = f": {lines[-1]}" if lines else ""
    return PartFailed(f"{name} {what}{last} (see {log})")


def tail(log: Path, begins: int = 0) -> list[str]:
    """The last lines written after byte `begins`, without empty ones and what a Java runtime says at each end."""
    end = size(log)
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(begins if begins <= end else 0, end - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("WARNING: ")]
    return []


def size(log: Path) -> int:
    """How much has been written so far."""
    return log.stat().st_size if log.exists() else 0


def kill_group(pid: int) -> None:
    """SIGKILL to everything in the session's process group that `pid` leads."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def started_at(pid: int) -> str | None:
    """A text that tells this process from any other that had or will have its id; None when it does not run."""
    if not Path("/proc/self/stat").exists():
        return _ps(pid, "lstart")
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
    return None


def program_of(pid: int) -> str | None:
    """The short name of the program that a process runs; None when there is no such process."""
    if not Path("/proc/self/comm").exists():
        listed = _ps(pid, "comm")
        return Path(listed).name if listed else None
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return None


def _ps(pid: int, column: str) -> str | None:
    listed = subprocess.run(["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None


def record(path: Path, pid: int, ends_on: int) -> None:
    """Note which process runs and what signal it ends on, for `end_recorded` after a crash of ours."""
    path.write_text(json.dumps({"pid": pid, "started": started_at(pid), "ends_on": int(ends_on)}))


async def end_recorded(path: Path, patience: float = 8.0) -> bool:
    """End the process that an earlier, killed supervisor noted, if it still runs; returns whether it did."""
    try:
        noted = json.loads(path.read_text())
        pid, started, ends_on = int(noted["pid"]), noted["started"], int(noted["ends_on"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    path.unlink(missing_ok=True)
    if started is None or started_at(pid) != started:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, ends_on)
    deadline = asyncio.get_running_loop().time() + patience
    while started_at(pid) == started:
        if asyncio.get_running_loop().time() > deadline:
            kill_group(pid)
        await asyncio.sleep(_POLL_SECONDS)
    kill_group(pid)
    return True
