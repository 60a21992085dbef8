"""Keeps a set of named processes running and ends them in order: the one place that knows how parts live together.

What it promises:

* `start` returns when the parts given to it are ready, or raises and leaves none of them behind.
* What dies afterwards is started again, after 0.2 s, then 0.4 s and so on up to 10 s; a part that was well for 30 s begins anew.
* `stop` ends the parts of the last `start` first, and everything within the time given; what does not obey is killed.
* Should the supervisor itself be killed, its parts get their `parent_death_signal` (Linux); what still runs then is found
  at the next start.
"""

import asyncio
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.dev.processes import Account, Command, end_recorded, failure, kill_group, record, size, spawn, tail

Say = Callable[[str], None]
Probe = Callable[[], Awaitable[bool]]
_Ready = dict[str, asyncio.Event]

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 10.0
HEALTHY_AFTER_SECONDS = 30.0
STOP_SECONDS = 19.0
LARGEST_LOG_BYTES = 16 * 2**20
_POLL_SECONDS = 0.05
_PROBE_SECONDS = 3.0
_LOG_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process that shall always run: when it counts as ready, how it likes to be ended, what to `clean` up then.

    It is not started again before the parts that it `needs` are ready, so they need not share the machine with futile attempts.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    ready: Probe
    ready_file: Path | None = None
    ready_seconds: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 5.0
    parent_death_signal: int = signal.SIGKILL
    account: Account | None = None
    clean: Callable[[], None] | None = None
    needs: frozenset[str] = frozenset()

    @property
    def command(self) -> Command:
        """How it is started."""
        return Command(self.argv, self.log, self.env, self.account, self.parent_death_signal)


def say_on_stderr(line: str) -> None:
    """One line of progress or trouble for the person who runs this."""
    with suppress(OSError):
        sys.stderr.write(f"hub: {line}\n")
        sys.stderr.flush()


def next_delay(previous: float | None, healthy_seconds: float) -> float:
    """How long to wait before a part that ended is started again."""
    if previous is None or healthy_seconds >= HEALTHY_AFTER_SECONDS:
        return FIRST_DELAY_SECONDS
    return min(previous * 2, LONGEST_DELAY_SECONDS)


async def together(*work: Coroutine[None, None, None]) -> None:
    """Do all of it at once; the first that fails ends the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


class Supervisor:
    """Runs parts; `run_dir` keeps a record of each process, so that one that outlives a killed supervisor is found."""

    def __init__(self, run_dir: Path, say: Say = say_on_stderr) -> None:
        self._run_dir = run_dir
        self._say = say
        self._ranks: list[list[_Kept]] = []
        self._ready: _Ready = {}
        self._logs: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *parts: Part) -> None:
        """Start these parts together and return when all are ready.

        Raises:
            StartFailure: one of them ended, or was not ready in time; `stop` ends the others.
        """
        rank = [_Kept(part, self._run_dir / f"{part.name}.pid", self._ready, self._say) for part in parts]
        self._ranks.append(rank)
        if self._logs is None:
            self._logs = asyncio.create_task(self._bound_logs())
        await together(*(kept.start() for kept in rank))

    async def stop(self, within: float = STOP_SECONDS) -> None:
        """End every part, the last started first; may be called again."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + within
        while self._ranks:
            rank = self._ranks[-1]
            await asyncio.gather(*(kept.stop(max(0.0, deadline - clock())) for kept in rank))
            self._ranks.pop()
        if self._logs is not None:
            self._logs.cancel()
            self._logs = None

    def pid(self, name: str) -> int:
        """The process id under which a part runs at the moment."""
        return next(kept.pid for rank in self._ranks for kept in rank if kept.part.name == name)

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_SECONDS)
            for log in {kept.part.log for rank in self._ranks for kept in rank}:
                with suppress(OSError):
                    bound_log(log)


async def end_leftovers(run_dir: Path, say: Say) -> None:
    """End what a supervisor that was killed has left running."""
    for path in sorted(run_dir.glob("*.pid")):
        if await end_recorded(path):
            say(f"{path.stem} of an earlier run was still there and has been ended")


class _Kept:
    """One part and the process that it is at the moment."""

    def __init__(self, part: Part, record_path: Path, ready: _Ready, say: Say) -> None:
        self.part = part
        self._record_path = record_path
        self._all_ready = ready
        self._ready = ready.setdefault(part.name, asyncio.Event())
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._log_begins = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        await end_recorded(self._record_path)
        process = await self._spawn()
        trouble = await self._wait_ready(process)
        if trouble:
            raise failure(self.part.name, trouble, self.part.log, self._log_begins)
        self._ready.set()
        self._keeping = asyncio.create_task(self._keep(process))

    async def stop(self, within: float) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if self._process is not None:
            await self._end(self._process, min(within, self.part.stop_seconds))
        self._record_path.unlink(missing_ok=True)
        if self.part.ready_file is not None:
            self.part.ready_file.unlink(missing_ok=True)
        if self.part.clean is not None:
            self.part.clean()

    async def _spawn(self) -> asyncio.subprocess.Process:
        if self.part.ready_file is not None:
            self.part.ready_file.unlink(missing_ok=True)
        self._log_begins = size(self.part.log)
        self._process = await spawn(self.part.command)
        record(self._record_path, self._process.pid, self.part.stop_signal)
        return self._process

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> str | None:
        """Returns None when ready, else what went wrong."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.part.ready_seconds
        while clock() < deadline:
            ready = await _answers(self.part.ready)
            if process.returncode is not None:
                return _how_it_ended(process.returncode)
            if ready:
                return None
            await asyncio.sleep(_POLL_SECONDS)
        return f"was not ready within {self.part.ready_seconds:.0f} s"

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        clock = asyncio.get_running_loop().time
        ready_since, delay = clock(), None
        while True:
            code = await process.wait()
            self._ready.clear()
            kill_group(process.pid)
            delay = next_delay(delay, clock() - ready_since)
            last = (
                f"; its last words: {lines[-1]}"
                if code > 0 and (lines := tail(self.part.log, self._log_begins))
                else ""
            )
            self._say(f"{self.part.name} {_how_it_ended(code)}, starting it again in {delay:.1f} s{last}")
            await asyncio.sleep(delay)
            for name in self.part.needs & self._all_ready.keys():
                await self._all_ready[name].wait()
            ready_since = clock()
            with suppress(OSError):
                process = await self._spawn()
                trouble = await self._wait_ready(process)
                ready_since = clock()
                if trouble is None:
                    self._ready.set()
                    self._say(f"{self.part.name} is ready again")
                elif process.returncode is None:
                    self._say(f"{self.part.name} {trouble}")
                    await self._end(process, self.part.stop_seconds)

    async def _end(self, process: asyncio.subprocess.Process, patience: float) -> None:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(self.part.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), patience)
            except TimeoutError:
                self._say(f"{self.part.name} did not stop within {patience:.1f} s and is killed")
        kill_group(process.pid)
        await process.wait()


async def _answers(probe: Probe) -> bool:
    try:
        return await asyncio.wait_for(probe(), _PROBE_SECONDS)
    except TimeoutError:
        return False


def _how_it_ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def bound_log(log: Path, largest: int = LARGEST_LOG_BYTES) -> None:
    """Keep a log and its predecessor below `largest` each; emptied in place, since its writer has it open for appending."""
    if log.stat().st_size > largest:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        with log.open("r+b") as file:
            file.truncate(0)
