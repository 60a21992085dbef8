"""`python -m tests.load.partners SPEC`: scripted platforms in one process, each on a port of its own, and a port to drive them.

SPEC is JSON: `[{"name", "receives": [modules], "keeps": bool}]`. When all listen, one line `ready {"control", "urls"}` is
printed. A platform accepts every token, answers pushes with 1000, and notes when each request arrived. With `keeps` it holds what
it gets and refuses what it does not know; without, it takes everything.
"""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import uvloop

from tests.load.held import Held
from tests.load.wire import Listener, Message, answer

BASE: Final = "/ocpi/2.2.1"
_OK: Final = answer(b'{"status_code":1000,"timestamp":"2026-06-01T10:00:00Z"}')
_UNKNOWN: Final = answer(b'{"status_code":2003,"status_message":"unknown","timestamp":"2026-06-01T10:00:00Z"}')
_NOT_FOUND: Final = answer(b'{"status_code":2001,"timestamp":"2026-06-01T10:00:00Z"}', "404 Not Found")


class Platform:
    """One scripted platform."""

    def __init__(self, name: str, receives: list[str], keeps: bool) -> None:
        self.name = name
        self.listener = Listener(self.answer)
        self.is_hanging = False
        self.held = Held() if keeps else None
        self.arrivals: list[tuple[str, float]] = []
        self.requests: Counter[str] = Counter()
        self.by_unit: Counter[str] = Counter()
        self.refused = 0
        self.took = 0
        self._receives = receives

    def answer(self, message: Message) -> bytes | None:
        """Take one request."""
        method, target, _ = message.head[: message.head.index(b"\r\n")].decode().split(" ", 2)
        path = target.partition("?")[0]
        if method == "GET":
            return self._describe(path)
        if self.is_hanging:
            return None
        module, _, tail = path.removeprefix(f"{BASE}/receiver/").partition("/")
        if module == "hubclientinfo":
            return _OK
        self.took += 1
        self.arrivals.append((message.header("x-correlation-id") or "", time.monotonic()))
        self.requests[f"{method} {module}"] += 1
        self.by_unit[f"{module}/{tail}"] += 1
        if self.held is not None and not self.held.take(method, module, tail, message.body):
            self.refused += 1
            return _UNKNOWN
        return _OK

    def reset(self) -> None:
        """Forget what arrived; what is held stays."""
        self.arrivals, self.requests, self.by_unit, self.refused, self.took = [], Counter(), Counter(), 0, 0

    def _describe(self, path: str) -> bytes:
        base = f"{self.listener.url}{BASE}"
        if path == "/ocpi/versions":
            return _data([{"version": "2.2.1", "url": base}])
        if path == BASE:
            endpoints = [{"identifier": "credentials", "role": "SENDER", "url": f"{base}/credentials"}]
            endpoints += [
                {"identifier": module, "role": "RECEIVER", "url": f"{base}/receiver/{module}"}
                for module in self._receives
            ]
            return _data({"version": "2.2.1", "endpoints": endpoints})
        return _NOT_FOUND


def _data(value: Any) -> bytes:
    body = {"data": value, "status_code": 1000, "timestamp": "2026-06-01T10:00:00Z"}
    return answer(json.dumps(body).encode())


class Control:
    """The control port: `POST /platform/order` answers JSON."""

    def __init__(self, platforms: dict[str, Platform]) -> None:
        self._platforms = platforms
        self._tasks: set[asyncio.Task[None]] = set()
        self.listener = Listener(self.answer)

    def answer(self, message: Message) -> bytes:
        """Carry out one order."""
        name, order = message.head.split(b" ", 2)[1].decode().strip("/").split("/")
        return answer(json.dumps(self._carry_out(self._platforms[name], order, message.body)).encode())

    def _carry_out(self, platform: Platform, order: str, body: bytes) -> Any:
        match order:
            case "took":
                return platform.took
            case "report":
                return {"requests": platform.requests, "refused": platform.refused, "took": platform.took}
            case "arrivals":
                return platform.arrivals
            case "units":
                return platform.by_unit
            case "reset":
                platform.reset()
            case "hang":
                platform.is_hanging = True
            case "heal":
                platform.is_hanging = False
                platform.listener.cut()
            case "down" | "up":
                self._later(platform.listener.down() if order == "down" else platform.listener.up())
            case "dump":
                assert platform.held is not None
                with Path(body.decode()).open("w") as file:
                    file.writelines(json.dumps(entry) + "\n" for entry in platform.held.objects())
        return None

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _main() -> None:
    platforms = {spec["name"]: Platform(**spec) for spec in json.loads(sys.argv[1])}
    control = Control(platforms)
    await asyncio.gather(control.listener.up(), *(platform.listener.up() for platform in platforms.values()))
    urls = {name: platform.listener.url for name, platform in platforms.items()}
    print("ready " + json.dumps({"control": control.listener.url, "urls": urls}), flush=True)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()


if __name__ == "__main__":
    uvloop.run(_main())
