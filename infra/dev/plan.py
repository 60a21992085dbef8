"""What `hub up` runs beside Postgres and Kafka, and when each part counts as ready.

A worker is ready when it has made the file named by its `HUB_READY_FILE`, the HTTP process when `/health/ready` answers 200.
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from infra.dev import ports
from infra.dev.failures import StartFailure
from infra.dev.processes import Command
from infra.dev.supervisor import Part, Probe
from workers import WORKERS

DRAIN_SECONDS: Final = 8.0
"""How long a worker finishes what it has begun; partners' deadlines are longer, but everything must have ended within 20 s."""
_WORKER_STOP_SECONDS: Final = DRAIN_SECONDS + 1.5
_HUB = (sys.executable, "-P", "-m", "infra.cli")
_STORES = frozenset({"postgres", "kafka"})
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where the HTTP process listens, and the URL under which partners reach it."""

    host: str
    port: int
    public_url: str

    @classmethod
    def of(cls, env: Mapping[str, str], host: str, port: int) -> Self:
        """What the environment says wins; port 0 becomes a free one.

        Raises:
            StartFailure: the port is none.
        """
        host = env.get("HUB_HOST") or host
        given = env.get("HUB_PORT") or str(port)
        if not given.isdecimal() or int(given) > LAST_PORT:
            raise StartFailure(f"{given!r} is not a port number: 0 to {LAST_PORT}")
        port = int(given) or ports.choose(host, 1)[0]
        return cls(host, port, (env.get("HUB_PUBLIC_URL") or _url(host, port)).rstrip("/"))

    @property
    def local_url(self) -> str:
        """How it is reached from this machine."""
        return _url(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps that run to their end, all at once; then workers and doors, of which the doors are stopped first."""

    steps: Mapping[str, Command]
    workers: tuple[Part, ...]
    doors: tuple[Part, ...]
    metrics: Mapping[str, str] = field(default_factory=dict)
    """The page of metrics of each process."""


def hub_plan(path: Path, env: Mapping[str, str], address: Address) -> Plan:
    """The hub itself."""
    setup = path / "log" / "setup.log"
    metrics_ports = dict(zip(WORKERS, ports.choose(address.host, len(WORKERS)), strict=True))
    return Plan(
        steps={
            "hub db migrate": Command((*_HUB, "db", "migrate"), setup, env),
            "hub topics apply": Command((*_HUB, "topics", "apply"), setup, env),
        },
        workers=tuple(_worker(name, path, env, port) for name, port in metrics_ports.items()),
        doors=(
            Part(
                name="serve",
                argv=(*_HUB, "serve"),
                env=env,
                log=path / "log" / "serve.log",
                needs=_STORES,
                ready=answers_ok(_LOCAL.get(address.host, address.host), address.port, "/health/ready"),
            ),
        ),
        metrics={"serve": f"{address.local_url}/metrics"}
        | {name: f"{_url(address.host, port)}/metrics" for name, port in metrics_ports.items()},
    )


def _worker(name: str, path: Path, env: Mapping[str, str], metrics_port: int) -> Part:
    """One worker. All of them share the environment, so each is given a port of its own for its metrics."""
    ready_file = path / "run" / f"{name}.ready"
    return Part(
        name=name,
        argv=(*_HUB, "worker", name),
        env={**env, "HUB_READY_FILE": str(ready_file), "HUB_METRICS_PORT": str(metrics_port)},
        log=path / "log" / f"{name}.log",
        needs=_STORES,
        ready=is_there(ready_file),
        ready_file=ready_file,
        stop_seconds=_WORKER_STOP_SECONDS,
    )


def is_there(path: Path) -> Probe:
    """Ready when the file exists."""

    async def probe() -> bool:
        return path.exists()

    return probe


def answers_ok(host: str, port: int, path: str) -> Probe:
    """Ready when a GET is answered with 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()

    async def probe() -> bool:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
        except OSError:
            return False

    return probe


def _url(host: str, port: int) -> str:
    host = _LOCAL.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
