"""What the cases of the bench share: how long they run, the bodies that they push, and how they meter the hub."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.load.measure import cpu_seconds
from tests.load.rig import Hub, Platform
from tests.load.wire import request

RECEIVER: Final = "/ocpi/2.2.1/receiver"
_IDLE_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """How much is done: seconds of a timed run, how often it is repeated, how many objects and pushes."""

    seconds: float = 5.0
    warm_up_seconds: float = 20.0
    rounds: int = 2
    objects: int = 20_000
    pushes_to_one: int = 4000
    pushes_to_many: int = 1000
    hang_seconds: float = 20.0

    @classmethod
    def quick(cls) -> "Lengths":
        """For a look in two minutes."""
        return cls(1.5, 8.0, 1, 4000, 1000, 200, 6.0)


@dataclass(frozen=True, slots=True)
class Stage:
    """A running hub and its platforms."""

    hub: Hub
    platforms: dict[str, Platform]
    lengths: Lengths
    folder: Path

    def of(self, role: str) -> list[Platform]:
        """The platforms of a role, in the order of their names."""
        return [platform for _, platform in sorted(self.platforms.items()) if platform.spec.role == role]


@dataclass(slots=True)
class Meter:
    """CPU of the hub's processes since it was made."""

    hub: Hub
    before: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.before = cpu_seconds(self.hub.parts)

    def per(self, count: int) -> dict[str, float]:
        """Microseconds for each of `count` messages, by process."""
        after = cpu_seconds(self.hub.parts)
        return {name: (after[name] - self.before.get(name, 0.0)) / max(1, count) * 1e6 for name in after}


def clock() -> str:
    """Now, as OCPI writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def a_location(party: str, number: int, evses: int, last_updated: str) -> bytes:
    """A small Location of real shape."""
    country_code, party_id = party.split("/")
    whole = {
        "country_code": country_code,
        "party_id": party_id,
        "id": f"L{number}",
        "publish": True,
        "name": f"Laadplein {number}",
        "address": f"Dorpsstraat {number}",
        "city": "Wijchen",
        "postal_code": "6601AA",
        "country": "NLD",
        "coordinates": {"latitude": "51.793981", "longitude": "5.734244"},
        "time_zone": "Europe/Amsterdam",
        "evses": [_an_evse(party_id, number, evse, last_updated) for evse in range(evses)],
        "last_updated": last_updated,
    }
    return json.dumps(whole, separators=(",", ":")).encode()


def _an_evse(party_id: str, number: int, evse: int, last_updated: str) -> dict[str, Any]:
    connector: dict[str, Any] = {"id": "1", "standard": "IEC_62196_T2", "format": "SOCKET", "power_type": "AC_3_PHASE"}
    connector |= {"max_voltage": 230, "max_amperage": 32, "tariff_ids": ["T1"], "last_updated": last_updated}
    return {
        "uid": str(evse),
        "evse_id": f"NL*{party_id}*E{number}*{evse}",
        "status": "AVAILABLE",
        "capabilities": ["REMOTE_START_STOP_CAPABLE", "RFID_READER"],
        "connectors": [connector],
        "last_updated": last_updated,
    }


def a_status(number: int, last_updated: str | None = None) -> bytes:
    """The PATCH of an EVSE that begins or ends to charge."""
    status = "CHARGING" if number % 2 else "AVAILABLE"
    return json.dumps({"status": status, "last_updated": last_updated or clock()}, separators=(",", ":")).encode()


def push(cpo: Platform, method: str, path: str, body: bytes, name: str) -> bytes:
    """The bytes of a push for all; `name` is its correlation id."""
    headers = f"{cpo.headers(cpo.spec.parties[0])}X-Request-ID: {name}\r\nX-Correlation-ID: {name}\r\n"
    return request(method, f"{RECEIVER}/locations/{cpo.spec.parties[0]}/{path}", headers, body)


async def settled(
    platforms: Iterable[Platform],
    at_least: int = 0,
    *,
    idle_seconds: float = _IDLE_SECONDS,
    longest_seconds: float = _LONGEST_WAIT_SECONDS,
) -> None:
    """Wait until nothing has arrived anywhere for so long, and `at_least` so many requests in all (or a long time passed)."""
    watched, loop = list(platforms), asyncio.get_running_loop()
    ends, since, before = loop.time() + longest_seconds, loop.time(), -1
    while loop.time() < ends:
        took = sum([await platform.order("took") for platform in watched])
        if took != before:
            before, since = took, loop.time()
        idle = loop.time() - since
        if idle > idle_seconds and (took >= at_least or idle > 5 * idle_seconds):
            return
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def fresh(platforms: Iterable[Platform]) -> AsyncIterator[None]:
    """Wait until all is quiet and let the platforms forget what came."""
    watched = list(platforms)
    await settled(watched)
    for platform in watched:
        await platform.order("reset")
    yield
