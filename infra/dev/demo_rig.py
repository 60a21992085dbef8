"""What the demo stands on: the hub and the platforms as real processes, and small helpers to talk to them."""

import asyncio
import contextlib
import gzip
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import aiohttp

READY: Final = "ready "
PROCESS_START_SECONDS: Final = 180.0
LONGEST_BODY_SHOWN: Final = 600


class DemoFailedError(Exception):
    """A step of the demo does not hold."""


def must(condition: object, what: str) -> None:
    """Go on only if it holds.

    Raises:
        DemoFailedError: it does not; the message says what was expected.
    """
    if not condition:
        raise DemoFailedError(what)


@dataclass(slots=True)
class Process:
    """A process of the demo; `ready` is what its ready line said."""

    name: str
    process: asyncio.subprocess.Process
    ready: dict[str, Any]

    async def stop(self, grace_seconds: float = 25.0) -> None:
        """SIGTERM, then SIGKILL."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(grace_seconds):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


async def start(name: str, *words: str, log: Path) -> Process:
    """Start `hub …` and wait for its ready line.

    Raises:
        DemoFailedError: it ended or took too long; its log tells why.
    """
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "infra.cli", *words, stdout=asyncio.subprocess.PIPE, stderr=stderr
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PROCESS_START_SECONDS):
            line = (await process.stdout.readline()).decode()
    except TimeoutError:
        process.kill()
        line = ""
    if not line.startswith(READY):
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise DemoFailedError(f"{name} did not start:\n{tail}")
    return Process(name, process, json.loads(line.removeprefix(READY)))


@dataclass(slots=True)
class Platform:
    """A simulated platform: its control API, its parties, and how it meets the hub."""

    name: str
    role: str
    parties: tuple[str, ...]
    process: Process
    session: aiohttp.ClientSession = field(repr=False)

    async def order(self, call: str, **body: Any) -> Any:
        """POST to the control API; the JSON that it answers."""
        async with self.session.post(f"{self.process.ready['control_url']}/{call}", json=body) as response:
            answer = await response.json()
            must(response.status == 200, f"{self.name} {call}: {answer}")
            return answer

    async def look(self, path: str) -> Any:
        """GET from the control API."""
        async with self.session.get(f"{self.process.ready['control_url']}/{path}") as response:
            return await response.json()

    async def received(self, **filters: str) -> list[dict[str, Any]]:
        """What reached this platform, oldest first."""
        query = "&".join(f"{name}={value}" for name, value in {"limit": "100000", **filters}.items())
        found = await self.look(f"received?{query}")
        items: list[dict[str, Any]] = found["items"]
        return items

    async def send(self, method: str, module: str, path: str, **more: Any) -> dict[str, Any]:
        """One OCPI request to the hub."""
        answer: dict[str, Any] = await self.order("send", method=method, module=module, path=path, **more)
        return answer


@dataclass(slots=True)
class Stage:
    """Everything that the steps share."""

    folder: Path
    session: aiohttp.ClientSession
    hub: Process
    is_raw: bool
    platforms: dict[str, Platform] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """How each platform was started."""

    async def restart(self, name: str) -> None:
        """Start a platform that was stopped: the same port and store, which its state file remembers."""
        log = self.folder / f"{name}-again.log"
        self.platforms[name].process = await start(name, *self.words[name], log=log)

    @property
    def data_dir(self) -> Path:
        """The hub's data directory."""
        return self.folder / "hub"

    @property
    def versions_url(self) -> str:
        """Where partners begin."""
        url: str = self.hub.ready["versions_url"]
        return url

    def of(self, role: str) -> list[Platform]:
        """The platforms of a role."""
        return [platform for platform in self.platforms.values() if platform.role == role]

    async def operate(self, *words: str) -> Any:
        """Run `hub …` as its operator would; the JSON that it prints."""
        arguments = [*words, "-o", "json", "--data-dir", str(self.data_dir)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.cli",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        must(process.returncode == 0, f"hub {' '.join(words)}: {err.decode().strip()}")
        return json.loads(out)

    async def ask(self, method: str, url: str, token: str | None = None) -> tuple[int, Any]:
        """A bare request to the hub, as somebody would make who is no platform yet."""
        headers = {"Authorization": f"Token {token}"} if token else {}
        async with self.session.request(method, url, headers=headers) as response:
            return response.status, await response.json()

    def worker_pid(self, name: str) -> int:
        """The process id of a worker, as the supervisor noted it."""
        noted = json.loads((self.data_dir / "run" / f"{name}.pid").read_text())
        return int(noted["pid"] if isinstance(noted, dict) else noted)


async def eventually(
    look: Callable[[], Awaitable[Any]], *, seconds: float, what: str, every_seconds: float = 0.1
) -> Any:
    """The first true value that `look` gives.

    Raises:
        DemoFailedError: there was none in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if found:
            return found
        must(time.monotonic() < deadline, f"{what} (waited {seconds:.0f} s)")
        await asyncio.sleep(every_seconds)


def data(name: str) -> Any:
    """The demo's data: `wijchen-start.json.gz`, `wijchen-tariffs.json.gz`, `wijchen-changes.jsonl.gz`."""
    raw = gzip.decompress(files("infra.dev.demo_data").joinpath(name).read_bytes())
    return [json.loads(line) for line in raw.splitlines()] if name.endswith(".jsonl.gz") else json.loads(raw)


def data_path(name: str) -> str:
    """Where a file of the demo's data lies."""
    return str(files("infra.dev.demo_data").joinpath(name))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def hops(stage: Stage, sent: dict[str, Any], *arrived: dict[str, Any]) -> str:
    """With `--raw`: what was sent to the hub and answered by it, and what arrived from it, headers and bodies."""
    if not stage.is_raw:
        return ""
    lines = [f"→ hub  {sent.get('method', '')} {sent.get('url', '')}", f"   x-request-id: {sent.get('request_id')}"]
    lines += [f"   x-correlation-id: {sent.get('correlation_id')}"]
    for item in arrived:
        lines.append(f"hub →  {item['method']} {item['path']}{'?' if item['query'] else ''}{item['query']}")
        lines += [f"   {name}: {value}" for name, value in item["headers"].items()]
        lines.append(f"   {_short(item.get('body'))}")
    if "status" in sent:
        lines.append(f"← hub  HTTP {sent['status']}")
        lines += [f"   {name}: {value}" for name, value in (sent.get("headers") or {}).items()]
        lines.append(f"   {_short(sent.get('body'))}")
    return "\n" + "\n".join(lines)


def _short(body: Any) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    return text if len(text) <= LONGEST_BODY_SHOWN else f"{text[:LONGEST_BODY_SHOWN]}… ({len(text)} characters)"


def kill(pid: int) -> None:
    """End one process at once, without a word."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def new_id() -> str:
    """A fresh short id."""
    return secrets.token_hex(6)
