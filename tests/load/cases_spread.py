"""Cases with receivers of broadcasts: how fast all get it, how late, and what one that hangs costs the others."""

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

from tests.load import drive
from tests.load.measure import Spread
from tests.load.report import Row
from tests.load.rig import Platform, Spec, process
from tests.load.stage import RECEIVER, Meter, Stage, a_location, a_status, clock, fresh, push, settled

CPOS: Final = 4
RECEIVERS: Final = 20
_LOCATIONS: Final = 100
_EVSES: Final = 10
_CALLERS: Final = 16
_QUIET_SECONDS: Final = 5.0

SPECS: Final = (
    *(Spec(f"cpo{number}", "CPO", (f"NL/C0{number}",)) for number in range(CPOS)),
    *(Spec(f"emsp{number:02}", "EMSP", (f"DE/R{number:02}",), ("locations",)) for number in range(RECEIVERS)),
)


async def spread(stage: Stage) -> AsyncIterator[Row]:
    """EVSE patches of four CPOs to one receiver, then to twenty, then with one of them that hangs."""
    emsps = stage.of("EMSP")
    for platform in (*stage.of("CPO"), emsps[0]):
        await stage.hub.register(platform)
    await _load(stage)
    async for made in _to(stage, emsps[:1], stage.lengths.pushes_to_one):
        yield made
    for emsp in emsps[1:]:
        await stage.hub.register(emsp)
    pace = 0.0
    async for made in _to(stage, emsps, stage.lengths.pushes_to_many):
        pace = made.more.get("pushes per s", pace)
        yield made
    async for made in _one_hangs(stage, emsps, pace):
        yield made


async def _to(stage: Stage, receivers: Sequence[Platform], pushes: int) -> AsyncIterator[Row]:
    """As fast as it goes, in turns with a bare client loop that posts the same bytes; then at half of that pace."""
    await _at_once(stage, receivers, pushes // 2)
    pace = 0.0
    for _ in range(stage.lengths.rounds):
        made = await _at_once(stage, receivers, pushes)
        pace = round((made.rate or 0.0) / len(receivers) / 2)
        yield made
        yield await _bare(stage, receivers, pushes)
    for _ in range(stage.lengths.rounds):
        case = f"fan-out to {len(receivers)}, at half of that"
        yield await _at_pace(stage, case, receivers, receivers, pace, stage.lengths.seconds)


async def _one_hangs(stage: Stage, emsps: Sequence[Platform], pace: float) -> AsyncIterator[Row]:
    """The same pace with all well and with one that takes requests and never answers, in turns."""
    *others, hanging = emsps
    for _ in range(stage.lengths.rounds):
        for hangs in (False, True):
            if hangs:
                await hanging.order("hang")
            case = f"to {len(others)} of {len(emsps)}, {'one hangs' if hangs else 'all well'}"
            watched = others if hangs else emsps
            async with _marks(stage, hanging) as counts:
                made = await _at_pace(stage, case, others, watched, pace, stage.lengths.hang_seconds)
            await hanging.order("heal")
            yield replace(made, more={**made.more, "most marks of the 19": max(counts)})
            await settled(emsps, idle_seconds=_QUIET_SECONDS if hangs else 1.0)


@contextlib.asynccontextmanager
async def _marks(stage: Stage, but: Platform) -> AsyncIterator[list[int]]:
    """How many marks all but one have, twice a second while this lasts."""
    counts: list[int] = []

    async def look_for_ever() -> None:
        while True:
            sql = "select count(*) from dirty_mark where platform_id <> $1::uuid"
            counts.append(await stage.hub.value(sql, but.platform_id))
            await asyncio.sleep(0.5)

    looking = asyncio.create_task(look_for_ever())
    try:
        yield counts
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


_numbers = itertools.count()


def _patches(stage: Stage) -> drive.Make:
    """A change of another EVSE each time, the CPOs in turn."""
    cpos = stage.of("CPO")

    def make(number: int) -> bytes:
        cpo, place = cpos[number % CPOS], number // CPOS
        path = f"L{place % _LOCATIONS}/{place // _LOCATIONS % _EVSES}"
        return push(cpo, "PATCH", path, a_status(next(_numbers)), f"c-{number}")

    return make


async def _load(stage: Stage) -> None:
    """The Locations, before anything is measured."""
    cpos = stage.of("CPO")

    def make(number: int) -> bytes:
        cpo, place = cpos[number % CPOS], number // CPOS
        body = a_location(cpo.spec.parties[0], place, _EVSES, clock())
        return push(cpo, "PUT", f"L{place}", body, f"load-{number}")

    driven = await drive.as_many(stage.hub.url, _CALLERS, range(_LOCATIONS * CPOS), make)
    assert not driven.failures, driven.failures[0]


async def _at_once(stage: Stage, receivers: Sequence[Platform], pushes: int) -> Row:
    """All pushes as fast as they are accepted; deliveries per second from the first push to the last arrival."""
    async with fresh(receivers):
        meter = Meter(stage.hub)
        driven = await drive.as_many(stage.hub.url, _CALLERS, range(pushes), _patches(stage))
        await settled(receivers, pushes * len(receivers))
        arrived = [at for platform in receivers for _, at in await platform.order("arrivals")]
        seconds = max(arrived) - min(driven.sent_at.values())
        more = {"accepted per s": f"{driven.rate:,.0f}", "coalesced": pushes * len(receivers) - len(arrived)}
        case = f"fan-out to {len(receivers)}, deliveries"
        cpu = meter.per(len(arrived))
        return Row(case, "hub", len(arrived) / seconds, cpu=cpu, failures=len(driven.failures), more=more)


async def _at_pace(
    stage: Stage,
    case: str,
    measured: Sequence[Platform],
    watched: Sequence[Platform],
    pace: float,
    seconds: float,
) -> Row:
    """Pushes at a steady pace; from push to arrival at those that are `measured`."""
    async with fresh(watched):
        meter = Meter(stage.hub)
        driven = await drive.paced(stage.hub.url, pace, seconds, _patches(stage))
        await settled(watched, len(driven.took) * len(watched))
        sent_at, delays = {f"c-{number}": at for number, at in driven.sent_at.items()}, []
        for platform in measured:
            arrivals = await platform.order("arrivals")
            delays += [at - sent_at[name] for name, at in arrivals if name in sent_at]
        times, expected = Spread.of(delays), len(driven.took) * len(measured)
        more = {"pushes per s": pace, "arrived": f"{len(delays)} of {expected}"}
        rate = len(delays) / driven.seconds
        return Row(case, "hub", rate, times.p50, times.p99, meter.per(len(delays)), len(driven.failures), more)


async def _bare(stage: Stage, receivers: Sequence[Platform], pushes: int) -> Row:
    """The same bytes from a client loop that does nothing else."""
    spec = {
        "urls": [f"{platform.url}{RECEIVER}/locations/NL/C00/L1/0" for platform in receivers],
        "count": pushes,
        "concurrency": 8,
        "body": a_status(1).decode(),
        "headers": {
            "Authorization": "Token bG9hZA==",
            "Content-Type": "application/json",
            "X-Request-ID": "0f5d0a4c-2f0c-4b6e-9d5c-1f0f2c4f6a10",
            "X-Correlation-ID": "0f5d0a4c-2f0c-4b6e-9d5c-1f0f2c4f6a11",
            "OCPI-from-country-code": "NL",
            "OCPI-from-party-id": "HUB",
            "OCPI-to-country-code": "DE",
            "OCPI-to-party-id": "R00",
        },
    }
    words = [sys.executable, "-m", "tests.load.bare", json.dumps(spec)]
    async with process(*words, log=stage.folder / "bare.log") as (_, told):
        result = json.loads(told)
    answered = int(result["answered"])
    cpu = {"client": result["cpu"] / answered * 1e6}
    return Row(f"fan-out to {len(receivers)}, deliveries", "bare loop", answered / result["seconds"], cpu=cpu)
